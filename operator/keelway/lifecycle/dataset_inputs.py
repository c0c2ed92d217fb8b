"""From a reference to a Dataset to one version of it: what everybody who reads data goes by."""

from __future__ import annotations

from dataclasses import dataclass

from keelway.api.base import Manifest
from keelway.api.dataset import Dataset
from keelway.api.dataset_version import DatasetVersion
from keelway.api.kinds import Key
from keelway.api.reasons import Reason
from keelway.api.resource import Access
from keelway.lifecycle.plan import Observed


@dataclass(frozen=True)
class Unresolved:
    """Why an input has no version yet."""

    reason: Reason
    message: str
    final: bool = False
    """Whether only a change of the spec helps."""


def version_of(name: str, wanted: str, namespace: str, seen: Observed) -> DatasetVersion | Unresolved:
    """The version of a Dataset that consumers get, or the one that `wanted` names by number or digest.

    Its list of files is there: a pod that mounts a missing one never starts.
    """
    manifest = seen.get(Key("Dataset", namespace, name))
    if manifest is None:
        return Unresolved(Reason.DATASET_MISSING, f"there is no Dataset {name} in namespace {namespace}")
    dataset = Dataset.model_validate(manifest)
    version = _pinned(wanted, dataset, seen) if wanted else _last_good(dataset, seen)
    if isinstance(version, Unresolved) or has_files(version, seen):
        return version
    said = f"{described(version)} cannot be read: its list of files was deleted"
    return Unresolved(Reason.FILES_MISSING, said)


def described(version: DatasetVersion) -> str:
    """How messages call a version."""
    return f"Dataset {version.spec.dataset.name} version {version.spec.version}"


def has_files(version: DatasetVersion, seen: Observed) -> bool:
    """Whether a version's list of files is there, all parts of it."""
    return all(seen.get(key) is not None for key in version.files_keys)


def _last_good(dataset: Dataset, seen: Observed) -> DatasetVersion | Unresolved:
    good = dataset.status.last_good
    manifest = seen.get(Key("DatasetVersion", dataset.namespace, good.name)) if good else None
    if manifest is None:
        ready = dataset.status.condition("Ready")
        why = f": {ready.reason}: {ready.message}" if ready else ""
        return Unresolved(Reason.DATASET_NOT_READY, f"Dataset {dataset.name} has no good version yet{why}")
    return DatasetVersion.model_validate(manifest)


def _pinned(wanted: str, dataset: Dataset, seen: Observed) -> DatasetVersion | Unresolved:
    found = [DatasetVersion.model_validate(manifest) for manifest in seen.about(dataset.key, "DatasetVersion")]
    # Versions of a former Dataset of this name may be there still; their numbers begin with 1, too.
    found.sort(key=lambda version: version.spec.dataset.uid != dataset.metadata.uid)
    for version in found:
        if wanted in (str(version.spec.version), version.spec.digest):
            return version
    message = f"Dataset {dataset.name} has no version {wanted!r}: see kubectl get datasetversions"
    return Unresolved(Reason.VERSION_MISSING, message, final=True)


def access_to(version: DatasetVersion, seen: Observed) -> Access:
    """How to reach the bytes now: as the Dataset says, or as was recorded when it is gone or made in another way."""
    recorded = version.spec
    manifest: Manifest | None = seen.get(Key("Dataset", version.namespace, recorded.dataset.name))
    if manifest is None or manifest["metadata"]["uid"] != recorded.dataset.uid:
        return recorded.source.access
    spec = Dataset.model_validate(manifest).spec
    if recorded.derivation is None:
        return spec.access if spec.source else recorded.source.access
    return spec.derive.output.access if spec.derive else recorded.source.access
