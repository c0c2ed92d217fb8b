"""What a version of a model must show before it may start: evaluations on held-out data, and somebody's word."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from keelway.api.base import Duration, LabelName, Model, ObjectName, ShortText, Timestamp, cel, rules
from keelway.api.pod_template import PodTemplate
from keelway.api.search import Number


class GateDataset(Model):
    """The data that judge: a Dataset, or one of its versions, or one split of it."""

    dataset: ObjectName
    version: Annotated[str, Field(max_length=128)] = ""
    """Number or digest; empty follows the Dataset's last good version."""
    split: Annotated[str, Field(max_length=63)] = ""


class MetricBound(Model):
    """What one metric of the evaluation must be."""

    metric: Annotated[str, Field(min_length=1, max_length=128)]
    goal: Literal["Maximize", "Minimize"] = "Maximize"
    min: Number | None = None
    max: Number | None = None
    max_regression: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """How much worse than the live model's value on the same data it may be, in the metric's own unit."""


BOUND_RULES = rules(
    cel(
        "has(self.min) || has(self.max) || has(self.maxRegression)",
        "a check needs at least one of min, max and maxRegression",
    ),
    cel("!has(self.min) || !has(self.max) || self.min <= self.max", "a check's min must not be above its max"),
)


class Gate(Model):
    """One evaluation: a pod of yours reads the model and the data and writes metrics, which are checked."""

    name: Annotated[LabelName, Field(max_length=40)]
    dataset: GateDataset
    template: PodTemplate
    """Sees KEELWAY_MODEL_DIR, KEELWAY_DATA_<NAME of the gate> (both read-only) and KEELWAY_METRICS."""
    container: Annotated[str, Field(max_length=63)] = ""
    """Which container evaluates; empty: the first."""
    timeout: Duration = "1h"
    checks: Annotated[tuple[Annotated[MetricBound, BOUND_RULES], ...], Field(min_length=1, max_length=16)]


class Approval(Model):
    """Whose word it takes."""

    mode: Literal["Automatic", "Manual"] = "Automatic"
    approved: Annotated[str, Field(max_length=253)] = ""
    """Manual: number or name of the ModelVersion that may go out."""


GateState = Literal["Running", "Passed", "Failed", "Error"]


class GateResult(Model):
    """How a candidate stands at one gate."""

    name: str
    state: GateState
    """Failed: the numbers are not good enough. Error: there are no numbers."""
    reason: ShortText = ""
    dataset_version: ShortText = ""
    split: ShortText = ""
    evaluator: ShortText = ""
    """Hash of what evaluates."""
    compared_with: ShortText = ""
    """Name of the live ModelVersion, where the gate compares with it."""
    message: Annotated[str, Field(max_length=1024)] = ""
    metrics: Annotated[dict[str, float], Field(max_length=64)] = {}
    live_metrics: Annotated[dict[str, float], Field(max_length=64)] = {}
    """Of the live model on the same data; empty where nothing is compared."""


class Approved(Model):
    """Who let a version through."""

    value: ShortText
    """What `spec.approval.approved` said."""
    by: ShortText = ""
    """Field manager of `spec.approval.approved`."""
    at: Timestamp
