"""What `collect` is to tell an MLflow server of a trial."""

from __future__ import annotations

from keelway.api.base import Model


class TrackedInput(Model):
    """A data set as MLflow is told of it."""

    name: str
    dataset: str
    digest: str
    uri: str
    split: str = ""
    dataset_version: str = ""


class MlflowOrder(Model):
    """Which run to log at an MLflow server."""

    uri: str
    experiment: str
    run_name: str
    trial: str = ""
    """Names the trial, whatever its attempt: of the runs there that carry it one at most is finished."""
    objective: str = ""
    """Name of the metric that a curve is of."""
    tags: dict[str, str] = {}
    parameters: dict[str, float | int | str] = {}
    inputs: tuple[TrackedInput, ...] = ()
    secret_dir: str = ""
    """As in Location."""
    secret_name: str = ""
    artifact_uri: str = ""
    """URI of the destination; the model's directory comes below it."""
