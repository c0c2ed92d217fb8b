"""Our own kinds by kopf: `on.event` handlers that pass on what they hear, and nothing else of it.

kopf's other handlers would write annotations into the watched objects (docs/decisions/0004). kopf does not report what
was deleted while its watch had lost its place; the regular complete list does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from typing import Any

import kopf
from kubernetes.aio.client.configuration import Configuration

from keelway.api import GROUP
from keelway.api.kinds import Kind
from keelway.engine.intake import Intake
from keelway.engine.telemetry import Telemetry
from keelway.kube.client import Client
from keelway.kube.watch import PAGE, WATCH_SECONDS, tell

logger = logging.getLogger(__name__)
RESTART_SECONDS = 2.0


class KopfWatch:
    """kopf inside our event loop. `namespaces` empty: all of them. kopf takes the signals of the process for itself:
    `started`, called after each start, may take them back."""

    def __init__(
        self,
        kinds: Collection[Kind],
        namespaces: Collection[str],
        *,
        client: Client,
        intake: Intake,
        telemetry: Telemetry,
        started: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kinds = kinds
        self._namespaces = namespaces
        self._client = client
        self._intake = intake
        self._telemetry = telemetry
        self._started = started
        self._clock = clock
        self._ended: float | None = None

    def __str__(self) -> str:
        return "kopf"

    def age(self) -> float:
        """Seconds since kopf ended; 0 while it runs, because it looks after its own streams."""
        return self._clock() - self._ended if self._ended is not None else 0.0

    async def run(self) -> None:
        """Run kopf, and again should it end."""
        while True:
            try:
                await self._run_once()
            finally:
                self._ended = self._clock()
            self._telemetry.watch_restarts.labels("kopf", "Ended").inc()
            await asyncio.sleep(RESTART_SECONDS)

    async def _run_once(self) -> None:
        """Until one of kopf's tasks ends. Its own `run_tasks` would cancel every task of the process on its way out."""
        tasks = await kopf.spawn_tasks(
            registry=self._registry(),
            settings=settings(),
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=list(self._namespaces),
        )
        self._ended = None
        self._started()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = None if task.cancelled() else task.exception()
                logger.warning("kopf begins anew: %s", error or f"{task.get_name()} ended")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._log_in)
        for kind in self._kinds:
            kopf.on.event(kind.group, kind.version, kind.plural, registry=registry)(self._hear)
        return registry

    async def _log_in(self, **_: Any) -> kopf.ConnectionInfo:
        return await connection_info(self._client.configuration)

    async def _hear(self, event: Any, **_: Any) -> None:
        tell(self._intake, event["type"], event["object"])


class NothingToCompare(kopf.DiffBaseStorage):
    """kopf copies every object twice, to tell create handlers from update handlers. There are none."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """What would be compared."""
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        """What was stored for that: nothing, ever."""

    def store(self, **_: Any) -> None:
        """Called for change handlers alone."""


async def connection_info(configuration: Configuration) -> kopf.ConnectionInfo:
    """Our client's way to the API server, for kopf."""
    header = (await configuration.auth_settings()).get("BearerToken", {}).get("value") or ""
    scheme, _, token = str(header).partition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme=scheme.capitalize() or None,
        token=token.strip() or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        proxy_url=configuration.proxy,
    )


def settings() -> kopf.OperatorSettings:
    """kopf that only watches: no events of its own, no search for new kinds, no marks on objects."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.scanning.disabled = True
    chosen.watching.server_timeout = WATCH_SECONDS
    chosen.watching.connect_timeout = 10
    chosen.watching.chunk_size = PAGE
    chosen.queueing.exit_timeout = 0.1
    chosen.persistence.finalizer = f"{GROUP}/unused"
    chosen.persistence.diffbase_storage = NothingToCompare()
    chosen.process.ultimate_exiting_timeout = None
    return chosen
