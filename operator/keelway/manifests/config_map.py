"""ConfigMaps that hold records too large for a status."""

from __future__ import annotations

from typing import Any

from keelway.api.base import Manifest
from keelway.api.digests import canonical_json
from keelway.api.resource import FOR_ANNOTATION, Resource
from keelway.manifests.metadata import child_metadata, for_annotation

MANIFEST_FILE = "manifest.jsonl.gz"
PROFILE_FILE = "profile.json"
CROISSANT_FILE = "croissant.json"
TRIALS_FILE = "trials.json"


def file_manifest(version: Resource, dataset: Resource, name: str, manifest_base64: str) -> Manifest:
    """A part of the list of files of a DatasetVersion."""
    return _of_version(version, dataset, name, {"binaryData": {MANIFEST_FILE: manifest_base64}})


def profile(version: Resource, dataset: Resource, name: str, *, profile: str, croissant: str) -> Manifest:
    """What people and tools want to know of a DatasetVersion beyond its record, each as JSON."""
    return _of_version(version, dataset, name, {"data": {PROFILE_FILE: profile, CROISSANT_FILE: croissant}})


def _of_version(version: Resource, dataset: Resource, name: str, content: Manifest) -> Manifest:
    """Lives with the version, wakes the Dataset, never changes."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": child_metadata(version, name, annotations={FOR_ANNOTATION: for_annotation(dataset)}),
        **content,
        "immutable": True,
    }


def trials_table(experiment: Resource, name: str, rows: list[dict[str, Any]]) -> Manifest:
    """The table of a run's trials."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": child_metadata(experiment, name),
        "data": {TRIALS_FILE: canonical_json(rows).decode()},
    }
