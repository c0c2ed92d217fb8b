"""Where news comes from: one port, two sources behind it.

Children are watched by `Watch`, a plain list and watch with a label selector; our own kinds by kopf (`kopf_watch`).
Everything ends up in the engine's Intake. Nothing here decides or writes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from keelway.api.base import Manifest
from keelway.api.kinds import OPTIONAL_GROUPS, Kind
from keelway.engine.errors import ApiError, GoneError, NotFoundError, UnavailableError, name_of
from keelway.engine.intake import Intake
from keelway.engine.objects import key_of, uid_of, version_of
from keelway.engine.telemetry import Telemetry
from keelway.kube.client import Client, error_of
from keelway.kube.paths import collection

logger = logging.getLogger(__name__)
PAGE = 500
WATCH_SECONDS = 300
FIRST_RETRY = 0.2
LAST_RETRY = 30.0
ABSENT_SECONDS = 20.0
"""How often to look whether a kind that is not served has appeared."""


class EventSource(Protocol):
    """Tells the intake what happens, for ever."""

    async def run(self) -> None:
        """Until cancelled; returns never."""

    def age(self) -> float:
        """Seconds since the source was last known to hear the API server."""


class Collection:
    """All objects of one kind, in one namespace or (empty) in all, as a complete list."""

    def __init__(self, kind: Kind, namespace: str, *, client: Client, intake: Intake, telemetry: Telemetry) -> None:
        self.kind = kind
        self.namespace = namespace
        self.client = client
        self.intake = intake
        self.telemetry = telemetry
        self.version = ""
        """resourceVersion of the last complete list; empty when a new one is needed before watching."""
        self.problem = "not listed yet"
        """Why the last list failed; empty after a good one."""
        self.is_known = False
        """Whether the store knows what is there: after a complete list, or when the kind may be absent and is."""

    @property
    def path(self) -> str:
        """Where the API server keeps them."""
        return collection(self.kind, self.namespace)

    @property
    def is_optional(self) -> bool:
        """Whether a cluster may do without this kind."""
        return self.kind.group in OPTIONAL_GROUPS

    def selected(self, **query: str | int) -> dict[str, str | int]:
        """A query for the objects that concern us."""
        return {**query, "labelSelector": self.kind.selector} if self.kind.selector else query

    async def list(self) -> None:
        """Bring the store up to date. An optional kind that is not served has no objects. Any other must be there: its
        absence leaves the store as it is, because decisions would take it for a deletion.

        Raises ApiError, NotFoundError when the kind is not served.
        """
        try:
            self.version = await self._list()
        except ApiError as error:
            self.problem, self.version = str(error), ""
            self.telemetry.relists.labels(self.kind.name, name_of(error)).inc()
            if isinstance(error, NotFoundError) and self.is_optional:
                self.intake.served(self.kind.name, False)
            raise
        self.problem, self.is_known = "", True
        self.telemetry.relists.labels(self.kind.name, "ok").inc()
        self.intake.served(self.kind.name, True)

    async def _list(self) -> str:
        present = set()
        version = ""
        async for page in self._pages():
            version = version or page["metadata"]["resourceVersion"]
            for item in page["items"]:
                complete = {**item, "apiVersion": self.kind.api_version, "kind": self.kind.name}
                present.add(key_of(complete))
                self.intake.seen(complete)
        self.intake.listed(self.kind.name, self.namespace, present, int(version))
        return version

    async def _pages(self) -> AsyncIterator[Manifest]:
        query = self.selected(limit=PAGE)
        while True:
            page = await self.client.request("GET", self.path, query=query)
            yield page
            token = page["metadata"].get("continue")
            if not token:
                return
            query["continue"] = token


class Watch:
    """List and watch of one collection."""

    def __init__(self, collection: Collection, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._collection = collection
        self._clock = clock
        self._heard: float | None = None

    def __str__(self) -> str:
        return f"the watch of {self._collection.kind.name}"

    def age(self) -> float:
        """Seconds since the API server was last heard; bookmarks come every minute."""
        return self._clock() - self._heard if self._heard is not None else 0.0

    async def run(self) -> None:
        """List unless that was done, watch from there, list again when the watch has lost its place; for ever."""
        failures = 0
        while True:
            try:
                if not self._collection.version:
                    await self._collection.list()
                self._heard = self._clock()
                failures = 0
                await self._follow(self._collection.version)
            except GoneError as error:
                self._note(error)
                self._collection.version = ""
                await asyncio.sleep(FIRST_RETRY)
            except NotFoundError:
                self._heard = self._clock()
                await self._await_kind()
            except ApiError as error:
                self._note(error)
                failures += 1
                await asyncio.sleep(backoff(failures, error))

    async def _await_kind(self) -> None:
        """A kind that vanished while it was watched is listed once more, which tells the store; else wait."""
        if self._collection.version:
            self._collection.version = ""
        else:
            await asyncio.sleep(ABSENT_SECONDS)

    async def _follow(self, version: str) -> None:
        """Watch and watch again from the last version heard. Raises GoneError, NotFoundError when that is no use."""
        failures = 0
        while True:
            try:
                async for event in self._events(version):
                    version = self._hear(event)
                    failures = 0
                await asyncio.sleep(FIRST_RETRY)
            except (GoneError, NotFoundError):
                raise
            except ApiError as error:
                self._note(error)
                failures += 1
                await asyncio.sleep(backoff(failures, error))

    async def _events(self, version: str) -> AsyncIterator[Manifest]:
        query = self._collection.selected(
            watch=1, allowWatchBookmarks="true", resourceVersion=version, timeoutSeconds=WATCH_SECONDS
        )
        async for line in self._collection.client.lines(self._collection.path, query):
            self._heard = self._clock()
            yield event_of(line)

    def _hear(self, event: Manifest) -> str:
        """Take in one event; the version to go on from."""
        if event["type"] == "ERROR":
            status = event["object"]
            raise error_of(int(status.get("code") or 500), json.dumps(status).encode())
        tell(self._collection.intake, event["type"], event["object"])
        return str(event["object"]["metadata"]["resourceVersion"])

    def _note(self, error: ApiError) -> None:
        kind = self._collection.kind.name
        self._collection.telemetry.watch_restarts.labels(kind, name_of(error)).inc()
        logger.info("The watch of %s begins anew: %s", kind, error)


def event_of(line: bytes) -> Manifest:
    """One line of a watch. Raises UnavailableError for half a line of a broken connection."""
    try:
        event: Manifest = json.loads(line)
    except ValueError as error:
        raise UnavailableError("the watch broke off within a line") from error
    return event


def tell(intake: Intake, type_: str | None, manifest: Manifest) -> None:
    """Pass one watch event on; no type is an object of a list."""
    if type_ == "DELETED":
        intake.gone(key_of(manifest), uid=uid_of(manifest), version=version_of(manifest))
    elif type_ != "BOOKMARK":
        intake.seen(manifest)


def backoff(failures: int, error: ApiError) -> float:
    """Seconds to wait after so many failures in a row, at least what the server asked for."""
    longest = min(LAST_RETRY, FIRST_RETRY * 2.0 ** min(failures - 1, 16))
    return max(longest * random.uniform(0.5, 1.0), error.retry_after or 0.0)
