"""Small objects for the engine's tests."""

from __future__ import annotations

from typing import Any

from keelway.api.base import Manifest
from keelway.api.kinds import MANAGED_BY

NAMESPACE = "ml"


def thing(
    kind: str = "ConfigMap",
    name: str = "a",
    *,
    version: int = 1,
    uid: str = "uid-a",
    owner: str = "",
    owner_name: str = "gbt",
    managed: bool = True,
    **content: Any,
) -> Manifest:
    """An object as the API server would show it; `owner` is the uid of a controlling Experiment."""
    metadata: dict[str, Any] = {"name": name, "namespace": NAMESPACE, "uid": uid, "resourceVersion": str(version)}
    if managed:
        metadata["labels"] = {MANAGED_BY: "keelway"}
    if owner:
        reference = {"apiVersion": "v1", "kind": "Experiment", "name": owner_name, "uid": owner, "controller": True}
        metadata["ownerReferences"] = [reference]
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **content}


def wanted(manifest: Manifest) -> Manifest:
    """An object as a decision states it: without what only the API server fills in."""
    metadata = {k: v for k, v in manifest["metadata"].items() if k not in ("uid", "resourceVersion", "managedFields")}
    return {**manifest, "metadata": metadata}
