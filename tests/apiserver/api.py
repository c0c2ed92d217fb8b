"""A small synchronous client of the API server for tests: plain JSON, errors with the server's own words."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlencode

import urllib3
from kubernetes import config

from keelway.api.base import Manifest
from keelway.api.kinds import KINDS, Kind

ALL_KINDS: Mapping[str, Kind] = KINDS | {
    kind.name: kind
    for kind in (
        Kind("Namespace", "", "v1", "namespaces"),
        Kind("Node", "", "v1", "nodes"),
        Kind("Secret", "", "v1", "secrets"),
        Kind("ServiceAccount", "", "v1", "serviceaccounts"),
        Kind("Event", "", "v1", "events"),
        Kind("Lease", "coordination.k8s.io", "v1", "leases"),
        Kind("CustomResourceDefinition", "apiextensions.k8s.io", "v1", "customresourcedefinitions"),
        *(
            Kind(name, "rbac.authorization.k8s.io", "v1", f"{name.lower()}s")
            for name in ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
        ),
    )
}
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
STRATEGIC_MERGE = "application/strategic-merge-patch+json"
"""Of the built-in kinds alone; keeps what others wrote into lists that have keys."""


class RefusedError(Exception):
    """The API server said no."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Api:
    """One user's connection. Safe to use from several threads."""

    def __init__(self, kubeconfig: Path) -> None:
        client = config.new_client_from_config(str(kubeconfig))
        self._host: str = client.configuration.host
        self._pool: urllib3.PoolManager = client.rest_client.pool_manager
        self._pool.connection_pool_kw["maxsize"] = 64

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """One object, or None."""
        try:
            return self.request("GET", path_of(kind, namespace, name))
        except RefusedError as refused:
            if refused.code == 404:
                return None
            raise

    def list(self, kind: str, namespace: str = "", *, selector: str = "") -> list[Manifest]:
        """Objects of a kind, ordered by name, each with its kind."""
        answer = self.request("GET", path_of(kind, namespace), query={"labelSelector": selector})
        found = [{"kind": kind, "apiVersion": ALL_KINDS[kind].api_version, **item} for item in answer["items"]]
        return sorted(found, key=lambda item: str(item["metadata"]["name"]))

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create one object; unknown fields are an error, as with kubectl. A dry run does all but store it."""
        path = path_of(manifest["kind"], manifest["metadata"].get("namespace", ""))
        query = {"fieldValidation": "Strict", "dryRun": "All" if dry_run else ""}
        return self.request("POST", path, body=manifest, query=query)

    def apply(self, manifest: Manifest, *, manager: str = "test") -> Manifest:
        """Server-side apply of one object."""
        metadata = manifest["metadata"]
        path = path_of(manifest["kind"], metadata.get("namespace", ""), metadata["name"])
        query = {"fieldManager": manager, "force": "true", "fieldValidation": "Strict"}
        return self.request("PATCH", path, body=manifest, query=query, content_type=APPLY)

    def patch(
        self, kind: str, namespace: str, name: str, changes: Manifest, *, part: str = "", content_type: str = MERGE
    ) -> Manifest:
        """Patch an object, or its `status`."""
        return self.request("PATCH", path_of(kind, namespace, name, part), body=changes, content_type=content_type)

    def delete(self, kind: str, namespace: str, name: str, *, options: Manifest | None = None) -> None:
        """Delete an object; one that is gone already is fine."""
        try:
            body = {"propagationPolicy": "Background", **(options or {})}
            self.request("DELETE", path_of(kind, namespace, name), body=body)
        except RefusedError as refused:
            if refused.code != 404:
                raise

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Manifest:
        """One request. Raises RefusedError with the server's message."""
        text = self.text(method, path, body=body, query=query, content_type=content_type)
        answer: Manifest = json.loads(text)
        return answer

    def text(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> str:
        """One request, the answer as it came. A body of bytes goes as it is, any other as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": content_type, "Accept": accept}
        response = self._pool.request(method, self._url(path, query), body=data, headers=headers, timeout=30.0)
        if response.status >= 400:
            raise RefusedError(response.status, _message(response.data))
        return response.data.decode()

    def changes(self, kind: str, stop: Event, *, selector: str = "") -> Iterator[tuple[str, Manifest]]:
        """All objects of a kind as ADDED, then every change, until `stop` is set."""
        while not stop.is_set():
            answer = self.request("GET", path_of(kind), query={"labelSelector": selector})
            version = answer["metadata"]["resourceVersion"]
            for item in answer["items"]:
                yield "ADDED", item
            yield from self._watch(kind, version, stop, selector)

    def _watch(self, kind: str, version: str, stop: Event, selector: str) -> Iterator[tuple[str, Manifest]]:
        """Changes after `version`; ends when the server no longer remembers that far."""
        while not stop.is_set():
            query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "1", "labelSelector": selector}
            response = self._pool.request("GET", self._url(path_of(kind), query), preload_content=False, timeout=30.0)
            for line in _lines(response):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                version = event["object"]["metadata"]["resourceVersion"]
                yield event["type"], event["object"]

    def _url(self, path: str, query: Mapping[str, str] | None) -> str:
        return f"{self._host}{path}?{urlencode({key: value for key, value in (query or {}).items() if value})}"


class Follower:
    """A thread that hands every change of a kind to a handler, as a controller's watch does."""

    def __init__(self, api: Api, kind: str, handle: Callable[[str, Manifest], None], *, selector: str = "") -> None:
        self._api, self._kind, self._handle, self._selector = api, kind, handle, selector
        self._stop = Event()
        self._thread = Thread(target=self._follow, name=f"follow-{kind}", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End, at the latest when the server ends the current watch."""
        self._stop.set()
        self._thread.join(10)

    def _follow(self) -> None:
        for event, manifest in self._api.changes(self._kind, self._stop, selector=self._selector):
            self._handle(event, manifest)


def path_of(kind: str, namespace: str = "", name: str = "", part: str = "") -> str:
    """The URL path of a collection, an object, or a part of it."""
    known = ALL_KINDS[kind]
    root = f"/apis/{known.group}/{known.version}" if known.group else f"/api/{known.version}"
    scope = f"/namespaces/{namespace}" if namespace else ""
    return "/".join((f"{root}{scope}/{known.plural}", *(word for word in (name, part) if word)))


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    try:
        for chunk in response.stream(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line for line in lines if line)
    finally:
        response.release_conn()


def _message(data: bytes) -> str:
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return data.decode(errors="replace")
