"""Runs of an Experiment: what determines one, why it began, and how far it is."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from keelway.api.base import Model, ShortText, Timestamp
from keelway.api.search import ParameterValues

RunReason = Literal["Created", "SpecChanged", "NewDatasetVersion", "Requested"]
ArtifactsUri = Annotated[str, Field(max_length=600)]
RunState = Literal["Running", "Succeeded", "Failed", "Superseded"]


class RunDataset(Model):
    """Which version a run reads."""

    name: str
    dataset: str
    dataset_version: str
    version: int
    digest: str
    split: str = ""
    schema_digest: str = ""
    rows: int = 0
    """Of the whole version."""


class TrialCounts(Model):
    """How far a run is."""

    total: int = 0
    pending: int = 0
    """Not begun yet, or waiting for another attempt or for the answer of a trial at the same point."""
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    pruned: int = 0
    cached: int = 0
    progress: str = ""
    """`finished/total`, for kubectl."""


class BestTrial(Model):
    """The best trial so far."""

    trial: int
    value: float
    parameters: ParameterValues = {}
    """Empty where they are too many for a status; the table has them."""


class Run(Model):
    """One run: everything that determines it, by hash, and how it went."""

    number: int
    hash: str
    spec_hash: str
    """Of the part of the spec that determines the run."""
    reason: RunReason
    request: ShortText = ""
    state: RunState = "Running"
    failed_before: int = 0
    """Number of the last run of this hash that failed; 0 when none did."""
    answered_by: ShortText = ""
    """The ModelVersion that was there before and made this run unnecessary."""
    stopped_by: Literal["", "Target", "Budget"] = ""
    """What ended the search before its last trial."""
    datasets: tuple[RunDataset, ...] = ()
    artifacts: ArtifactsUri = ""
    """URI below which the models of its trials go."""
    swept: bool = False
    """Whether what its trials left there, the kept model apart, is gone."""
    start_time: Timestamp
    completion_time: Timestamp | None = None
    trials: TrialCounts = TrialCounts()
    best: BestTrial | None = None


class RunSummary(Model):
    """One line of the history."""

    number: int
    hash: str
    reason: str
    state: RunState
    start_time: Timestamp
    completion_time: Timestamp | None = None
    best_value: float | None = None
    model: str = ""
    cached: bool = False
    """Whether an earlier model answered it."""
    trials: str = ""
    """The ConfigMap with its trials."""
    artifacts: ArtifactsUri = ""
    swept: bool = False


class TrialsReference(Model):
    """Where the table of the current run's trials is."""

    config_map: str
    """Name of the first page; further ones have -1, -2, ... appended."""
    pages: int = 1


class ModelReference(Model):
    """The newest model that came out."""

    name: str
    version: int


class MetricDifference(Model):
    """One metric of a reproduced model."""

    name: ShortText
    recorded: float | None = None
    reproduced: float | None = None


class Reproduction(Model):
    """One training done again from a ModelVersion's record."""

    model_version: str
    uid: str = ""
    """Of the ModelVersion."""
    request: ShortText = ""
    state: Literal["Running", "Reproduced", "Differs", "Failed"] = "Running"
    attempt: int = 0
    failures: int = 0
    not_before: Timestamp | None = None
    """When retrying after a disruption: the earliest moment of the next attempt."""
    job: str = ""
    image: Annotated[str, Field(max_length=1024)] = ""
    """What the container that trains runs: the recorded image by digest, where that can be pulled."""
    digest: str = ""
    """Of the new artifact."""
    recorded_digest: str = ""
    metrics: Annotated[tuple[MetricDifference, ...], Field(max_length=64)] = ()
    message: Annotated[str, Field(max_length=1024)] = ""
    start_time: Timestamp
    completion_time: Timestamp | None = None
