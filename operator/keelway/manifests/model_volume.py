"""A model in a pod: staged from its artifact, compared with its record, read-only for those who use it."""

from __future__ import annotations

from dataclasses import replace

from keelway.api.base import Manifest
from keelway.api.jobs import Location, StagedModel
from keelway.api.model_version import ModelVersion
from keelway.api.resource import Access
from keelway.manifests.storage import ROOT, VOLUME_PREFIX, Storage, storage

MODEL = f"{ROOT}/model"


def reach_model(version: ModelVersion, access: Access) -> Storage:
    """How a pod reaches a model's files.

    Of a claim the directory above is mounted: the list of the files is there, and a model of one file has no directory.
    """
    uri = version.spec.artifact.uri.rstrip("/")
    above, _, name = uri.rpartition("/")
    if not uri.startswith("pvc://") or above == "pvc:/":
        return storage(version.spec.artifact.uri, access, "model", read_only=True)
    reach = storage(above, access, "model", read_only=True)
    return replace(reach, location=Location(mount=f"{reach.location.mount}/{name}"))


def staged_model(version: ModelVersion, reach: Storage, *, target: str = "") -> StagedModel:
    """What `stage` is told of a model."""
    return StagedModel(location=reach.location, digest=version.spec.artifact.digest, target=target)


def model_mount(*, read_only: bool) -> Manifest:
    """The directory that the model is staged into."""
    return {"name": f"{VOLUME_PREFIX}model", "mountPath": MODEL, "readOnly": read_only}
