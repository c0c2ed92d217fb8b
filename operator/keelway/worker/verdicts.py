"""Writes verdicts so that they always fit a termination message, and reports as one marked line of the log."""

from __future__ import annotations

import os
from bisect import bisect_right
from pathlib import Path

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

Verdict = ObserveVerdict | StageVerdict | CollectVerdict | TransformVerdict | SweepVerdict

MLFLOW_ERROR_LENGTH = 300
TERMINATION_LOG_VARIABLE = "KEELWAY_TERMINATION_LOG"
"""Where to write instead of the container's termination log."""


def write(verdict: Verdict, *, objective: str = "") -> None:
    """Put the verdict where Kubernetes finds it."""
    path = Path(os.environ.get(TERMINATION_LOG_VARIABLE, TERMINATION_LOG))
    path.write_bytes(fit(verdict, objective=objective))


def fit(verdict: Verdict, *, objective: str = "") -> bytes:
    """The verdict in at most VERDICT_BYTES of JSON.

    What goes first: points of the curve, ever more evenly, then metrics but the objective, then the message's end.
    """
    if isinstance(verdict, CollectVerdict):
        verdict = _fewer_metrics(_fewer_points(verdict), objective)
    if len(canonical_json(verdict.to_json())) > VERDICT_BYTES:
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
    while verdict.curve and len(canonical_json(verdict.to_json())) > VERDICT_BYTES:
        points = len(verdict.curve) * 3 // 4
        verdict = verdict.model_copy(update={"curve": thinned(curve, points) if points > 1 else ()})
    return verdict


def _fewer_metrics(verdict: CollectVerdict, objective: str) -> CollectVerdict:
    metrics = dict(verdict.metrics)
    for name in reversed(verdict.metrics):
        if len(canonical_json(verdict.to_json())) <= VERDICT_BYTES:
            break
        if name != objective:
            del metrics[name]
            verdict = verdict.model_copy(update={"metrics": dict(metrics)})
    return verdict


def _shorter_message(verdict: Verdict) -> Verdict:
    """The verdict with as much of its message as fits, and an ellipsis; JSON may spell a character in many bytes."""

    def cut(length: int) -> Verdict:
        return verdict.model_copy(update={"message": verdict.message[:length] + "…"})

    def size(length: int) -> int:
        return len(canonical_json(cut(length).to_json()))

    return cut(bisect_right(range(len(verdict.message)), VERDICT_BYTES, key=size) - 1)
