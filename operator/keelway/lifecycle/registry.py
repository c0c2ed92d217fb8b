"""Who decides about which kind, and how a decision that could not be carried out shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import TypeAlias

from pydantic import ValidationError

from keelway.api.base import Manifest
from keelway.api.dataset import Dataset
from keelway.api.dataset_version import DatasetVersion
from keelway.api.experiment import Experiment
from keelway.api.model_deployment import ModelDeployment
from keelway.api.model_version import ModelVersion
from keelway.api.reasons import Reason
from keelway.api.resource import Status
from keelway.lifecycle import dataset, experiment, model_deployment
from keelway.lifecycle.conditions import Standing, stalled, status_after, working
from keelway.lifecycle.plan import Observed, Plan
from keelway.lifecycle.records import dataset_version, model_version
from keelway.lifecycle.settings import JobSettings

Reconciler: TypeAlias = Callable[[Manifest, Observed, datetime], Plan]
RESOURCES: Mapping[str, type[Dataset | DatasetVersion | Experiment | ModelVersion | ModelDeployment]] = {
    model.__name__: model for model in (Dataset, DatasetVersion, Experiment, ModelVersion, ModelDeployment)
}


def reconcilers(settings: JobSettings) -> Mapping[str, Reconciler]:
    """The decision function of every kind."""
    decisions: Mapping[str, Reconciler] = {
        "Dataset": partial(dataset.reconcile, settings=settings),
        "DatasetVersion": dataset_version.reconcile,
        "Experiment": partial(experiment.reconcile, settings=settings),
        "ModelVersion": model_version.reconcile,
        "ModelDeployment": partial(model_deployment.reconcile, settings=settings),
    }
    return {kind: partial(_decide, reconcile) for kind, reconcile in decisions.items()}


def _decide(reconcile: Reconciler, manifest: Manifest, seen: Observed, now: datetime) -> Plan:
    """A spec that this version does not understand, because its CRD is newer, is said and not stumbled over."""
    try:
        return reconcile(manifest, seen, now)
    except ValidationError:
        if wrong := _what_is_wrong(manifest):
            return failed(manifest, Reason.INVALID_SPEC, wrong, now)
        raise


def _what_is_wrong(manifest: Manifest) -> str:
    """What the model of the kind says against a spec, without the values; nothing when the spec is not to blame."""
    try:
        RESOURCES[manifest["kind"]].model_validate(manifest)
    except ValidationError as error:
        parts = [(".".join(map(str, detail["loc"])), detail["msg"]) for detail in error.errors(include_input=False)]
        return "; ".join(f"{path}: {message}" for path, message in parts if path.startswith("spec"))
    return ""


def failed(manifest: Manifest, reason: str, message: str, now: datetime) -> Plan:
    """Status that says why a plan could not be made or carried out: InvalidSpec, NameConflict, ApiRefused, ..."""
    model, generation = RESOURCES[manifest["kind"]], manifest["metadata"]["generation"]
    status: Status = model.model_fields["status"].default.model_validate(manifest.get("status") or {})
    standing = _standing(Reason.of(reason), message)
    return Plan(reason, status=status_after(status, standing, generation=generation, now=now))


def _standing(reason: Reason, message: str) -> Standing:
    return working(reason, message) if reason is Reason.PROGRESSING_WITH_RETRY else stalled(reason, message)
