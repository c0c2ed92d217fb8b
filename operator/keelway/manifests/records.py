"""Records: DatasetVersions and ModelVersions, created once and never changed."""

from __future__ import annotations

from typing import Any

from keelway.api import API_VERSION
from keelway.api.base import Manifest
from keelway.api.dataset_version import DatasetVersionSpec
from keelway.api.model_version import ModelVersionSpec
from keelway.api.resource import Resource
from keelway.manifests.metadata import labels_for


def dataset_version(dataset: Resource, name: str, spec: DatasetVersionSpec) -> Manifest:
    """A DatasetVersion. It has no owner: a version in use outlives its Dataset."""
    return _record("DatasetVersion", dataset, name, spec.to_json())


def model_version(experiment: Resource, name: str, spec: ModelVersionSpec) -> Manifest:
    """A ModelVersion. It has no owner: a model outlives the Experiment that made it."""
    return _record("ModelVersion", experiment, name, spec.to_json())


def _record(kind: str, origin: Resource, name: str, spec: dict[str, Any]) -> Manifest:
    metadata = {"name": name, "namespace": origin.namespace, "labels": labels_for(origin)}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
