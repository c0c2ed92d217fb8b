"""What the health endpoints answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp
import pytest

from keelway.api.kinds import KINDS, Key
from keelway.engine.behaviour import Behaviour
from keelway.engine.executor import Executor
from keelway.engine.intake import Intake
from keelway.engine.loop import Loop
from keelway.engine.queue import Queue
from keelway.engine.store import Store
from keelway.engine.telemetry import Telemetry
from keelway.kube.health import LAG_SECONDS, WATCH_SECONDS, WORKER_SECONDS, Health, Heartbeat
from keelway.kube.watch import Collection
from keelway.lifecycle.plan import Plan
from tests.property.engine.memory_api import MemoryApi
from tests.unit.engine.objects import thing
from tests.unit.kube.test_lease import LeaseServer


@dataclass
class Source:
    """A source of events of some age."""

    seconds: float = 0.0

    async def run(self) -> None:
        await asyncio.Event().wait()

    def age(self) -> float:
        return self.seconds

    def __str__(self) -> str:
        return "the watch of Job"


class Process:
    """Everything that Health looks at."""

    def __init__(self) -> None:
        self.now = 0.0
        self.api = MemoryApi()
        self.telemetry = Telemetry()
        self.source = Source()
        self.store = Store(subjects=lambda _: frozenset(), references=lambda _: frozenset())
        self.queue = Queue()
        intake = Intake(store=self.store, queue=self.queue, kinds={"Experiment"})
        behaviour = Behaviour(
            reconcilers={"Experiment": lambda *_: Plan("x", status={"a": 1})},
            failed=lambda *_: None,
            subjects=lambda _: frozenset(),
            references=lambda _: frozenset(),
        )
        self.loop = Loop(
            behaviour=behaviour,
            store=self.store,
            queue=self.queue,
            executor=Executor(store=self.store, intake=intake, writer=self.api, telemetry=self.telemetry),
            telemetry=self.telemetry,
            clock=lambda: self.now,
        )
        self.collection = Collection(
            KINDS["Job"], "", client=LeaseServer().client("a"), intake=intake, telemetry=self.telemetry
        )
        self.health = Health(
            loop=self.loop,
            queue=self.queue,
            store=self.store,
            telemetry=self.telemetry,
            heartbeat=Heartbeat(),
            sources=[self.source],
            collections=[self.collection],
            acting=lambda: True,
        )


@pytest.fixture
def process() -> Process:
    return Process()


async def ask(process: Process, path: str) -> tuple[int, str]:
    """One request over HTTP."""
    runner = await process.health.serve("127.0.0.1", 0)
    host, port = runner.addresses[0][:2]
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}{path}") as answer:
            return answer.status, await answer.text()
    finally:
        await runner.cleanup()


async def test_ready_when_everything_was_listed(process: Process) -> None:
    assert await ask(process, "/readyz") == (503, "Job: not listed yet")
    process.collection.problem = "forbidden"
    assert await ask(process, "/readyz") == (503, "Job: forbidden")
    process.collection.is_known = True
    assert await ask(process, "/readyz") == (200, "ok")


async def test_alive_while_nothing_hangs(process: Process) -> None:
    assert await ask(process, "/livez") == (200, "ok")


async def test_dead_when_a_watch_hears_nothing(process: Process) -> None:
    process.source.seconds = WATCH_SECONDS + 1
    status, text = await ask(process, "/livez")
    assert (status, text) == (503, "the watch of Job has heard nothing for 901 s")


async def test_dead_when_the_event_loop_lags(process: Process) -> None:
    process.health.heartbeat.lag = LAG_SECONDS + 1
    assert (await ask(process, "/livez"))[0] == 503


async def test_dead_when_a_worker_hangs(process: Process) -> None:
    process.api.latency = lambda _verb: 3600.0
    process.store.upsert(thing("Experiment", "gbt"))
    process.queue.add(Key("Experiment", "ml", "gbt"))
    task = asyncio.create_task(process.loop.run(1))
    async with asyncio.timeout(5):
        while not process.loop.busy():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (await ask(process, "/livez"))[0] == 200
    process.now = WORKER_SECONDS + 1
    status, text = await ask(process, "/livez")
    assert (status, text) == (503, "a worker has been busy with Experiment/ml/gbt for 601 s")
    task.cancel()


async def test_metrics_tell_depth_objects_and_build(process: Process) -> None:
    process.health.register("1.2.3")
    process.store.upsert(thing("Experiment", "gbt"))
    process.queue.add(Key("Experiment", "ml", "gbt"), urgent=True)
    status, text = await ask(process, "/metrics")
    assert status == 200
    for line in (
        'keelway_queue_depth{lane="urgent"} 1.0',
        'keelway_objects{kind="Experiment"} 1.0',
        'keelway_build_info{version="1.2.3"} 1.0',
        "keelway_acting 1.0",
    ):
        assert line in text.splitlines()
    assert "_created" not in text


async def test_the_heartbeat_notices_a_blocked_loop() -> None:
    heartbeat = Heartbeat()
    task = asyncio.create_task(heartbeat.run())
    await asyncio.sleep(0)
    clock = asyncio.get_running_loop().time
    until = clock() + 1.3
    while clock() < until:
        pass  # block the loop as a long computation would
    async with asyncio.timeout(5):
        while not heartbeat.lag:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert heartbeat.lag >= 0.25
    task.cancel()
