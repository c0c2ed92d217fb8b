"""Which versions a run reads, and how a trial's pod gets at them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from keelway.api.dataset_version import DatasetVersion
from keelway.api.experiment import Experiment, ExperimentDataset
from keelway.api.kinds import Key
from keelway.api.model_version import ModelInput
from keelway.api.reasons import Reason
from keelway.api.run import RunDataset
from keelway.lifecycle.dataset_inputs import Unresolved, access_to, described, has_files, version_of
from keelway.lifecycle.plan import Observed
from keelway.manifests.staged_pod import PodInput, pod_input

Read: TypeAlias = RunDataset | ModelInput
"""One version of a Dataset that is read, as a run or the record of a model has it."""


def resolve(experiment: Experiment, seen: Observed) -> tuple[RunDataset, ...] | Unresolved:
    """The version of every input, or the first reason why there is none."""
    found: list[RunDataset] = []
    for given in experiment.spec.datasets:
        version = version_of(given.dataset, given.version, experiment.namespace, seen)
        if isinstance(version, Unresolved):
            return version
        if missing := _without_split(given, version):
            return missing
        found.append(_run_dataset(given, version))
    return tuple(found)


def _without_split(given: ExperimentDataset, version: DatasetVersion) -> Unresolved | None:
    if given.split in ("", *(split.name for split in version.spec.splits)):
        return None
    names = ", ".join(split.name for split in version.spec.splits) or "none"
    message = f"{described(version)} has no split {given.split!r}; it has: {names}"
    return Unresolved(Reason.SPLIT_MISSING, message, final=True)


def _run_dataset(given: ExperimentDataset, version: DatasetVersion) -> RunDataset:
    return RunDataset(
        name=given.name,
        dataset=given.dataset,
        dataset_version=version.name,
        version=version.spec.version,
        digest=version.spec.digest,
        split=given.split,
        schema_digest=version.spec.schema_.digest,
        rows=version.spec.rows,
    )


def records(datasets: Sequence[Read], namespace: str, seen: Observed) -> list[DatasetVersion]:
    """The versions among these whose records are whole."""
    manifests = [seen.get(Key("DatasetVersion", namespace, read.dataset_version)) for read in datasets]
    found = [DatasetVersion.model_validate(manifest) for manifest in manifests if manifest is not None]
    return [version for version in found if has_files(version, seen)]


def trial_inputs(datasets: Sequence[Read], namespace: str, seen: Observed) -> tuple[PodInput, ...] | None:
    """How to stage these versions; None when the record of one is gone."""
    found = records(datasets, namespace, seen)
    if len(found) < len(datasets):
        return None
    return tuple(
        pod_input(index, read.name, version, access_to(version, seen), split=read.split)
        for index, (read, version) in enumerate(zip(datasets, found, strict=True))
    )
