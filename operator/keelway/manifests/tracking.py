"""What a trial's Job needs so that an MLflow server hears of the trial."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keelway.api.base import Manifest
from keelway.api.experiment import Experiment
from keelway.api.resource import Access
from keelway.api.tracking import MlflowOrder, TrackedInput
from keelway.manifests.staged_pod import PodInput
from keelway.manifests.storage import storage

if TYPE_CHECKING:
    from keelway.manifests.trial_job import TrialJob

SLOT = "mlflow"


@dataclass(frozen=True)
class Tracking:
    """Which run to log, and how the container that logs it reaches the Secret."""

    order: MlflowOrder
    volumes: tuple[Manifest, ...] = ()
    mounts: tuple[Manifest, ...] = ()


def tracking(experiment: Experiment, trial: TrialJob) -> Tracking | None:
    """How a trial is tracked; None when the Experiment does not ask for it."""
    mlflow = experiment.spec.tracking.mlflow
    if mlflow is None:
        return None
    reach = storage(mlflow.uri, Access(secret_ref=mlflow.secret_ref), SLOT, read_only=True)
    order = MlflowOrder(
        uri=mlflow.uri,
        experiment=mlflow.experiment or f"{experiment.namespace}/{experiment.name}",
        run_name=trial.label,
        trial=f"{trial.run}/{trial.number}",
        objective=experiment.spec.objective.metric,
        tags=_tags(experiment, trial),
        parameters=trial.parameters,
        inputs=tuple(_inputs(trial.inputs)),
        secret_dir=reach.location.secret_dir,
        secret_name=reach.location.secret_name,
        artifact_uri=trial.destination,
    )
    return Tracking(order, reach.volumes, reach.mounts)


def _tags(experiment: Experiment, trial: TrialJob) -> dict[str, str]:
    """What leads back to Keelway's objects, and what MLflow's page shows as the source."""
    tags = {
        "keelway.namespace": experiment.namespace,
        "keelway.experiment": experiment.name,
        "keelway.experiment_uid": experiment.metadata.uid,
        "keelway.run": str(trial.run_number or ""),
        "keelway.run_hash": trial.run_hash,
        "keelway.trial": str(trial.number),
        "keelway.attempt": str(trial.attempt),
        "keelway.job": trial.name,
        "keelway.seed": str(experiment.spec.search.seed),
        "keelway.model": experiment.spec.output.model,
        "keelway.team": experiment.spec.owner.team,
        "mlflow.source.type": "JOB",
        "mlflow.source.name": f"{experiment.namespace}/{experiment.name}",
    }
    return {name: value for name, value in tags.items() if value}


def _inputs(inputs: Iterable[PodInput]) -> Iterable[TrackedInput]:
    for given in inputs:
        record = given.version.spec
        yield TrackedInput(
            name=given.stage.name,
            dataset=record.dataset.name,
            dataset_version=given.version.name,
            digest=record.digest,
            # What follows `?` may be a signature.
            uri=record.source.uri.partition("?")[0],
            split=given.stage.split,
        )
