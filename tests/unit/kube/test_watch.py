"""List and watch against a server on loopback: pages, bookmarks, lost places, broken lines, absent kinds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from keelway.api.kinds import KINDS, Key
from keelway.engine.errors import ApiError, NotFoundError, TooManyRequestsError, UnavailableError
from keelway.engine.intake import Intake
from keelway.engine.objects import key_of
from keelway.engine.queue import Queue
from keelway.engine.store import Store
from keelway.engine.telemetry import Telemetry
from keelway.kube import relist, watch
from keelway.kube.relist import Relist, fill
from keelway.kube.watch import Collection, Watch, backoff
from tests.unit.kube.scripted_server import ScriptedServer, broken_stream, connected, refusal, stream

Script = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
EXPIRED = refusal(410, "Expired", "too old resource version")


def item(name: str, version: int, **content: Any) -> dict[str, Any]:
    """An item of a list: without kind and apiVersion."""
    metadata = {"name": name, "namespace": "ml", "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata, **content}


def listing(*items: dict[str, Any], version: int, more: str = "") -> web.Response:
    metadata = {"resourceVersion": str(version), **({"continue": more} if more else {})}
    return web.json_response({"kind": "List", "metadata": metadata, "items": list(items)})


def event(type_: str, manifest: dict[str, Any], kind: str = "Job") -> bytes:
    whole = {"apiVersion": "batch/v1", "kind": kind, **manifest}
    return json.dumps({"type": type_, "object": whole}).encode() + b"\n"


class Cluster:
    """What a server says to lists and to watches, each the next of a script; the last one stays."""

    def __init__(self, *, lists: list[Script], watches: list[Script]) -> None:
        self.lists, self.watches = lists, watches

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        script = self.watches if "watch" in request.query else self.lists
        step = script.pop(0) if len(script) > 1 else script[0]
        return await step(request)


def listed(*items: dict[str, Any], version: int, more: str = "") -> Script:
    async def say(_: web.BaseRequest) -> web.StreamResponse:
        return listing(*items, version=version, more=more)

    return say


def refused(status: dict[str, Any]) -> Script:
    async def say(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(status, status=status["code"])

    return say


def watched(*lines: bytes, open_for: float = 0.0, broken: bool = False) -> Script:
    async def say(request: web.BaseRequest) -> web.StreamResponse:
        return await (broken_stream(request, *lines) if broken else stream(request, *lines, open_for=open_for))

    return say


SILENT = watched(open_for=30)


async def until(holds: Callable[[], bool]) -> None:
    """Look until something holds; who asks sets the deadline."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


class Station:
    """A watch of Jobs with everything behind it."""

    def __init__(self, client: Any, server: ScriptedServer, kind: str) -> None:
        self.server = server
        self.store = Store(subjects=lambda m: frozenset({key_of(m)}), references=lambda _: frozenset())
        self.queue = Queue()
        self.intake = Intake(store=self.store, queue=self.queue, kinds={kind})
        self.telemetry = Telemetry()
        self.collection = Collection(KINDS[kind], "", client=client, intake=self.intake, telemetry=self.telemetry)
        self.watch = Watch(self.collection)

    def names(self) -> list[str]:
        return [key.name for key in self.store.keys(self.collection.kind.name)]

    def versions_watched_from(self) -> list[str]:
        return [asked.query["resourceVersion"] for asked in self.server.asked if "watch" in asked.query]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Run the watch until something holds."""
        task = asyncio.create_task(self.watch.run())
        try:
            async with asyncio.timeout(10):
                await until(lambda: task.done() or holds())
            assert not task.done(), task
        except TimeoutError:
            raise AssertionError(f"stored {self.names()}, asked {self.server.asked}") from None
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def station(
    folder: Path, *, lists: list[Script], watches: list[Script] | None = None, kind: str = "Job"
) -> AsyncIterator[Station]:
    cluster = Cluster(lists=lists, watches=watches or [SILENT])
    async with connected(cluster.handle, folder) as (server, client):
        yield Station(client, server, kind)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(watch, "ABSENT_SECONDS", 0.05)
    monkeypatch.setattr(relist, "LONGEST_PAUSE", 0.01)


async def test_all_pages_are_read_and_objects_know_their_kind(tmp_path: Path) -> None:
    pages = [listed(item("a", 3), version=9, more="next"), listed(item("b", 4), version=9)]
    async with station(tmp_path, lists=pages) as there:
        await there.collection.list()
        assert there.names() == ["a", "b"]
        assert (there.store.get(Key("Job", "ml", "a")) or {})["apiVersion"] == "batch/v1"
        first, second = there.server.asked
        assert first.query == {"limit": "500", "labelSelector": "app.kubernetes.io/managed-by=keelway"}
        assert second.query["continue"] == "next"
        assert there.collection.version == "9"


async def test_a_list_removes_what_is_gone(tmp_path: Path) -> None:
    lists = [listed(item("a", 3), item("b", 4), version=5), listed(item("b", 4), version=9)]
    async with station(tmp_path, lists=lists) as there:
        await there.collection.list()
        await there.collection.list()
        assert there.names() == ["b"]


async def test_a_watch_follows_the_list(tmp_path: Path) -> None:
    lines = [event("ADDED", item("b", 6)), event("MODIFIED", item("a", 7, x=1)), event("DELETED", item("b", 8))]
    async with station(
        tmp_path, lists=[listed(item("a", 3), version=5)], watches=[watched(*lines, open_for=30)]
    ) as there:
        await there.until(lambda: "x" in (there.store.get(Key("Job", "ml", "a")) or {}) and there.names() == ["a"])
        (asked,) = [asked for asked in there.server.asked if "watch" in asked.query]
        assert asked.query["resourceVersion"] == "5"
        assert asked.query["allowWatchBookmarks"] == "true"


async def test_a_watch_that_ends_or_breaks_goes_on_where_it_was_bookmarks_included(tmp_path: Path) -> None:
    bookmark = json.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "50"}}}).encode() + b"\n"
    watches = [watched(event("ADDED", item("b", 6))), watched(bookmark, broken=True), SILENT]
    async with station(tmp_path, lists=[listed(version=5)], watches=watches) as there:
        await there.until(lambda: there.versions_watched_from() == ["5", "6", "50"])
        assert len([asked for asked in there.server.asked if "watch" not in asked.query]) == 1


async def test_half_a_line_is_not_an_event(tmp_path: Path) -> None:
    watches = [watched(event("ADDED", item("b", 6))[:20], broken=True), watched(event("ADDED", item("c", 7))), SILENT]
    async with station(tmp_path, lists=[listed(version=5)], watches=watches) as there:
        await there.until(lambda: there.names() == ["c"])


@pytest.mark.parametrize(
    "lost", [watched(event("ERROR", EXPIRED)), refused(EXPIRED)], ids=["within the stream", "at its start"]
)
async def test_a_watch_that_has_lost_its_place_lists_again(tmp_path: Path, lost: Script) -> None:
    lists = [listed(item("a", 3), version=5), listed(item("b", 8), version=9)]
    async with station(tmp_path, lists=lists, watches=[lost, SILENT]) as there:
        await there.until(lambda: there.versions_watched_from() == ["5", "9"])
        assert there.names() == ["b"]


async def test_an_error_in_the_stream_is_waited_out(tmp_path: Path) -> None:
    error = event("ERROR", refusal(500, "InternalError", "etcd"))
    async with station(tmp_path, lists=[listed(version=5)], watches=[watched(error), SILENT]) as there:
        await there.until(lambda: there.versions_watched_from() == ["5", "5"])
        labels = {"kind": "Job", "reason": "Unavailable"}
        assert there.telemetry.registry.get_sample_value("keelway_watch_restarts_total", labels) == 1


async def test_a_kind_that_is_not_served_appears(tmp_path: Path) -> None:
    absent = refused(refusal(404, "NotFound", "404 page not found"))
    lists = [absent, absent, listed(item("a", 3), version=5)]
    async with station(tmp_path, lists=lists, kind="HTTPRoute") as there:
        await fill([there.collection])
        assert not there.store.served("HTTPRoute")
        assert there.collection.is_known
        await there.until(lambda: there.names() == ["a"])
        assert there.store.served("HTTPRoute")


async def test_a_kind_that_vanishes_while_it_is_watched_takes_its_objects_along(tmp_path: Path) -> None:
    absent = refused(refusal(404, "NotFound", "404 page not found"))
    lists = [listed(item("a", 3), version=5), absent]
    async with station(tmp_path, lists=lists, watches=[absent], kind="HTTPRoute") as there:
        await there.until(lambda: there.names() == [] and not there.store.served("HTTPRoute"))


async def test_filling_waits_for_our_own_kinds(tmp_path: Path) -> None:
    absent = refused(refusal(404, "NotFound", "404 page not found"))
    failing = refused(refusal(503, "ServiceUnavailable", "starting"))
    lists = [absent, failing, listed(item("a", 3), version=5)]
    async with station(tmp_path, lists=lists, kind="Dataset") as there:
        assert not there.collection.is_known
        await fill([there.collection])
        assert there.names() == ["a"]
        assert there.store.served("Dataset")


async def test_the_regular_list_repairs_and_wakes_everybody(tmp_path: Path) -> None:
    failing = refused(refusal(503, "ServiceUnavailable", "starting"))
    lists = [listed(item("a", 3), version=5), failing, listed(item("b", 6), version=9)]
    async with station(tmp_path, lists=lists) as there:
        await there.collection.list()
        there.queue.done((await there.queue.get()).key)
        task = asyncio.create_task(Relist([there.collection], there.intake, 0.01).run())
        async with asyncio.timeout(10):
            assert (await there.queue.get()).key.name == "a", "woken although the list failed"
            there.queue.done(Key("Job", "ml", "a"))
            await until(lambda: there.names() == ["b"])
        task.cancel()


async def test_a_list_can_be_asked_for(tmp_path: Path) -> None:
    lists = [listed(item("a", 3), version=5), listed(item("b", 6), version=9)]
    async with station(tmp_path, lists=lists) as there:
        await there.collection.list()
        regular = Relist([there.collection], there.intake, 3600)
        task = asyncio.create_task(regular.run())
        regular.request()
        async with asyncio.timeout(10):
            await until(lambda: there.names() == ["b"])
        task.cancel()


async def test_one_of_our_own_kinds_that_seems_to_vanish_is_not_taken_for_a_deletion(tmp_path: Path) -> None:
    absent = refused(refusal(404, "NotFound", "404 page not found"))
    async with station(tmp_path, lists=[listed(item("a", 3), version=5), absent], kind="Dataset") as there:
        await there.collection.list()
        with pytest.raises(NotFoundError):
            await there.collection.list()
        assert there.names() == ["a"]
        assert there.store.served("Dataset")


async def test_age_is_the_time_since_the_server_was_heard(tmp_path: Path) -> None:
    async with station(tmp_path, lists=[listed(version=5)]) as there:
        now = [100.0]
        there.watch = Watch(there.collection, clock=lambda: now[0])
        assert there.watch.age() == 0
        await there.until(lambda: there.versions_watched_from() == ["5"])
        now[0] = 107.0
        assert there.watch.age() == 7


def test_backoff_grows_is_bounded_and_honours_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    error: ApiError = UnavailableError("no answer")
    assert 0.1 <= backoff(1, error) <= 0.2
    assert 15 <= backoff(50, error) <= 30
    assert backoff(1, TooManyRequestsError("slow", retry_after=9)) == 9
    assert isinstance(NotFoundError("x"), ApiError)
