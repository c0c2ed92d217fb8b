"""Experiment: which search over which data makes a model; intent."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from keelway.api.base import (
    Duration,
    LabelName,
    Model,
    ObjectName,
    Timestamp,
    Uri,
    cel,
    pattern,
    rules,
)
from keelway.api.pod_template import PodTemplate
from keelway.api.resource import (
    AGE_COLUMN,
    OWNER_COLUMNS,
    READY_COLUMNS,
    WRITABLE_URI,
    Access,
    Owner,
    PrinterColumn,
    Resource,
    SecretReference,
    Status,
)
from keelway.api.run import ModelReference, Reproduction, Run, RunSummary, TrialsReference
from keelway.api.search import EarlyStopping, Objective, Parameters, Search


class ExperimentDataset(Model):
    """One input: the version that consumers get of a Dataset, or a pinned one."""

    name: LabelName
    dataset: ObjectName
    version: Annotated[
        str,
        Field(max_length=128),
        pattern(
            "^([1-9][0-9]*|[a-z0-9]+:[a-z0-9:]+)?$",
            'version must be a number such as "7", a DatasetVersion\'s digest, or empty to follow the newest good one',
        ),
    ] = ""
    """A version's number or digest; empty follows the newest good one."""
    split: Annotated[str, Field(max_length=63)] = ""


class TrialJob(Model):
    """A pod of the user's, run as a Kubernetes Job."""

    template: PodTemplate


class Trial(Model):
    """What one trial runs."""

    timeout: Duration = "1h"
    retries: Annotated[int, Field(ge=0, le=10)] = 1
    job: TrialJob
    container: Annotated[str, Field(max_length=63)] = ""
    """Which container trains; empty: the first."""


TRIAL_RULES = rules(
    cel(
        "self.container == '' || !has(self.job.template.spec) || !has(self.job.template.spec.containers)"
        " || self.job.template.spec.containers.exists(c, has(c.name) && c.name == self.container)",
        "trial.container must be the name of one of the template's containers, or empty for the first",
    ),
)


class ModelFormat(Model):
    """KServe's name of a model format."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    version: Annotated[str, Field(max_length=32)] = ""


class Output(Model):
    """Where the models go and under which name."""

    model: Annotated[LabelName, Field(max_length=40)]
    format: ModelFormat
    uri: Annotated[Uri, Field(max_length=512), WRITABLE_URI]
    access: Access = Access()


class Mlflow(Model):
    """An MLflow server that is told of every trial; one that cannot be reached costs nobody anything."""

    uri: Annotated[
        Uri,
        pattern(
            "^https?://[^/?#@]+(/[^?#]*)?$",
            "uri must be the address of an MLflow server without user and query, for example http://mlflow.infra:5000",
        ),
    ]
    experiment: Annotated[str, Field(max_length=256)] = ""
    """Name of the experiment there; empty: `<namespace>/<name>` of this one."""
    secret_ref: SecretReference | None = None
    """With MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."""


class Tracking(Model):
    """Who else is told."""

    mlflow: Mlflow | None = None


class OnNewDatasetVersion(Model):
    """Whether a new version of an input starts a run. Where both minimums are given, both must be met."""

    policy: Literal["Always", "Never"] = "Always"
    min_new_rows: Annotated[int, Field(ge=0)] = 0
    """How many rows more than the last run read, all inputs together."""
    min_new_percent: Annotated[float, Field(ge=0)] = 0
    """How many percent of what the last run read."""


class Trigger(Model):
    """What starts a run besides a changed spec and a request."""

    on_new_dataset_version: OnNewDatasetVersion = OnNewDatasetVersion()
    cooldown: Duration = "1h"
    """Least time from one run that new data began to the next one."""
    max_runs_per_day: Annotated[int, Field(ge=1, le=100)] = 6
    """Of runs that new data began, in any 24 hours."""


class Retention(Model):
    """What is kept."""

    runs: Annotated[int, Field(ge=1, le=20)] = 10
    """Of the history in the status, which has to stay small."""
    models: Annotated[int, Field(ge=1, le=1000)] = 5
    """Newest ModelVersions of this Experiment, besides those that something refers to."""
    job_ttl: Annotated[Duration, Field(alias="jobTTL")] = "1h"


class ExperimentSpec(Model):
    """Intent."""

    owner: Owner = Owner()
    datasets: Annotated[
        tuple[ExperimentDataset, ...],
        Field(
            min_length=1,
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ]
    objective: Objective
    parameters: Parameters = ()
    search: Search = Search()
    early_stopping: EarlyStopping | None = None
    trial: Annotated[Trial, TRIAL_RULES]
    output: Output
    tracking: Tracking = Tracking()
    trigger: Trigger = Trigger()
    reproduce: Annotated[str, Field(max_length=253)] = ""
    """Name of a ModelVersion to train again from its record, once, and to compare with it. An Experiment that has had
    no run yet does nothing else as long as this is set."""
    retention: Retention = Retention()
    suspend: bool = False


class ExperimentStatus(Status):
    """Conditions: Ready, Reconciling, Stalled, DatasetReady, Succeeded, Reproduced."""

    run: Run | None = None
    runs: Annotated[tuple[RunSummary, ...], Field(max_length=20)] = ()
    trials: TrialsReference | None = None
    model: ModelReference | None = None
    automatic_runs: Annotated[tuple[Timestamp, ...], Field(max_length=100)] = ()
    """When runs that new data began did so, in the last day."""
    next_run_time: Timestamp | None = None
    """When a run may begin that new data asks for and the trigger holds back."""
    reproduction: Reproduction | None = None


EXPERIMENT_RULES = rules(
    cel(
        "self.search.algorithm != 'Grid' || self.parameters.all(p, !has(p.float) || has(p.float.step))",
        "algorithm: Grid needs float.step on every float parameter: it says which points there are",
    ),
    cel(
        "self.search.algorithm != 'CMAES' || self.parameters.exists(p, !has(p.choice))",
        "algorithm: CMAES needs a float or int parameter: take TPE for choices alone",
    ),
)


class Experiment(Resource):
    """A search of training Jobs that makes a model."""

    short_names: ClassVar = ("exper",)
    columns: ClassVar = (
        PrinterColumn("Run", ".status.run.number", "integer"),
        PrinterColumn("Trials", ".status.run.trials.progress"),
        PrinterColumn("Best", ".status.run.best.value", "number"),
        PrinterColumn("Metric", ".spec.objective.metric"),
        PrinterColumn("Model", ".status.model.name"),
        *READY_COLUMNS,
        AGE_COLUMN,
        PrinterColumn("Why", ".status.run.reason", priority=1),
        *OWNER_COLUMNS,
    )

    spec: Annotated[ExperimentSpec, EXPERIMENT_RULES]
    status: ExperimentStatus = ExperimentStatus()
