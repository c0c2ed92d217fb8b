"""ModelVersion: which bytes a model is and where they came from; an immutable record."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, WithJsonSchema

from keelway.api.base import LabelName, Model, ShortText, Uri, pattern
from keelway.api.dataset_version import IMMUTABLE
from keelway.api.experiment import ModelFormat
from keelway.api.resource import AGE_COLUMN, PrinterColumn, Resource, Status
from keelway.api.search import ParameterValues

ImageName = Annotated[str, Field(max_length=1024)]
"""As long as a pod template may have it."""


class Artifact(Model):
    """The model's bytes."""

    uri: Annotated[
        Uri,
        pattern("^[a-z0-9]+://.+", "uri must be a URI that KServe can read, for example s3://models/churn/1/"),
    ]
    digest: Annotated[
        str,
        Field(max_length=128),
        pattern("^sha256:[0-9a-f]{64}$", "digest must be sha256: and 64 hexadecimal digits"),
    ]
    bytes: Annotated[int, Field(ge=0)] = 0
    files: Annotated[int, Field(ge=0)] = 0
    format: ModelFormat


class ModelInput(Model):
    """One data set that the model was trained on."""

    name: ShortText
    dataset: ShortText
    dataset_version: ShortText
    digest: ShortText
    split: ShortText = ""
    schema_digest: ShortText = ""


class ExternalOrigin(Model):
    """Where a model was trained that Keelway did not train."""

    system: ShortText = ""
    uri: ShortText = ""


class Tracked(Model):
    """What became of telling MLflow."""

    mlflow_run: ShortText = ""
    """Id of the run there."""
    error: Annotated[str, Field(max_length=512)] = ""
    """Why it could not be told, or not all."""


class Origin(Model):
    """The run and the trial that made the model, or where else it came from."""

    external: ExternalOrigin | None = None
    experiment: ShortText = ""
    uid: ShortText = ""
    run: int = 0
    run_hash: ShortText = ""
    trial: int = 0
    parameters: ParameterValues = {}
    seed: int = 0
    image: ImageName = ""
    image_id: Annotated[ImageName, Field(alias="imageID")] = ""
    """The image as the node ran it, by digest."""
    container: Annotated[str, Field(max_length=63)] = ""
    """Which container trained."""
    template: Annotated[
        dict[str, Any] | None,
        WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
    ] = None
    """The pod template of the trial as it was written, so that it can be run again; left out above 32 KiB."""
    tracking: Tracked | None = None


class ModelVersionSpec(Model):
    """What the model is."""

    model: Annotated[LabelName, Field(max_length=40)]
    version: Annotated[int, Field(ge=1)]
    artifact: Artifact
    metrics: Annotated[dict[str, float], Field(max_length=64)] = {}
    objective: ShortText = ""
    objective_value: float | None = None
    inputs: Annotated[tuple[ModelInput, ...], Field(max_length=16)] = ()
    produced_by: Origin = Origin()


class Evaluation(Model):
    """The pure result of one evaluator on one split of one DatasetVersion: never computed twice."""

    evaluator: ShortText
    """Hash of what evaluated."""
    dataset_version: ShortText
    digest: ShortText
    """Of the data."""
    split: ShortText = ""
    metrics: Annotated[dict[str, float], Field(max_length=64)] = {}


class ModelVersionStatus(Status):
    """Conditions: Ready."""

    state: Literal["", "Candidate", "Live", "Retired", "Rejected", "Expired"] = ""
    """Expired: retention has chosen it; its files are about to go, and the record after them."""
    swept: bool = False
    """Whether its files are being deleted: it cannot come back."""
    deployments: Annotated[tuple[str, ...], Field(max_length=64)] = ()
    """ModelDeployments that serve it now."""
    evaluations: Annotated[tuple[Evaluation, ...], Field(max_length=32)] = ()
    """Newest last."""


class ModelVersion(Resource):
    """A version of a model: which bytes it is and where they came from."""

    short_names: ClassVar = ("modelv",)
    columns: ClassVar = (
        PrinterColumn("Model", ".spec.model"),
        PrinterColumn("Version", ".spec.version", "integer"),
        PrinterColumn("Metric", ".spec.objectiveValue", "number"),
        PrinterColumn("Experiment", ".spec.producedBy.experiment"),
        PrinterColumn("Dataset", ".spec.inputs[0].datasetVersion"),
        PrinterColumn("State", ".status.state"),
        AGE_COLUMN,
        PrinterColumn("Digest", ".spec.artifact.digest", priority=1),
    )

    spec: Annotated[ModelVersionSpec, IMMUTABLE]
    status: ModelVersionStatus = ModelVersionStatus()

    @property
    def has_expired(self) -> bool:
        """Whether it is on its way out: nothing chooses it any more."""
        return self.status.state == "Expired"
