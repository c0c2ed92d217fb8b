"""Metadata of children: who owns them, whom they are for, how they are found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keelway.api import API_VERSION, GROUP
from keelway.api.kinds import MANAGED_BY
from keelway.api.resource import FOR_ANNOTATION, Resource
from keelway.manifests.names import label_value


def owner_reference(owner: Resource) -> dict[str, Any]:
    """The controller reference that lets Kubernetes collect a child after its owner."""
    kind = type(owner).__name__
    return {"apiVersion": API_VERSION, "kind": kind, "name": owner.name, "uid": owner.metadata.uid, "controller": True}


def labels_for(owner: Resource) -> dict[str, str]:
    """Labels by which people and watches find what Keelway made for a resource."""
    return {MANAGED_BY: "keelway", f"{GROUP}/{type(owner).__name__.lower()}": label_value(owner.name)}


def child_metadata(
    owner: Resource, name: str, *, labels: Mapping[str, str] | None = None, annotations: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Metadata of an object that lives and dies with `owner`."""
    return {
        "name": name,
        "namespace": owner.namespace,
        "labels": {**labels_for(owner), **(labels or {})},
        "annotations": {FOR_ANNOTATION: for_annotation(owner), **(annotations or {})},
        "ownerReferences": [owner_reference(owner)],
    }


def for_annotation(resource: Resource) -> str:
    """The annotation's value that names whom an object was made for."""
    return f"{type(resource).__name__}/{resource.name}"
