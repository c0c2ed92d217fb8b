"""What a kubelet and Prometheus ask: /livez, /readyz, /metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import Gauge, Info, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from keelway.engine.loop import Loop
from keelway.engine.queue import Queue
from keelway.engine.store import Store
from keelway.engine.telemetry import Telemetry
from keelway.kube.watch import Collection, EventSource

WORKER_SECONDS = 600.0
"""Longer than the timeouts of all requests of the largest plan: a worker that takes longer hangs."""
WATCH_SECONDS = 900.0
"""A few times the longest silence of a watch that is well."""
LAG_SECONDS = 20.0
BEAT_SECONDS = 1.0
METRICS = {"Content-Type": CONTENT_TYPE_LATEST}


class Heartbeat:
    """How late the event loop runs what is due."""

    def __init__(self) -> None:
        self.lag = 0.0

    async def run(self) -> None:
        """Measure for ever."""
        clock = asyncio.get_running_loop().time
        while True:
            before = clock()
            await asyncio.sleep(BEAT_SECONDS)
            self.lag = clock() - before - BEAT_SECONDS


@dataclass(frozen=True, kw_only=True)
class Health:
    """Answers for the whole process. `acting` is 1 while the Lease is ours."""

    loop: Loop
    queue: Queue
    store: Store
    telemetry: Telemetry
    heartbeat: Heartbeat
    sources: Sequence[EventSource]
    collections: Sequence[Collection]
    acting: Callable[[], bool]

    def dead(self) -> Iterator[str]:
        """Reasons to restart the process."""
        if self.heartbeat.lag > LAG_SECONDS:
            yield f"the event loop lags {self.heartbeat.lag:.0f} s behind"
        for key, seconds in self.loop.busy().items():
            if seconds > WORKER_SECONDS:
                yield f"a worker has been busy with {key} for {seconds:.0f} s"
        for source in self.sources:
            if source.age() > WATCH_SECONDS:
                yield f"{source} has heard nothing for {source.age():.0f} s"

    def unready(self) -> Iterator[str]:
        """What is missing before decisions can be made."""
        for collection in self.collections:
            if not collection.is_known:
                yield f"{collection.kind.name}: {collection.problem}"

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        for lane, depth in self.queue.depth().items():
            self.telemetry.queue_depth.labels(lane).set(depth)
        for kind, count in self.store.counts().items():
            self.telemetry.objects.labels(kind).set(count)
        return generate_latest(self.telemetry.registry)

    def register(self, version: str) -> None:
        """Add the process's own metrics."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = self.telemetry.registry
        Info("keelway_build", "Which build this is.", registry=registry).info({"version": version})
        lag = Gauge("keelway_event_loop_lag_seconds", "How late the event loop runs.", registry=registry)
        lag.set_function(lambda: self.heartbeat.lag)
        acting = Gauge("keelway_acting", "1 while this process holds the Lease.", registry=registry)
        acting.set_function(lambda: float(self.acting()))

    async def serve(self, host: str, port: int) -> web.AppRunner:
        """Listen; the caller cleans the runner up."""
        application = web.Application()
        application.router.add_get("/livez", self._livez)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        return runner

    async def _livez(self, _: web.Request) -> web.Response:
        return verdict(self.dead())

    async def _readyz(self, _: web.Request) -> web.Response:
        return verdict(self.unready())

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self.exposition(), headers=METRICS)


def verdict(problems: Iterator[str]) -> web.Response:
    """200, or 503 with one problem a line."""
    found = list(problems)
    return web.Response(status=503 if found else 200, text="\n".join(found) or "ok")
