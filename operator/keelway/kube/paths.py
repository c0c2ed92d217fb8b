"""Where the API server keeps things."""

from __future__ import annotations

from keelway.api.kinds import KINDS, Key, Kind


def collection(kind: Kind, namespace: str = "") -> str:
    """The path of all objects of a kind, in one namespace or (empty) in all."""
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{scope}/{kind.plural}"


def object_path(key: Key, subresource: str = "") -> str:
    """The path of one object, or of a part of it."""
    path = f"{collection(KINDS[key.kind], key.namespace)}/{key.name}"
    return f"{path}/{subresource}" if subresource else path
