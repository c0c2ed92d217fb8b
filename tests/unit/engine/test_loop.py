"""What the loop does with decisions, errors and the end of the process, on virtual time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.engine.behaviour import Behaviour, Failed, Reconcile
from keelway.engine.errors import ApiError, ConflictError, RefusedError, TooManyRequestsError, UnavailableError
from keelway.engine.executor import Executor
from keelway.engine.loop import SILENT_FAILURES, Loop
from keelway.engine.queue import Queue
from keelway.lifecycle.plan import Delete, Event, Observed, Plan
from tests.property.engine.memory_api import Fault
from tests.property.engine.virtual_time import run
from tests.unit.engine.bench import EXPERIMENT, Bench

JOB = Key("Job", "ml", "t0")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def failed(manifest: Manifest, reason: str, message: str, _now: datetime) -> Plan:
    return Plan("failed", status={**(manifest.get("status") or {}), "problem": f"{reason}: {message}"})


class Shop(Bench):
    """A bench with a loop; notes when decisions were made."""

    def __init__(self, reconcile: Reconcile, *, workers: int = 1, told: Failed = failed) -> None:
        super().__init__()
        self.clock = asyncio.get_running_loop().time
        self.reconcile = reconcile
        self.looks: list[float] = []
        self.workers = workers
        self.queue = Queue(clock=self.clock, draw=lambda: 0.0)
        self.intake._queue = self.queue
        self.loop = Loop(
            behaviour=Behaviour(
                reconcilers={"Experiment": self._look},
                failed=told,
                subjects=lambda _: frozenset(),
                references=lambda _: frozenset(),
            ),
            store=self.store,
            queue=self.queue,
            executor=Executor(store=self.store, intake=self.intake, writer=self.api, telemetry=self.telemetry),
            telemetry=self.telemetry,
            now=lambda: NOW,
            clock=self.clock,
        )

    def _look(self, manifest: Manifest, seen: Observed, now: datetime) -> Plan:
        self.looks.append(self.clock())
        return self.reconcile(manifest, seen, now)

    def fail(self, error: ApiError, verb: str = "status", times: int = 10**6) -> None:
        left = iter(range(times))
        self.api.faults = lambda asked, _: Fault(error) if asked == verb and next(left, None) is not None else None

    async def work(self, seconds: float = 1.0) -> None:
        """Look at the Experiment, and on for so long."""
        self.queue.add(EXPERIMENT)
        task = asyncio.create_task(self.loop.run(self.workers))
        await asyncio.sleep(seconds)
        assert not task.done(), task
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def shown(self) -> Any:
        return (self.api.read(EXPERIMENT).get("status") or {}).get("problem")


def story(tell: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await tell()

    run(main())


def steady(_manifest: Manifest, _seen: Observed, _now: datetime) -> Plan:
    return Plan("steady", status={"phase": "Running"})


def test_a_write_makes_it_look_again_once_and_then_it_rests() -> None:
    async def tell() -> None:
        shop = Shop(steady)
        await shop.work(100)
        assert len(shop.looks) == 2
        assert shop.api.effects == ["status Experiment/ml/gbt"]

    story(tell)


def test_it_looks_again_when_the_plan_says_so() -> None:
    async def tell() -> None:
        shop = Shop(lambda *_: Plan("polling", look_again_after=10))
        await shop.work(35)
        assert shop.looks == [0, 10, 20, 30]

    story(tell)


def test_a_decision_that_raises_is_logged_counted_and_repeated_with_backoff(caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> Plan:
        raise KeyError("spec: s3cr3t")

    async def tell() -> None:
        shop = Shop(broken)
        await shop.work(60)
        assert 10 < len(shop.looks) < 16
        assert shop.shown() == "ProgressingWithRetry: KeyError in the operator: its log has the details"
        assert (shop.telemetry.registry.get_sample_value("keelway_errors_total", {"type": "Key"}) or 0) > 10

    with caplog.at_level(logging.ERROR):
        story(tell)
    assert "Traceback" in caplog.text


def test_a_failure_that_cannot_be_told_does_not_end_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> Plan:
        raise ValueError("neither can the status be read")

    async def tell() -> None:
        shop = Shop(broken, told=broken)
        await shop.work(60)
        assert len(shop.looks) > 10

    with caplog.at_level(logging.CRITICAL):
        story(tell)


def test_what_needs_a_person_shows_at_once() -> None:
    async def tell() -> None:
        shop = Shop(lambda *_: Plan("creating", creates=(shop.child("Job", "t0"),)))
        shop.fail(RefusedError("quota exceeded", status=403), "create")
        await shop.work(0.001)
        assert shop.shown() == "ApiRefused: quota exceeded"

    story(tell)


def test_what_may_pass_shows_only_when_it_lasts_and_is_written_once() -> None:
    async def tell() -> None:
        shop = Shop(lambda *_: Plan("creating", creates=(shop.child("Job", "t0"),)))
        shop.fail(UnavailableError("no answer"), "create", SILENT_FAILURES - 1)
        await shop.work(30)
        assert shop.shown() is None
        shop = Shop(lambda *_: Plan("creating", creates=(shop.child("Job", "t0"),)))
        shop.fail(UnavailableError("no answer"), "create")
        await shop.work(30)
        assert shop.shown() == "ProgressingWithRetry: no answer"
        assert len(shop.api.effects) == 1

    story(tell)


def test_an_error_after_the_status_does_not_make_the_status_flap() -> None:
    async def tell() -> None:
        shop = Shop(steady)
        shop.api.put(shop.child("Job", "t0"))
        order = Delete(JOB, shop.learn(JOB)["metadata"]["uid"])
        shop.reconcile = lambda *_: Plan("cleaning", status={"phase": "Done"}, deletes=(order,))
        shop.fail(RefusedError("not allowed", status=403), "delete")
        await shop.work(60)
        assert [effect for effect in shop.api.effects if effect.startswith("status")] == ["status Experiment/ml/gbt"]

    story(tell)


def test_a_server_that_asks_for_time_gets_it() -> None:
    async def tell() -> None:
        shop = Shop(steady)
        shop.fail(TooManyRequestsError("slow down", status=429, retry_after=7), times=1)
        await shop.work(20)
        assert shop.looks[:2] == [0, 7]

    story(tell)


def test_success_starts_the_backoff_anew() -> None:
    async def tell() -> None:
        shop = Shop(steady)
        shop.fail(ConflictError("modified", status=409), times=3)
        await shop.work()
        assert shop.queue.failures(EXPERIMENT) == 0

    story(tell)


def test_a_resource_that_is_gone_or_being_deleted_is_left_alone() -> None:
    async def tell() -> None:
        shop = Shop(steady)
        shop.intake.gone(EXPERIMENT)
        await shop.work()
        assert shop.looks == []
        shop = Shop(steady)
        shop.api.objects[EXPERIMENT].manifest["metadata"].update(deletionTimestamp="now", resourceVersion="99")
        shop.learn(EXPERIMENT)
        await shop.work()
        assert shop.looks == []
        ours = {"finalizers": ["keelway.dev/artifacts"], "resourceVersion": "100"}
        shop.api.objects[EXPERIMENT].manifest["metadata"].update(ours)
        shop.learn(EXPERIMENT)
        await shop.work()
        assert shop.looks, "our finalizer waits for us"

    story(tell)


def test_one_line_a_decision_at_info_when_something_was_written(caplog: pytest.LogCaptureFixture) -> None:
    async def tell() -> None:
        start = Plan("starting", status={"phase": "Running"}, events=(Event("Normal", "A", "b"),))
        shop = Shop(lambda manifest, *_: Plan("steady") if manifest.get("status") else start)
        await shop.work()

    with caplog.at_level(logging.DEBUG, logger="keelway.engine.loop"):
        story(tell)
    first, second = (record.__dict__ for record in caplog.records)
    assert (first["levelno"], second["levelno"]) == (logging.INFO, logging.DEBUG)
    assert first["requests"] == ["status Experiment/ml/gbt", "event Experiment/ml/gbt"]
    facts = {name: first[name] for name in ("key", "reason", "outcome", "writes")}
    assert facts == {"key": "Experiment/ml/gbt", "reason": "starting", "outcome": "ok", "writes": 2}
    assert first["milliseconds"] >= 0


def test_finish_waits_for_what_is_being_carried_out_and_begins_nothing_new() -> None:
    async def tell() -> None:
        shop = Shop(steady)
        shop.api.latency = lambda _verb: 1.0
        shop.queue.add(EXPERIMENT)
        task = asyncio.create_task(shop.loop.run(1))
        await asyncio.sleep(0.5)
        assert shop.loop.busy() == {EXPERIMENT: 0.5}
        shop.queue.add(EXPERIMENT)
        await shop.loop.finish(5)
        assert shop.clock() == pytest.approx(1.0)
        assert (len(shop.looks), shop.loop.busy()) == (1, {})
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    story(tell)


def test_finish_does_not_wait_for_ever() -> None:
    async def tell() -> None:
        shop = Shop(steady)
        shop.api.latency = lambda _verb: 10.0**6
        shop.queue.add(EXPERIMENT)
        task = asyncio.create_task(shop.loop.run(1))
        await asyncio.sleep(1)
        await shop.loop.finish(2)
        assert shop.clock() == pytest.approx(3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    story(tell)
