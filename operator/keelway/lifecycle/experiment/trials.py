"""Trials: the table of what was recorded, and what the Jobs add to it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal

from keelway.api.base import Manifest, Model
from keelway.api.curves import Curve
from keelway.api.digests import canonical_json
from keelway.api.durations import from_timestamp, to_timestamp
from keelway.api.experiment import Experiment
from keelway.api.jobs import CollectVerdict
from keelway.api.reasons import Reason
from keelway.api.search import Parameter, ParameterValue
from keelway.lifecycle.backoff import retry_after
from keelway.lifecycle.conditions import shortened
from keelway.lifecycle.jobs import JobState
from keelway.lifecycle.pods import image_id, verdict
from keelway.lifecycle.staged_jobs import work_failure
from keelway.manifests.config_map import TRIALS_FILE
from keelway.manifests.trial_job import COLLECT, TRIAL_ANNOTATION, trainer_name
from keelway.search import Space

PAGE_BYTES = 240_000
MOST_ROWS_OF_A_PAGE = 50
ROW_BYTES = 6_500
"""Of a row at most, its parameters apart: the verdict's metrics, the curve, a message."""
FINAL = ("Succeeded", "Failed", "Pruned", "Cached")
ANSWERS = ("Succeeded", "Cached")
TRY_AGAIN = frozenset(
    {
        Reason.SOURCE_UNREACHABLE,
        Reason.SOURCE_CHANGING,
        Reason.UPLOAD_FAILED,
        Reason.OUT_OF_SPACE,
        Reason.INTERNAL_ERROR,
        Reason.DISRUPTED,
        Reason.SECRET_MISSING,
        Reason.ACCESS_DENIED,
    }
)
"""Not the trial's fault: tried again, ever more slowly, without counting."""


class TrialRow(Model):
    """One trial as the table has it. Not final are `Retrying` (another attempt is due) and `Waiting` (for the end of a
    trial at the same point)."""

    number: int
    state: Literal["Succeeded", "Failed", "Pruned", "Cached", "Retrying", "Waiting"]
    parameters: dict[str, ParameterValue]
    attempt: int = 0
    """The last attempt made; when retrying, the next one."""
    failures: int = 0
    """How many attempts were the trial's own fault."""
    not_before: str | None = None
    """When retrying after a disruption: the earliest moment of the next attempt."""
    metrics: dict[str, float] = {}
    value: float | None = None
    reason: str = ""
    message: str = ""
    answered_by: int | None = None
    """The trial at the same point whose end is this one's, too."""
    curve: Curve = ()
    """(step, value) of intermediate reports, bounded."""
    job: str = ""
    digest: str = ""
    directory: str = ""
    files: int = 0
    bytes: int = 0
    image_id: str = ""
    seconds: float | None = None
    """Running time of the last attempt."""
    spent: float = 0
    """Running time of all attempts."""
    mlflow_run: str = ""
    mlflow_error: str = ""


class JobFacts(Model):
    """What a trial's Job says of itself in an annotation."""

    number: int
    attempt: int
    parameters: dict[str, ParameterValue]


def facts(job: Manifest) -> JobFacts:
    """Number, attempt and parameters of a trial's Job."""
    return _facts(job["metadata"]["annotations"][TRIAL_ANNOTATION])


@lru_cache(maxsize=1024)
def _facts(text: str) -> JobFacts:
    # Asked several times at every look, of each trial that runs.
    return JobFacts.model_validate_json(text)


def page_rows(parameters: Sequence[Parameter]) -> int:
    """How many trials share a page of the table, so that no page outgrows PAGE_BYTES."""
    return max(1, min(MOST_ROWS_OF_A_PAGE, PAGE_BYTES // (ROW_BYTES + sum(map(_widest, parameters)))))


def _widest(parameter: Parameter) -> int:
    """Bytes of a parameter in a row at most: its name, and a number or its longest choice in JSON's worst spelling."""
    values = parameter.choice.values if parameter.choice else ()
    longest = max((len(canonical_json(value)) for value in values), default=0)
    return len(parameter.name) + max(longest, 24) + 6


def rows_of(table: Manifest | None) -> Mapping[int, TrialRow]:
    """The rows of a page by trial number."""
    return _parsed(table.get("data", {}).get(TRIALS_FILE, "[]")) if table else {}


@lru_cache(maxsize=2048)
def _parsed(text: str) -> Mapping[int, TrialRow]:
    # A page is looked at again and again and changes seldom: of 10 000 trials, one page in two hundred at a time.
    return {row["number"]: TrialRow.model_validate(row) for row in json.loads(text)}


def row_from(experiment: Experiment, state: JobState, before: TrialRow | None, now: datetime) -> TrialRow:
    """What a Job that ended adds to the table: a result, a failure, or another attempt to come."""
    said, seconds = facts(state.job), _seconds(state.job)
    row = TrialRow(
        number=said.number,
        state="Failed",
        parameters=said.parameters,
        attempt=said.attempt,
        failures=before.failures if before else 0,
        job=state.name,
        image_id=image_id(state.last_pod, trainer_name(experiment)) if state.last_pod else "",
        seconds=seconds,
        spent=(before.spent if before else 0) + (seconds or 0),
    )
    collected = verdict(state.pods, COLLECT, CollectVerdict)
    if collected:
        told = {"mlflow_run": collected.mlflow_run, "mlflow_error": collected.mlflow_error[:300]}
        row = row.model_copy(update=told)
    reason, message = _failure(experiment, state, collected)
    if reason is None and collected:
        return _succeeded(row, collected, experiment.spec.objective.metric)
    return _failed(row, reason or Reason.DISRUPTED, message, experiment.spec.trial.retries, now)


def _succeeded(row: TrialRow, collected: CollectVerdict, metric: str) -> TrialRow:
    update = {
        "state": "Succeeded",
        "metrics": collected.metrics,
        "value": collected.metrics[metric],
        "digest": collected.digest,
        "directory": collected.directory,
        "files": collected.files,
        "bytes": collected.bytes,
        "curve": collected.curve,
    }
    return row.model_copy(update=update)


def _failed(row: TrialRow, reason: Reason, message: str, retries: int, now: datetime) -> TrialRow:
    said = {"reason": reason.value, "message": shortened(message)[:300]}
    if reason in TRY_AGAIN:
        disruptions = row.attempt - row.failures
        later = to_timestamp(now + timedelta(seconds=retry_after(disruptions)))
        return row.model_copy(update={**said, "state": "Retrying", "attempt": row.attempt + 1, "not_before": later})
    failures = row.failures + 1
    if failures > retries:
        return row.model_copy(update={**said, "failures": failures})
    return row.model_copy(update={**said, "state": "Retrying", "attempt": row.attempt + 1, "failures": failures})


def _failure(experiment: Experiment, state: JobState, collected: CollectVerdict | None) -> tuple[Reason | None, str]:
    """Why the attempt failed, or None when it did not: first the data, then the user's program, then the result."""
    too_long = f"the trial ran longer than trial.timeout {experiment.spec.trial.timeout}"
    failure = work_failure(state, trainer_name(experiment), failed=Reason.TRAINER_FAILED, too_long=too_long)
    if failure:
        return failure
    if collected is None:
        return Reason.DISRUPTED, "the collect container ended without a verdict"
    return _result_failure(collected, experiment.spec.objective.metric)


def _result_failure(collected: CollectVerdict, metric: str) -> tuple[Reason | None, str]:
    if collected.outcome == "Failed":
        return Reason.of(collected.reason), collected.message
    if not math.isfinite(collected.metrics.get(metric, math.nan)):
        return Reason.METRIC_MISSING, f"the verdict has no finite number for metric {metric!r}"
    return None, ""


def _seconds(job: Manifest) -> float | None:
    status = job.get("status", {})
    ends = [c["lastTransitionTime"] for c in status.get("conditions", []) if c.get("type") in ("Complete", "Failed")]
    if not status.get("startTime") or not ends:
        return None
    return (from_timestamp(ends[-1]) - from_timestamp(status["startTime"])).total_seconds()


def pruned_row(state: JobState, curve: Curve, before: TrialRow | None, now: datetime) -> TrialRow:
    """A trial that ends because it does badly."""
    said = facts(state.job)
    began = state.job.get("status", {}).get("startTime")
    seconds = (now - from_timestamp(began)).total_seconds() if began else 0.0
    return TrialRow(
        number=said.number,
        state="Pruned",
        parameters=said.parameters,
        attempt=said.attempt,
        failures=before.failures if before else 0,
        value=curve[-1][1],
        curve=curve,
        job=state.name,
        seconds=seconds,
        spent=(before.spent if before else 0) + seconds,
    )


def answered_row(number: int, point: dict[str, ParameterValue], same: TrialRow | None, by: int) -> TrialRow:
    """A trial at a point where trial `by` was before: it ends as that one does, and nobody pays twice."""
    if same is None or same.state not in FINAL:
        return TrialRow(number=number, state="Waiting", parameters=point, answered_by=by)
    state = "Cached" if same.state == "Succeeded" else same.state
    update = {"number": number, "state": state, "answered_by": by, "curve": (), "seconds": None, "spent": 0}
    return same.model_copy(update=update)


def best(rows: Iterable[TrialRow], space: Space) -> TrialRow | None:
    """The best row with a result; of equals the first."""
    sign = -1 if space.maximize else 1
    valued = ((sign * row.value, row.number, row) for row in rows if row.value is not None and row.state in ANSWERS)
    return min(valued, default=(0, 0, None))[2]
