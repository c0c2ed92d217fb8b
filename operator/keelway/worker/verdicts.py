"""Writes verdicts so that they always fit a termination message, and reports as one marked line of the log."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Collection
from pathlib import Path
from typing import TypeVar

from keelway.api.curves import thinned
from keelway.api.digests import canonical_json, sha256
from keelway.api.jobs import (
    REPORT_MARK,
    TERMINATION_LOG,
    VERDICT_BYTES,
    CollectVerdict,
    ObserveReport,
    ObserveVerdict,
    StageVerdict,
    SweepVerdict,
    TransformVerdict,
)
from keelway.api.judging import MeasureVerdict, SmokeVerdict

Verdict = (
    ObserveVerdict | StageVerdict | CollectVerdict | MeasureVerdict | TransformVerdict | SmokeVerdict | SweepVerdict
)

MLFLOW_ERROR_LENGTH = 300
WithMetrics = TypeVar("WithMetrics", CollectVerdict, MeasureVerdict)
TERMINATION_LOG_VARIABLE = "KEELWAY_TERMINATION_LOG"
"""Where to write instead of the container's termination log."""


def write(verdict: Verdict, *, wanted: Collection[str] = ()) -> None:
    """Put the verdict where Kubernetes finds it."""
    path = Path(os.environ.get(TERMINATION_LOG_VARIABLE, TERMINATION_LOG))
    path.write_bytes(fit(verdict, wanted=wanted))


def fit(verdict: Verdict, *, wanted: Collection[str] = ()) -> bytes:
    """The verdict in at most VERDICT_BYTES of JSON.

    What goes first: points of the curve, ever more evenly, then metrics but the wanted ones, then the message's end.
    """
    if isinstance(verdict, CollectVerdict):
        verdict = _fewer_metrics(_fewer_points(verdict), wanted)
    if isinstance(verdict, MeasureVerdict):
        verdict = _measured(_fewer_metrics(verdict, wanted))
    if _size(verdict) > VERDICT_BYTES:
        verdict = _shorter_message(verdict)
    return canonical_json(verdict.to_json())


def print_report(report: ObserveReport) -> str:
    """Print the report as one marked line; returns the sha256 of what follows the mark."""
    line = canonical_json(report.to_json())
    print(REPORT_MARK + line.decode(), flush=True)
    return sha256(line)


def _fewer_points(verdict: CollectVerdict) -> CollectVerdict:
    verdict = verdict.model_copy(update={"mlflow_error": verdict.mlflow_error[:MLFLOW_ERROR_LENGTH]})
    curve = verdict.curve
    while verdict.curve and _size(verdict) > VERDICT_BYTES:
        points = len(verdict.curve) * 3 // 4
        verdict = verdict.model_copy(update={"curve": thinned(curve, points) if points > 1 else ()})
    return verdict


def _fewer_metrics(verdict: WithMetrics, wanted: Collection[str]) -> WithMetrics:
    metrics = dict(verdict.metrics)
    for name in reversed(verdict.metrics):
        if _size(verdict) <= VERDICT_BYTES:
            break
        if name not in wanted:
            del metrics[name]
            verdict = verdict.model_copy(update={"metrics": dict(metrics)})
    return verdict


def _measured(verdict: MeasureVerdict) -> MeasureVerdict:
    """The verdict, or that it cannot be told: a metric that is checked is never left out in silence."""
    if _size(verdict.model_copy(update={"message": ""})) <= VERDICT_BYTES:
        return verdict
    return MeasureVerdict(
        outcome="Failed",
        reason="MetricInvalid",
        message=f"the names of the {len(verdict.metrics)} metrics that are checked are too long: shorten them",
    )


def _size(verdict: Verdict) -> int:
    return len(canonical_json(verdict.to_json()))


def _shorter_message(verdict: Verdict) -> Verdict:
    """The verdict with as much of its message as fits, and an ellipsis; JSON may spell a character in many bytes."""

    def cut(length: int) -> Verdict:
        return verdict.model_copy(update={"message": verdict.message[:length] + "…"})

    def size(length: int) -> int:
        return len(canonical_json(cut(length).to_json()))

    return cut(max(bisect_right(range(len(verdict.message)), VERDICT_BYTES, key=size) - 1, 0))
