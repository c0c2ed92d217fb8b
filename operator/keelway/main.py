"""The operator's process: connect, list everything, stand by for the Lease, then work until told to stop.

Started in this order: client, health endpoints, complete lists, watches, Lease, workers. Stopped in the opposite one:
workers finish what they carry out, the Lease is released, the rest is dropped. Nothing is written without the Lease.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from pydantic import ValidationError

from keelway.api.kinds import CHILD_KINDS, OWN_KINDS, Kind
from keelway.engine.behaviour import Behaviour
from keelway.engine.executor import Executor
from keelway.engine.intake import Intake
from keelway.engine.loop import Loop
from keelway.engine.queue import Queue
from keelway.engine.store import Store
from keelway.engine.telemetry import Telemetry
from keelway.kube import log
from keelway.kube.client import Client
from keelway.kube.health import Health, Heartbeat
from keelway.kube.kopf_watch import KopfWatch
from keelway.kube.lease import Lease, LeaseLostError
from keelway.kube.relist import Relist, fill
from keelway.kube.watch import Collection, EventSource, Watch
from keelway.kube.writer import ApiWriter
from keelway.lifecycle.settings import JobSettings
from keelway.settings import Settings

logger = logging.getLogger(__name__)
FINISH_SECONDS = 1.5
"""How long workers may finish what they carry out after the signal to stop."""
CANCEL_SECONDS = 0.8
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Operator:
    """One operator with everything that it is made of; `run` is its whole life."""

    def __init__(self, settings: Settings, behaviour: Behaviour, client: Client) -> None:
        self._settings = settings
        self._client = client
        self._telemetry = Telemetry()
        self._stopping = asyncio.Event()
        self._kopf_starts = 0
        store = Store(subjects=behaviour.subjects, references=behaviour.references, attributed=behaviour.attributed)
        queue = Queue()
        self._intake = Intake(store=store, queue=queue, kinds=frozenset(behaviour.reconcilers))
        self._loop = Loop(
            behaviour=behaviour,
            store=store,
            queue=queue,
            executor=Executor(
                store=store,
                intake=self._intake,
                writer=ApiWriter(client, instance=settings.identity),
                telemetry=self._telemetry,
            ),
            telemetry=self._telemetry,
        )
        self._lease = Lease(client, namespace=settings.namespace, name=settings.lease_name, identity=settings.identity)
        children = self._collections(CHILD_KINDS)
        self._all_collections = [*self._collections(OWN_KINDS), *children]
        self._relist = Relist(self._all_collections, self._intake, settings.relist_seconds)
        self._sources = self._event_sources(children)
        self._health = Health(
            loop=self._loop,
            queue=queue,
            store=store,
            telemetry=self._telemetry,
            heartbeat=Heartbeat(),
            sources=self._sources,
            collections=self._all_collections,
            acting=self._lease.held,
        )

    def _collections(self, kinds: Sequence[Kind]) -> list[Collection]:
        return [
            Collection(kind, namespace, client=self._client, intake=self._intake, telemetry=self._telemetry)
            for kind in kinds
            for namespace in self._settings.watch_namespaces or ("",)
        ]

    def _event_sources(self, children: Sequence[Collection]) -> list[EventSource]:
        own = KopfWatch(
            OWN_KINDS,
            self._settings.watch_namespaces,
            client=self._client,
            intake=self._intake,
            telemetry=self._telemetry,
            started=self._kopf_started,
        )
        return [own, *(Watch(collection) for collection in children)]

    def stop(self) -> None:
        """Ask `run` to come to its end."""
        self._stopping.set()

    async def run(self) -> None:
        """Live until stopped. Raises an ExceptionGroup with what made it impossible to go on: LeaseLostError."""
        self._take_signals()
        self._health.register(build_version())
        endpoints = await self._health.serve(self._settings.health_host, self._settings.health_port)
        life = asyncio.create_task(self._live())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((life, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not life.done():
                await self._finish(life)
            else:
                await life
        finally:
            stopping.cancel()
            await endpoints.cleanup()

    async def _live(self) -> None:
        """Never ends by itself but by an error."""
        await fill(self._all_collections)
        logger.info("Ready: everything is listed")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._health.heartbeat.run())
            group.create_task(self._relist.run())
            for source in self._sources:
                group.create_task(source.run())
            await self._lease.acquire()
            group.create_task(self._lease.hold())
            group.create_task(self._loop.run(self._settings.workers))

    async def _finish(self, life: asyncio.Task[None]) -> None:
        logger.info("Stopping")
        await self._loop.finish(FINISH_SECONDS)
        life.cancel()
        await asyncio.wait((life,), timeout=CANCEL_SECONDS)
        await self._lease.release()

    def _kopf_started(self) -> None:
        """What was deleted while kopf did not run is in no event; the first start follows complete lists."""
        self._take_signals()
        if self._kopf_starts:
            self._relist.request()
        self._kopf_starts += 1

    def _take_signals(self) -> None:
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self.stop)


def build_version() -> str:
    """The version of the installed package."""
    try:
        return version("keelway")
    except PackageNotFoundError:
        return "unknown"


def product(settings: Settings) -> Behaviour:
    """Keelway's own kinds."""
    from keelway.lifecycle import registry, routing

    jobs = JobSettings(worker_image=settings.worker_image, worker_pull_policy=settings.worker_pull_policy)
    return Behaviour(
        reconcilers=registry.reconcilers(jobs),
        failed=registry.failed,
        subjects=routing.subjects,
        references=routing.references,
        attributed=routing.ATTRIBUTED,
    )


async def operate(settings: Settings, behaviour: Behaviour) -> int:
    """Run one operator; the exit code of the process."""
    client = await Client.connect(settings.kubeconfig)
    exit_code = 0
    try:
        await Operator(settings, behaviour, client).run()
    except* LeaseLostError as lost:
        logger.error("Ending: %s", lost.exceptions[0])
        exit_code = 1
    finally:
        await client.close()
    return exit_code


def main() -> int:
    """Run the operator as the environment says."""
    try:
        settings = Settings()
    except ValidationError as error:
        print(f"keelway: wrong settings: {error}", file=sys.stderr)
        return 2
    log.set_up(settings.log_level)
    return asyncio.run(operate(settings, product(settings)))
