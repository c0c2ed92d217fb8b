"""Runs the whole engine on virtual time against the API server in memory, its watches as unreliable as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from keelway.api.base import Manifest
from keelway.engine.behaviour import Behaviour
from keelway.engine.errors import NotFoundError
from keelway.engine.executor import Executor
from keelway.engine.intake import Intake
from keelway.engine.loop import Loop
from keelway.engine.objects import key_of, uid_of, version_of
from keelway.engine.queue import Queue
from keelway.engine.store import Store
from keelway.engine.telemetry import Telemetry
from tests.property.engine.memory_api import Happened, MemoryApi, known_kinds, without_bookkeeping

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
RELIST_SECONDS = 120.0
STEP_SECONDS = 1.0
LATENCY_SECONDS = 0.01
WORKERS = 3


class KilledError(BaseException):
    """The process ends here, as with kill -9: nothing of it runs any more."""


@dataclass(frozen=True)
class Delivery:
    """What becomes of one watch event: how late each copy arrives; no copy at all is an event that is lost."""

    delays: tuple[float, ...] = (0.0,)


@dataclass
class Operator:
    """One process of the operator: everything in memory is new."""

    api: MemoryApi
    behaviour: Behaviour
    deliver: Callable[[int], Delivery] = lambda _number: Delivery()
    workers: int = WORKERS
    store: Store = field(init=False)
    queue: Queue = field(init=False)
    intake: Intake = field(init=False)
    loop: Loop = field(init=False)
    telemetry: Telemetry = field(default_factory=Telemetry)

    def __post_init__(self) -> None:
        clock = asyncio.get_running_loop().time
        self.store = Store(subjects=self.behaviour.subjects, references=self.behaviour.references, clock=clock)
        self.queue = Queue(clock=clock, draw=lambda: 0.5)
        self.intake = Intake(store=self.store, queue=self.queue, kinds=frozenset(self.behaviour.reconcilers))
        executor = Executor(store=self.store, intake=self.intake, writer=self.api, telemetry=self.telemetry)
        self.loop = Loop(
            behaviour=self.behaviour,
            store=self.store,
            queue=self.queue,
            executor=executor,
            telemetry=self.telemetry,
            now=lambda: EPOCH + timedelta(seconds=clock()),
            clock=clock,
        )

    async def run(self) -> None:
        """Relist, work, watch; until killed or cancelled."""
        self.api.watchers.append(self._watch)
        try:
            self.relist()
            async with asyncio.TaskGroup() as group:
                group.create_task(self.loop.run(self.workers))
                group.create_task(self._relist_for_ever())
        finally:
            self.api.watchers.remove(self._watch)

    def relist(self) -> None:
        """List every kind into the store and look at everything."""
        for kind in known_kinds():
            try:
                items, version = self.api.list(kind)
            except NotFoundError:
                self.intake.served(kind, False)
                continue
            self.intake.served(kind, True)
            for item in items:
                self.intake.seen(item)
            self.intake.listed(kind, "", {key_of(item) for item in items}, version)
        self.intake.wake_all()

    async def _relist_for_ever(self) -> None:
        while True:
            await asyncio.sleep(RELIST_SECONDS)
            self.relist()

    def _watch(self, happened: Happened) -> None:
        for delay in self.deliver(version_of(happened.manifest)).delays:
            asyncio.get_running_loop().call_later(LATENCY_SECONDS + delay, self._hear, happened)

    def _hear(self, happened: Happened) -> None:
        manifest = happened.manifest
        if happened.type == "DELETED":
            self.intake.gone(key_of(manifest), uid=uid_of(manifest), version=version_of(manifest))
        else:
            self.intake.seen(manifest)


@dataclass
class World:
    """A cluster, its people, and one operator after the other."""

    behaviour: Behaviour
    controllers: Callable[[MemoryApi], Any]
    deliver: Callable[[int], Delivery] = lambda _number: Delivery()
    api: MemoryApi = field(default_factory=MemoryApi)
    restarts: int = 0
    operator: Operator | None = None

    async def live(self, seconds: float) -> None:
        """Let so much virtual time pass; an operator that is killed is started anew."""
        cluster = asyncio.create_task(self._run_cluster())
        operators = asyncio.create_task(self._run_operators())
        await asyncio.sleep(seconds)
        for task in (operators, cluster):
            task.cancel()
        results = await asyncio.gather(operators, cluster, return_exceptions=True)
        for result in results:
            if not isinstance(result, asyncio.CancelledError):
                raise AssertionError("the simulation ended by itself") from result

    async def _run_operators(self) -> None:
        while True:
            self.operator = Operator(self.api, self.behaviour, self.deliver)
            try:
                await self.operator.run()
            except* KilledError:
                self.restarts += 1

    async def _run_cluster(self) -> None:
        """One step a little after every change, and none while nothing happens."""
        controllers = self.controllers(self.api)
        changed = asyncio.Event()

        def watcher(_: Happened) -> None:
            changed.set()

        self.api.watchers.append(watcher)
        try:
            while True:
                await asyncio.sleep(STEP_SECONDS)
                changed.clear()
                controllers.step()
                await changed.wait()
        finally:
            self.api.watchers.remove(watcher)

    def end_state(self) -> dict[str, Manifest]:
        """Every object as people see it, without what depends on the order in which objects were made."""
        return {str(key): anonymous(stored.manifest) for key, stored in sorted(self.api.objects.items())}


def anonymous(manifest: Manifest) -> Manifest:
    """An object without uids and counters."""
    plain = without_bookkeeping(manifest)
    metadata = {name: value for name, value in plain["metadata"].items() if name not in ("uid", "generation")}
    owners = metadata.get("ownerReferences") or []
    metadata["ownerReferences"] = [{k: v for k, v in owner.items() if k != "uid"} for owner in owners]
    return {**plain, "metadata": metadata}
