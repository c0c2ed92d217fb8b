"""What the engine asks of an API server, and of Prometheus servers. `kube.writer` speaks to real ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.lifecycle.plan import Event, LogRequest, MetricAnswer, MetricQuery


class Writer(Protocol):
    """Requests of the engine. Each raises subclasses of `engine.errors.ApiError`; an answer is the stored object."""

    async def get(self, key: Key) -> Manifest:
        """Read one object as it is now."""

    async def create(self, manifest: Manifest) -> Manifest:
        """Create an object. Raises AlreadyExistsError."""

    async def apply(self, manifest: Manifest, *, uid: str | None) -> Manifest:
        """Server-side apply, provided the live object has this uid; None: if there is none. Raises ConflictError."""

    async def apply_status(self, resource: Manifest, status: Mapping[str, Any]) -> Manifest:
        """Server-side apply of the whole status, provided the resource is still at this resourceVersion: the API server
        does not look at the uid of a custom resource's status. Raises ConflictError, NotFoundError."""

    async def delete(self, key: Key, *, uid: str, grace_seconds: int | None) -> Manifest | None:
        """Delete the object with this uid, dependents in the background. None when it is gone, else what is left of it
        while finalizers and grace periods run. Raises ConflictError when another object has the name."""

    async def read_log(self, request: LogRequest) -> str:
        """The log of a container. Raises NotFoundError when there is none any more."""

    async def query(self, query: MetricQuery) -> MetricAnswer:
        """Ask a Prometheus server. Never raises: what goes wrong is the answer's error."""

    async def post_event(self, resource: Manifest, event: Event) -> None:
        """Tell people about a resource. The same event about the same resource is posted once."""
