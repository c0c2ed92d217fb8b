"""Who acts: two candidates, one Lease, on virtual time."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, cast

import pytest

from keelway.engine.errors import AlreadyExistsError, ConflictError, NotFoundError, UnavailableError
from keelway.kube.client import Client
from keelway.kube.lease import DURATION, RENEW_DEADLINE, RETRY, Lease, LeaseLostError
from tests.property.engine.virtual_time import run


class LeaseServer:
    """One Lease, as an API server keeps it."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.requests: list[str] = []
        self.latency = 0.0
        self.broken_for: set[str] = set()
        """Candidates whose requests do not arrive."""

    def client(self, name: str) -> Client:
        """A connection of one candidate."""
        return cast(Client, _Connection(self, name))

    def take(self, method: str, body: Any) -> Any:
        self.requests.append(method)
        if method == "GET":
            if self.lease is None:
                raise NotFoundError("no lease", status=404)
            return copy.deepcopy(self.lease)
        if method == "POST" and self.lease is not None:
            raise AlreadyExistsError("exists", status=409)
        if method == "PUT" and (self.lease is None or body["metadata"]["resourceVersion"] != str(self.version)):
            raise ConflictError("modified", status=409)
        self.version += 1
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.lease)

    @property
    def holder(self) -> str:
        assert self.lease
        return str(self.lease["spec"]["holderIdentity"])


class _Connection:
    def __init__(self, server: LeaseServer, name: str) -> None:
        self._server, self._name = server, name

    async def request(self, method: str, _path: str, *, body: Any = None) -> Any:
        await asyncio.sleep(self._server.latency)
        if self._name in self._server.broken_for:
            raise UnavailableError("no answer")
        return self._server.take(method, body)


def candidate(server: LeaseServer, name: str) -> Lease:
    clock = asyncio.get_running_loop().time
    return Lease(server.client(name), namespace="keelway", name="keelway", identity=name, clock=clock)


def story(tell: Callable[[LeaseServer], Awaitable[None]]) -> None:
    async def main() -> None:
        await tell(LeaseServer())

    run(main())


def now() -> float:
    return asyncio.get_running_loop().time()


async def lost(task: asyncio.Task[None]) -> bool:
    """Whether holding ended with the Lease lost."""
    (result,) = await asyncio.gather(task, return_exceptions=True)
    return isinstance(result, LeaseLostError)


def test_a_free_lease_is_taken_at_once_and_renewed_by_one_request_each() -> None:
    async def tell(server: LeaseServer) -> None:
        lease = candidate(server, "a")
        assert not lease.held()
        await lease.acquire()
        assert (now(), lease.held(), server.holder) == (0, True, "a")
        assert server.requests == ["GET", "POST"]
        task = asyncio.create_task(lease.hold())
        await asyncio.sleep(5 * RETRY + 1)
        assert server.requests[2:] == ["PUT"] * 5
        task.cancel()

    story(tell)


def test_the_record_is_one_that_others_understand() -> None:
    async def tell(server: LeaseServer) -> None:
        await candidate(server, "a").acquire()
        assert server.lease
        spec = server.lease["spec"]
        assert spec["leaseDurationSeconds"] == 15
        for field in ("acquireTime", "renewTime"):
            assert datetime.strptime(spec[field], "%Y-%m-%dT%H:%M:%S.%f%z").utcoffset() is not None

    story(tell)


def test_the_second_waits_until_the_first_has_been_silent_for_long_enough() -> None:
    async def tell(server: LeaseServer) -> None:
        first, second = candidate(server, "a"), candidate(server, "b")
        await first.acquire()
        holding = asyncio.create_task(first.hold())
        waiting = asyncio.create_task(second.acquire())
        await asyncio.sleep(300)
        assert not waiting.done()
        holding.cancel()  # kill -9
        died = now()
        await waiting
        assert DURATION - RETRY <= now() - died <= DURATION + 2 * RETRY
        assert (server.holder, server.lease["spec"]["leaseTransitions"]) == ("b", 2) if server.lease else False

    story(tell)


def test_a_released_lease_is_taken_at_the_next_look() -> None:
    async def tell(server: LeaseServer) -> None:
        first, second = candidate(server, "a"), candidate(server, "b")
        await first.acquire()
        waiting = asyncio.create_task(second.acquire())
        await asyncio.sleep(7)
        await first.release()
        assert not first.held()
        released = now()
        await waiting
        assert now() - released <= RETRY

    story(tell)


def test_the_same_identity_takes_up_at_once_what_its_former_process_held() -> None:
    async def tell(server: LeaseServer) -> None:
        await candidate(server, "pod-1").acquire()
        await candidate(server, "pod-1").acquire()
        assert now() == 0
        assert server.lease
        assert server.lease["spec"]["leaseTransitions"] == 1

    story(tell)


def test_a_holder_that_cannot_renew_gives_up_before_another_one_acts() -> None:
    async def tell(server: LeaseServer) -> None:
        first, second = candidate(server, "a"), candidate(server, "b")
        await first.acquire()
        holding = asyncio.create_task(first.hold())
        waiting = asyncio.create_task(second.acquire())
        await asyncio.sleep(21)
        server.broken_for = {"a"}
        assert await lost(holding)
        gave_up = now()
        assert gave_up - 21 <= RENEW_DEADLINE + 2 * RETRY
        assert not first.held()
        await waiting
        assert now() > gave_up, "never two at once"

    story(tell)


def test_an_outage_that_is_shorter_than_the_deadline_is_survived() -> None:
    async def tell(server: LeaseServer) -> None:
        lease = candidate(server, "a")
        await lease.acquire()
        holding = asyncio.create_task(lease.hold())
        await asyncio.sleep(20)
        server.broken_for = {"a"}
        await asyncio.sleep(7)
        server.broken_for = set()
        await asyncio.sleep(60)
        assert not holding.done()
        assert lease.held()
        holding.cancel()

    story(tell)


def test_a_server_that_hangs_costs_the_lease_in_time() -> None:
    async def tell(server: LeaseServer) -> None:
        lease = candidate(server, "a")
        await lease.acquire()
        server.latency = 10**6
        assert await lost(asyncio.create_task(lease.hold()))
        assert now() <= RENEW_DEADLINE + 2 * RETRY

    story(tell)


def test_a_lease_that_somebody_else_has_taken_is_lost() -> None:
    async def tell(server: LeaseServer) -> None:
        lease = candidate(server, "a")
        await lease.acquire()
        holding = asyncio.create_task(lease.hold())
        assert server.lease
        server.take("PUT", {**server.lease, "spec": {**server.lease["spec"], "holderIdentity": "b"}})
        assert await lost(holding)
        assert server.holder == "b"

    story(tell)


def test_a_lease_that_somebody_deleted_is_made_again() -> None:
    async def tell(server: LeaseServer) -> None:
        lease = candidate(server, "a")
        await lease.acquire()
        holding = asyncio.create_task(lease.hold())
        server.lease = None
        await asyncio.sleep(20)
        assert not holding.done()
        assert server.holder == "a"
        holding.cancel()

    story(tell)


def test_of_two_that_ask_at_once_one_gets_it() -> None:
    async def tell(server: LeaseServer) -> None:
        server.latency = 0.1
        tasks = [asyncio.create_task(candidate(server, name).acquire()) for name in "ab"]
        done, pending = await asyncio.wait(tasks, timeout=10)
        assert (len(done), len(pending)) == (1, 1)
        for task in pending:
            task.cancel()

    story(tell)


def test_a_release_does_not_wait_for_a_server_that_hangs() -> None:
    async def tell(server: LeaseServer) -> None:
        lease = candidate(server, "a")
        await lease.acquire()
        server.latency = 10**6
        await lease.release()
        assert now() < 1

    story(tell)


def test_release_of_what_is_not_held_says_nothing() -> None:
    async def tell(server: LeaseServer) -> None:
        await candidate(server, "a").release()
        assert server.requests == []
        with pytest.raises(AssertionError):
            _ = server.holder

    story(tell)
