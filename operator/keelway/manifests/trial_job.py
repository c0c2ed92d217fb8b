"""The Job of one trial: the pod of `staged_pod`, in which `collect` keeps the model."""

from __future__ import annotations

from dataclasses import dataclass

from keelway.api.base import Manifest
from keelway.api.digests import canonical_json
from keelway.api.durations import seconds
from keelway.api.experiment import Experiment
from keelway.api.jobs import CollectOrder
from keelway.api.search import ParameterValue
from keelway.manifests.job import job
from keelway.manifests.metadata import child_metadata
from keelway.manifests.names import variable
from keelway.manifests.staged_pod import (
    PodInput,
    Sees,
    data_variables,
    read_data,
    scratch,
    sidecar,
    stage_container,
    staged_template,
    volumes_of,
)
from keelway.manifests.storage import ROOT, VOLUME_PREFIX, Storage, storage
from keelway.manifests.tracking import Tracking, tracking
from keelway.manifests.worker_container import worker_container

COLLECT = "collect"
TRIAL_ANNOTATION = "keelway.dev/trial"
RUN_ANNOTATION = "keelway.dev/run"
REPRODUCE_ANNOTATION = "keelway.dev/reproduces"
MODEL, RUN = f"{ROOT}/model", f"{ROOT}/run"
METRICS_FILE, PARAMETERS_FILE = f"{RUN}/metrics.jsonl", f"{RUN}/params.json"
UPLOAD_SECONDS = 600
COLLECT_RESOURCES = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}


@dataclass(frozen=True)
class TrialJob:
    """Everything that makes one trial's Job."""

    name: str
    run: str
    """Identifies the run; all Jobs of one run carry it."""
    number: int
    attempt: int
    parameters: dict[str, ParameterValue]
    inputs: tuple[PodInput, ...]
    destination: str
    """URI below which the model goes."""
    mark: str = RUN_ANNOTATION
    """The annotation that carries `run`: tells trials of a search from a training that is done again."""
    run_number: int = 0
    """Which run it is of, as people count. This and `run_hash` are for who reads of the trial elsewhere."""
    run_hash: str = ""

    @property
    def label(self) -> str:
        """What people call it."""
        trial = f"run {self.run_number} trial {self.number}" if self.run_number else f"trial {self.number}"
        return f"reproduction of {trial}" if self.mark == REPRODUCE_ANNOTATION else trial


def trainer_name(experiment: Experiment) -> str:
    """Name of the container that trains: the one that the spec names, or the first."""
    containers = experiment.spec.trial.job.template.get("spec", {}).get("containers", [])
    return experiment.spec.trial.container or str(containers[0].get("name", ""))


def trial_job(experiment: Experiment, trial: TrialJob, *, image: str, pull_policy: str) -> Manifest:
    """The Job of one trial."""
    access = experiment.spec.output.access
    keep = storage(trial.destination, access, "output", read_only=False)
    tracked = tracking(experiment, trial)
    template = staged_template(
        experiment.spec.trial.job.template,
        first=[
            _stage(trial, image=image, pull_policy=pull_policy),
            _collect(experiment, keep, tracked, image=image, pull_policy=pull_policy),
        ],
        volumes=[
            scratch("model"),
            scratch("run"),
            *volumes_of(trial.inputs),
            *keep.volumes,
            *(tracked.volumes if tracked else ()),
        ],
        upload_seconds=UPLOAD_SECONDS,
        service_accounts=[access.service_account_name, *(given.service_account for given in trial.inputs)],
        sees=_trainer_sees(experiment, trial),
    )
    return job(
        child_metadata(experiment, trial.name, annotations=_annotations(trial)),
        template,
        deadline=seconds(experiment.spec.trial.timeout),
        keep=seconds(experiment.spec.retention.job_ttl),
    )


def _annotations(trial: TrialJob) -> dict[str, str]:
    facts = {"number": trial.number, "attempt": trial.attempt, "parameters": trial.parameters}
    return {trial.mark: trial.run, TRIAL_ANNOTATION: canonical_json(facts).decode()}


def _stage(trial: TrialJob, *, image: str, pull_policy: str) -> Manifest:
    return stage_container(
        trial.inputs,
        image=image,
        pull_policy=pull_policy,
        parameters=trial.parameters,
        parameters_file=PARAMETERS_FILE,
        mounts=[{"name": f"{VOLUME_PREFIX}run", "mountPath": RUN}],
    )


def _collect(
    experiment: Experiment, keep: Storage, tracked: Tracking | None, *, image: str, pull_policy: str
) -> Manifest:
    order = CollectOrder(
        metrics_file=METRICS_FILE,
        model_dir=MODEL,
        objective=experiment.spec.objective.metric,
        destination=keep.location,
        follow=experiment.spec.early_stopping is not None,
        mlflow=tracked.order if tracked else None,
    )
    mounts = [
        {"name": f"{VOLUME_PREFIX}run", "mountPath": RUN, "readOnly": True},
        {"name": f"{VOLUME_PREFIX}model", "mountPath": MODEL, "readOnly": True},
        *keep.mounts,
        *(tracked.mounts if tracked else ()),
    ]
    return sidecar(
        worker_container(
            COLLECT, order, image=image, pull_policy=pull_policy, mounts=mounts, resources=COLLECT_RESOURCES
        )
    )


def _trainer_sees(experiment: Experiment, trial: TrialJob) -> Sees:
    """Data, parameters and where to write."""
    return Sees(
        container=trainer_name(experiment),
        environment={
            **data_variables(trial.inputs),
            **{f"KEELWAY_PARAM_{variable(name)}": str(value) for name, value in trial.parameters.items()},
            "KEELWAY_PARAMS": PARAMETERS_FILE,
            "KEELWAY_MODEL_DIR": MODEL,
            "KEELWAY_METRICS": METRICS_FILE,
            "KEELWAY_SEED": str(experiment.spec.search.seed),
            "KEELWAY_RUN": trial.run,
            "KEELWAY_TRIAL": str(trial.number),
        },
        mounts=(
            read_data(),
            {"name": f"{VOLUME_PREFIX}model", "mountPath": MODEL},
            {"name": f"{VOLUME_PREFIX}run", "mountPath": RUN},
        ),
    )
