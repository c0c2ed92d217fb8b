"""An API server in memory, for every kind: what the engine asks, what controllers and people do, what watches say.

It keeps the promises that decisions rest on: resourceVersions that grow, uids that never come back, create and delete
preconditions, server-side apply with owned fields and managedFields, generations, status as a subresource, finalizers,
garbage collection by ownerReferences. Lists are merged whole, except finalizers of metadata.
Every change is told to `watchers`, in order; how and whether it arrives is up to them.
"""

from __future__ import annotations

import asyncio
import marshal
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias, TypeVar

from keelway.api.base import Manifest
from keelway.api.kinds import KINDS, Key
from keelway.engine.errors import AlreadyExistsError, ApiError, ConflictError, NotFoundError, RefusedError
from keelway.engine.objects import FIELD_MANAGER, controller, key_of, uid_of
from keelway.lifecycle.plan import Event, LogRequest, MetricAnswer, MetricQuery

T = TypeVar("T")
Path: TypeAlias = tuple[str, ...]
IDENTITY: Collection[Path] = {("apiVersion",), ("kind",)}
SYSTEM_FIELDS = ("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields")
NOW = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request. `took_effect`: the answer is lost, the write is not."""

    error: ApiError
    took_effect: bool = False


@dataclass(frozen=True)
class Happened:
    """One line of a watch."""

    type: str
    manifest: Manifest


@dataclass
class Stored:
    """One object and who owns which of its fields."""

    manifest: Manifest
    owners: dict[tuple[str, str], set[Path]] = field(default_factory=dict)
    """(field manager, subresource) to the paths that it applied."""


class MemoryApi:
    """Implements `engine.writer.Writer`. `faults(verb, key)` may break any request; `wrote` hears of each effect."""

    def __init__(self) -> None:
        self.objects: dict[Key, Stored] = {}
        self.watchers: list[Callable[[Happened], None]] = []
        self.logs: dict[tuple[str, str], str] = {}
        """(pod uid, container) to text."""
        self.prometheus: Callable[[MetricQuery], MetricAnswer] = lambda _query: MetricAnswer()
        """What a Prometheus server answers."""
        self.posted: list[tuple[Key, Event]] = []
        self.requests: list[str] = []
        self.effects: list[str] = []
        """Requests of the Writer that changed an object."""
        self.created: list[Key] = []
        self.unserved: set[str] = set()
        self.admit: Callable[[Manifest], Manifest] = lambda manifest: manifest
        """What webhooks make of an object before it is stored."""
        self.latency: Callable[[str], float] = lambda _verb: 0.0
        """Seconds until a request with this verb is looked at."""
        self.faults: Callable[[str, Key], Fault | None] = lambda _verb, _key: None
        self.wrote: Callable[[], None] = lambda: None
        self._versions = count(1)
        self._uids = count(1)
        self.version = 0

    # the engine's Writer

    async def get(self, key: Key) -> Manifest:
        return await self._request("get", key, lambda: self.read(key))

    async def create(self, manifest: Manifest) -> Manifest:
        return await self._request("create", key_of(manifest), lambda: self._create(manifest))

    async def apply(self, manifest: Manifest, *, uid: str | None) -> Manifest:
        return await self._request("apply", key_of(manifest), lambda: self._apply(manifest, uid))

    async def apply_status(self, resource: Manifest, status: Mapping[str, Any]) -> Manifest:
        return await self._request("status", key_of(resource), lambda: self._apply_status(resource, status))

    async def delete(self, key: Key, *, uid: str, grace_seconds: int | None) -> Manifest | None:  # noqa: ARG002
        return await self._request("delete", key, lambda: self._delete(key, uid))

    async def read_log(self, request: LogRequest) -> str:
        key = Key("Pod", request.namespace, request.pod)
        return await self._request("log", key, lambda: self._log(request))

    async def query(self, query: MetricQuery) -> MetricAnswer:
        self.requests.append(f"query {query.round}")
        await asyncio.sleep(self.latency("query"))
        return self.prometheus(query)

    async def post_event(self, resource: Manifest, event: Event) -> None:
        await self._request("event", key_of(resource), lambda: self.posted.append((key_of(resource), event)))

    async def _request(self, verb: str, key: Key, action: Callable[[], T]) -> T:
        self.requests.append(f"{verb} {key}")
        await asyncio.sleep(self.latency(verb))
        fault = self.faults(verb, key)
        if fault and not fault.took_effect:
            raise fault.error
        before = self.version
        answer: T = copied(action())
        if self.version != before:
            self.effects.append(f"{verb} {key}")
            self.wrote()
        if fault:
            raise fault.error
        return answer

    # what people and controllers do

    def read(self, key: Key) -> Manifest:
        """The object as it is now."""
        if key not in self.objects:
            raise NotFoundError(f"{key} not found", status=404)
        return self.objects[key].manifest

    def put(self, manifest: Manifest) -> Manifest:
        """Create an object, or replace everything of it but its status, as a person with an editor does."""
        key = key_of(manifest)
        if key not in self.objects:
            return self._create(manifest)
        stored = self.objects[key]
        wanted = copied(manifest)
        for name in SYSTEM_FIELDS:
            if name in stored.manifest["metadata"]:
                wanted["metadata"][name] = stored.manifest["metadata"][name]
        wanted.pop("status", None)
        if "status" in stored.manifest:
            wanted["status"] = stored.manifest["status"]
        return self._store(key, stored, wanted)

    def set_status(self, key: Key, status: Mapping[str, Any]) -> Manifest:
        """What a controller of the cluster says about an object."""
        stored = self.objects[key]
        return self._store(key, stored, {**stored.manifest, "status": copied(dict(status))})

    def remove(self, key: Key) -> None:
        """Delete an object as a person does, dependents in the background."""
        self._delete(key, uid_of(self.read(key)))

    def unserve(self, kind: str) -> None:
        """Take the definition of a kind away, and its objects with it."""
        for key in [key for key in self.objects if key.kind == kind]:
            self._forget(key)
        self.unserved.add(kind)

    def list(self, kind: str) -> tuple[list[Manifest], int]:
        """All objects of a kind and the resourceVersion of the list."""
        if kind in self.unserved:
            raise NotFoundError(f"{kind} is not served", status=404)
        found = sorted(key for key in self.objects if key.kind == kind)
        return [copied(self.objects[key].manifest) for key in found], self.version

    # how the server works

    def _create(self, manifest: Manifest) -> Manifest:
        key = key_of(manifest)
        if key.kind in self.unserved:
            raise NotFoundError(f"{key.kind} is not served", status=404)
        if key in self.objects:
            raise AlreadyExistsError(f"{key} already exists", status=409)
        fresh = {name: copied(value) for name, value in manifest.items() if name != "status"}
        fresh["metadata"].update(uid=f"uid-{next(self._uids)}", creationTimestamp=NOW, generation=1)
        self.created.append(key)
        return self._commit("ADDED", key, Stored(self.admit(fresh)))

    def _apply(self, manifest: Manifest, uid: str | None) -> Manifest:
        key = key_of(manifest)
        stored = self.objects.get(key)
        if (uid_of(stored.manifest) if stored else None) != uid:
            raise ConflictError(f"{key} is not the object with uid {uid}", status=409)
        if stored is None:
            self._create(manifest)
            self.objects[key].owners[FIELD_MANAGER, ""] = {path for path, _ in leaves(manifest)}
            return self._stamp(key)
        merged = self._merge(stored, (FIELD_MANAGER, ""), manifest)
        return self._store(key, stored, merged)

    def _apply_status(self, resource: Manifest, status: Mapping[str, Any]) -> Manifest:
        key = key_of(resource)
        current = self.read(key)["metadata"]
        if current["resourceVersion"] != resource["metadata"]["resourceVersion"]:
            raise ConflictError(f"{key} has been modified", status=409)
        stored = self.objects[key]
        merged = self._merge(stored, (FIELD_MANAGER, "status"), {"status": dict(status)})
        return self._store(key, stored, merged)

    def _merge(self, stored: Stored, manager: tuple[str, str], manifest: Manifest) -> Manifest:
        wanted = dict(leaves(manifest))
        others = {path for name, paths in stored.owners.items() if name != manager for path in paths}
        merged: Manifest = copied(stored.manifest)
        for path in stored.owners.get(manager, set()) - set(wanted) - others:
            drop(merged, path)
        for path, value in wanted.items():
            put(merged, path, copied(value))
        stored.owners[manager] = set(wanted)
        return merged

    def _store(self, key: Key, stored: Stored, manifest: Manifest) -> Manifest:
        """Write an object where it changed at all."""
        old, manifest = stored.manifest, self.admit(manifest)
        if without_bookkeeping(old) == without_bookkeeping(manifest):
            return self._stamp(key)
        if old.get("spec") != manifest.get("spec"):
            manifest["metadata"]["generation"] = old["metadata"]["generation"] + 1
        stored.manifest = manifest
        return self._commit("MODIFIED", key, stored)

    def _commit(self, type_: str, key: Key, stored: Stored) -> Manifest:
        self.version = next(self._versions)
        self.objects[key] = stored
        stored.manifest["metadata"]["resourceVersion"] = str(self.version)
        self._stamp(key)
        self._tell(Happened(type_, copied(stored.manifest)))
        return stored.manifest

    def _tell(self, happened: Happened) -> None:
        for watcher in self.watchers:
            watcher(happened)

    def _stamp(self, key: Key) -> Manifest:
        stored = self.objects[key]
        stored.manifest["metadata"]["managedFields"] = [
            managed_fields(name, subresource, paths) for (name, subresource), paths in sorted(stored.owners.items())
        ]
        return stored.manifest

    def _delete(self, key: Key, uid: str) -> Manifest | None:
        manifest = self.read(key)
        if uid_of(manifest) != uid:
            raise ConflictError(f"{key} is not the object with uid {uid}", status=409)
        if not manifest["metadata"].get("finalizers"):
            self._forget(key)
            return None
        if "deletionTimestamp" not in manifest["metadata"]:
            ending = copied(manifest)
            ending["metadata"]["deletionTimestamp"] = NOW
            return self._store(key, self.objects[key], ending)
        return manifest

    def _forget(self, key: Key) -> None:
        stored = self.objects.pop(key)
        self.version = next(self._versions)
        last = copied(stored.manifest)
        last["metadata"]["resourceVersion"] = str(self.version)
        self._tell(Happened("DELETED", last))
        for dependent in self._dependents(uid_of(last)):
            if dependent in self.objects:
                self._delete(dependent, uid_of(self.read(dependent)))

    def _dependents(self, uid: str) -> Iterator[Key]:
        for key, stored in list(self.objects.items()):
            owners = stored.manifest["metadata"].get("ownerReferences") or ()
            if any(owner["uid"] == uid for owner in owners):
                yield key

    def collect_orphans(self) -> None:
        """Garbage collection of what was created for an owner that was gone already."""
        uids = {uid_of(stored.manifest) for stored in self.objects.values()}
        for key in [key for key, stored in self.objects.items() if controller(stored.manifest)]:
            if key in self.objects and controller(self.read(key))["uid"] not in uids:
                self._delete(key, uid_of(self.read(key)))

    def _log(self, request: LogRequest) -> str:
        pod = self.objects.get(Key("Pod", request.namespace, request.pod))
        if pod is None or uid_of(pod.manifest) != request.pod_uid:
            raise NotFoundError(f"pod {request.pod} not found", status=404)
        if (request.pod_uid, request.container) not in self.logs:
            raise RefusedError(f"container {request.container} is waiting to start", status=400)
        return self.logs[request.pod_uid, request.container]


def copied(value: Any) -> Any:
    """A copy of plain JSON that shares nothing with it; far faster than `copy.deepcopy`, and a test makes thousands."""
    return marshal.loads(marshal.dumps(value))


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every field that an applied manifest states, without what names the object."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            if not is_identity((*path, name)) and inner is not None:
                yield from leaves(inner, (*path, name))
    elif path:
        yield path, value


def is_identity(path: Path) -> bool:
    """Whether a field names an object instead of describing it."""
    return path in IDENTITY or (len(path) == 2 and path[0] == "metadata" and path[1] in SYSTEM_FIELDS)


def put(target: dict[str, Any], path: Path, value: Any) -> None:
    """Set one field, making its parents."""
    for name in path[:-1]:
        if not isinstance(target.get(name), dict):
            target[name] = {}
        target = target[name]
    target[path[-1]] = value


def drop(target: dict[str, Any], path: Path) -> None:
    """Remove one field, and parents that are empty then."""
    parents = [target]
    for name in path[:-1]:
        if not isinstance(parents[-1].get(name), dict):
            return
        parents.append(parents[-1][name])
    parents[-1].pop(path[-1], None)
    for parent, name in zip(reversed(parents[:-1]), reversed(path[:-1]), strict=True):
        if parent[name]:
            return
        del parent[name]


def managed_fields(manager: str, subresource: str, paths: Collection[Path]) -> Manifest:
    """One entry of metadata.managedFields."""
    fields: dict[str, Any] = {}
    for path in sorted(paths):
        put(fields, tuple(f"f:{name}" for name in path), {})
    entry: Manifest = {"manager": manager, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": fields}
    return {**entry, "subresource": subresource} if subresource else entry


def without_bookkeeping(manifest: Manifest) -> Manifest:
    """An object as people see it."""
    metadata = {k: v for k, v in manifest["metadata"].items() if k not in ("managedFields", "resourceVersion")}
    return {**manifest, "metadata": metadata}


def known_kinds() -> Collection[str]:
    """Every kind that Keelway watches."""
    return tuple(KINDS)
