"""Who acts: a Lease in the operator's namespace. Others stand by with a filled store.

Ours, because `kubernetes.aio.leaderelection` cannot release a Lease, renews with two requests, ends on a broken
connection and writes local time (docs/decisions/0005). The protocol is that of client-go: a holder is believed until
its record has not changed for `leaseDurationSeconds` of our own monotonic clock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from keelway.api.base import Manifest
from keelway.engine.errors import AlreadyExistsError, ApiError, ConflictError, NotFoundError
from keelway.kube.client import Client

logger = logging.getLogger(__name__)
API_VERSION = "coordination.k8s.io/v1"
DURATION = 15.0
RENEW_DEADLINE = 10.0
RETRY = 2.0
RELEASE_SECONDS = 0.5


class LeaseLostError(Exception):
    """Somebody else may act now: this process must end."""


class Lease:
    """One Lease object. `identity` must be this process's alone."""

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        name: str,
        identity: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._path = f"/apis/{API_VERSION}/namespaces/{namespace}/leases"
        self._name = name
        self._identity = identity
        self._clock = clock
        self._lease: Manifest | None = None
        """The object as we last read or wrote it."""
        self._changed = clock()
        """When we first saw it so."""
        self._renewed: float | None = None

    def held(self) -> bool:
        """Whether we may act."""
        return self._renewed is not None and self._clock() - self._renewed < RENEW_DEADLINE

    async def acquire(self) -> None:
        """Wait until the Lease is ours."""
        waiting = False
        while not await self._try():
            if not waiting:
                logger.info("Standing by: the lease %s is held by %s", self._name, self._holder())
                waiting = True
            await asyncio.sleep(RETRY)
        logger.info("The lease %s is ours", self._name, extra={"identity": self._identity})

    async def hold(self) -> None:
        """Renew until cancelled. Raises LeaseLostError."""
        while True:
            await asyncio.sleep(RETRY)
            try:
                async with asyncio.timeout(RETRY):
                    await self._try()
            except TimeoutError:
                logger.warning("The lease %s could not be renewed in time", self._name)
            if not self.held() or self._holder() not in ("", self._identity):
                self._renewed = None
                raise LeaseLostError(f"the lease {self._name} is lost; its holder is {self._holder() or 'nobody'}")

    async def release(self) -> None:
        """Let go, so that another one need not wait."""
        if self._renewed is None or self._lease is None:
            return
        self._renewed = None
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._write({**self._lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1})
        except (ApiError, TimeoutError) as error:
            logger.warning("The lease %s was not released: %s", self._name, error)

    async def _try(self) -> bool:
        """One attempt to take or renew it: one request while nobody else writes."""
        started = self._clock()
        try:
            if self._lease is None or self._holder() != self._identity:
                await self._read()
            if not self._is_free():
                return False
            await self._write(self._spec())
        except ApiError as error:
            logger.info("The lease %s: %s", self._name, error)
            if isinstance(error, (ConflictError, AlreadyExistsError, NotFoundError)):
                self._lease = None
            return False
        self._renewed = started
        return True

    async def _read(self) -> None:
        try:
            lease: Manifest = await self._client.request("GET", f"{self._path}/{self._name}")
        except NotFoundError:
            self._lease = None
            return
        if self._lease is None or lease["spec"] != self._lease["spec"]:
            self._changed = self._clock()
        self._lease = lease

    def _holder(self) -> str:
        return str((self._lease or {}).get("spec", {}).get("holderIdentity") or "")

    def _is_free(self) -> bool:
        """Nobody's, ours, or of one that has not renewed it for too long."""
        spec = (self._lease or {}).get("spec", {})
        expired = self._clock() - self._changed > float(spec.get("leaseDurationSeconds") or DURATION)
        return self._holder() in ("", self._identity) or expired

    def _spec(self) -> Manifest:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = (self._lease or {}).get("spec", {})
        kept = self._holder() == self._identity
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(DURATION),
            "acquireTime": old.get("acquireTime") or now if kept else now,
            "renewTime": now,
            "leaseTransitions": int(old.get("leaseTransitions") or 0) + (0 if kept else 1),
        }

    async def _write(self, spec: Manifest) -> None:
        if self._lease is None:
            body = {"apiVersion": API_VERSION, "kind": "Lease", "metadata": {"name": self._name}, "spec": spec}
            self._lease = await self._client.request("POST", self._path, body=body)
        else:
            body = {**self._lease, "spec": spec}
            self._lease = await self._client.request("PUT", f"{self._path}/{self._name}", body=body)
        self._changed = self._clock()
