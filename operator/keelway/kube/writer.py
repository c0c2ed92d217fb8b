"""The engine's requests as a real API server wants them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp

from keelway.api import GROUP
from keelway.api.base import Manifest
from keelway.api.digests import digest
from keelway.api.kinds import KINDS, Key
from keelway.engine.errors import AlreadyExistsError, ConflictError, NotFoundError, RefusedError, UnavailableError
from keelway.engine.objects import FIELD_MANAGER, key_of, uid_of
from keelway.kube import prometheus
from keelway.kube.client import REQUEST_TIMEOUT, Client
from keelway.kube.paths import collection, object_path
from keelway.lifecycle.plan import Event, LogRequest, MetricAnswer, MetricQuery

APPLY = "application/apply-patch+yaml"
MUST_NOT_EXIST = "1"
"""As resourceVersion of an apply: a create ignores it, an update conflicts, because no object ever has it. So a first
apply never takes over an object that was there before."""
STRICT = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
"""A field that the server does not know is an error: without it a sidecar could be a container that never ends."""
UNKNOWN_FIELD = "field not declared in schema"
LOG_LINES = 2000
LOG_BYTES = 10 << 20
FOLLOW_TIMEOUT = aiohttp.ClientTimeout(total=5)
"""For a log that is read again soon anyway: a node that is gone lets the API server wait for longer."""
NOTE_BYTES = 1000


class ApiWriter:
    """Implements `engine.writer.Writer` on one client. `instance` names this process in Events."""

    def __init__(self, client: Client, *, instance: str) -> None:
        self._client = client
        self._instance = instance

    async def get(self, key: Key) -> Manifest:
        """Read one object as it is now."""
        return manifest(await self._client.request("GET", object_path(key)))

    async def create(self, manifest_: Manifest) -> Manifest:
        """POST an object. Raises AlreadyExistsError."""
        key = key_of(manifest_)
        path = collection(KINDS[key.kind], key.namespace)
        return manifest(await self._client.request("POST", path, query=STRICT, body=manifest_))

    async def apply(self, manifest_: Manifest, *, uid: str | None) -> Manifest:
        """Server-side apply, provided the live object has this uid; None: if there is none. Raises ConflictError."""
        precondition = {"uid": uid} if uid else {"resourceVersion": MUST_NOT_EXIST}
        body = {**manifest_, "metadata": {**manifest_["metadata"], **precondition}}
        try:
            return await self._patch(object_path(key_of(manifest_)), body, STRICT)
        except RefusedError as error:
            # An existing object with another uid is refused as an edit of an immutable field.
            if error.status == 422 and "metadata.uid" in str(error):
                raise ConflictError(str(error), status=409) from error
            raise

    async def apply_status(self, resource: Manifest, status: Mapping[str, Any]) -> Manifest:
        """Server-side apply of the whole status, provided the resource is still at this resourceVersion.

        The precondition is the resourceVersion because the API server overwrites the uid in a status patch of a custom
        resource instead of comparing it.
        """
        metadata = {name: resource["metadata"][name] for name in ("name", "namespace", "uid", "resourceVersion")}
        body = {"apiVersion": resource["apiVersion"], "kind": resource["kind"], "metadata": metadata, "status": status}
        return await self._patch(object_path(key_of(resource), "status"), body, STRICT)

    async def _patch(self, path: str, body: Manifest, query: Mapping[str, str]) -> Manifest:
        query = {**query, "force": "true"}
        try:
            return manifest(await self._client.request("PATCH", path, query=query, body=body, content_type=APPLY))
        except UnavailableError as error:
            # The API server takes an unknown field of an apply for an error of its own and answers 500.
            if UNKNOWN_FIELD in str(error):
                raise RefusedError(str(error), status=422) from error
            raise

    async def delete(self, key: Key, *, uid: str, grace_seconds: int | None) -> Manifest | None:
        """Delete the object with this uid, dependents in the background. None when it is gone at once."""
        options: Manifest = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        answer = manifest(await self._client.request("DELETE", object_path(key), body=options))
        return None if answer["kind"] == "Status" else answer

    async def read_log(self, request: LogRequest) -> str:
        """The end of a container's log. Raises NotFoundError when there is none any more."""
        key = Key("Pod", request.namespace, request.pod)
        query: dict[str, str | int] = {
            "container": request.container,
            "tailLines": LOG_LINES,
            "limitBytes": LOG_BYTES,
        }
        timeout = REQUEST_TIMEOUT if request.max_age is None else FOLLOW_TIMEOUT
        try:
            data = await self._client.read("GET", object_path(key, "log"), query=query, timeout=timeout)
        except RefusedError as error:
            if error.status == 400:
                raise NotFoundError(str(error), status=404) from error
            raise
        return data.decode(errors="replace")

    async def query(self, query: MetricQuery) -> MetricAnswer:
        """Ask a Prometheus server, on a connection of its own and without our credentials. Never raises."""
        return await prometheus.ask(query)

    async def post_event(self, resource: Manifest, event: Event) -> None:
        """Post an Event; its name is made of what it says, so the same is not said twice while it is remembered."""
        body = event_manifest(resource, event, self._instance, datetime.now(UTC))
        path = f"/apis/events.k8s.io/v1/namespaces/{body['metadata']['namespace']}/events"
        try:
            await self._client.request("POST", path, body=body)
        except AlreadyExistsError:
            return


def manifest(answer: Any) -> Manifest:
    """An answer that must be one object."""
    if not isinstance(answer, dict):
        raise RefusedError("the API server answered with something that is not an object")
    return answer


def event_manifest(resource: Manifest, event: Event, instance: str, now: datetime) -> Manifest:
    """An events.k8s.io/v1 Event about a resource."""
    key = key_of(resource)
    said = digest([uid_of(resource), event.type, event.reason, event.message])[:16]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{key.name[:200].rstrip('.-')}.{said}", "namespace": key.namespace},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "type": event.type,
        "reason": event.reason,
        "action": event.reason,
        "note": event.message.encode()[:NOTE_BYTES].decode(errors="ignore"),
        "reportingController": f"{GROUP}/operator",
        "reportingInstance": instance[:128],
        "regarding": {
            "apiVersion": resource["apiVersion"],
            "kind": key.kind,
            "name": key.name,
            "namespace": key.namespace,
            "uid": uid_of(resource),
        },
    }
