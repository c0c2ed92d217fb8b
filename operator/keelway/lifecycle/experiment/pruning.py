"""Which running trials end early, by the intermediate values that `collect` relays to its log."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

from pydantic import ValidationError

from keelway.api.base import Manifest
from keelway.api.curves import Curve, thinned
from keelway.api.experiment import Experiment
from keelway.api.jobs import STEP_MARK, StepReport
from keelway.lifecycle.experiment.trials import TrialRow, facts
from keelway.lifecycle.jobs import JobState
from keelway.lifecycle.plan import LogRequest, Observed
from keelway.manifests.trial_job import COLLECT, trainer_name
from keelway.search.stopping import should_stop

LOOK_SECONDS = 5.0
"""How often the curves of running trials are looked at."""
FRESH_SECONDS = 4.0
"""How old a log may be to need no other reading: a little less, so that every look has news."""
COMPARED = 300
"""How many recorded trials, the latest ones, the running ones are compared with: a look has to be quick."""
PARSED_LOGS = 512
"""More than trials can run at a time in one Experiment."""


def to_prune(
    experiment: Experiment, running: Sequence[JobState], rows: Mapping[int, TrialRow], seen: Observed
) -> dict[int, Curve]:
    """The running trials that must end now, by number, each with its curve (at most CURVE_POINTS points).

    `rows` are the recorded trials: with their curves and those of the others that run, a trial is compared.
    """
    settings = experiment.spec.early_stopping
    if settings is None:
        return {}
    relayed = {facts(state.job).number: _relayed(state, seen) for state in running}
    training = {facts(state.job).number for state in running if _training_pod(experiment, state)}
    recorded = [rows[number].curve for number in sorted(rows) if number not in relayed and _is_measure(rows[number])]
    maximize = experiment.spec.objective.goal == "Maximize"
    ending: dict[int, Curve] = {}
    for number in sorted(training):
        others = [*recorded[-COMPARED:], *(curve for other, curve in relayed.items() if other != number)]
        if should_stop(settings, relayed[number], others, maximize=maximize):
            ending[number] = thinned(relayed[number])
    return ending


def log_requests(experiment: Experiment, running: Sequence[JobState]) -> tuple[LogRequest, ...]:
    """The logs to read so that the next look knows how the running trials do; none without early stopping."""
    if experiment.spec.early_stopping is None:
        return ()
    pods = (_training_pod(experiment, state) for state in running)
    return tuple(
        LogRequest(
            namespace=pod["metadata"]["namespace"],
            pod=pod["metadata"]["name"],
            pod_uid=pod["metadata"]["uid"],
            container=COLLECT,
            max_age=FRESH_SECONDS,
        )
        for pod in pods
        if pod
    )


def _training_pod(experiment: Experiment, state: JobState) -> Manifest | None:
    """The pod in which a trial's own container runs now. One that is through is not worth ending any more."""
    pod = state.last_pod
    if pod is None or pod["metadata"].get("deletionTimestamp"):
        return None
    containers = pod.get("status", {}).get("containerStatuses", [])
    states = (c.get("state", {}) for c in containers if c.get("name") == trainer_name(experiment))
    return pod if any(state.get("running") is not None for state in states) else None


def _is_measure(row: TrialRow) -> bool:
    """A cached trial has the curve of another one, which counts once."""
    return bool(row.curve) and row.state in ("Succeeded", "Pruned")


def _relayed(state: JobState, seen: Observed) -> Curve:
    pod = state.last_pod
    return parse((seen.log(pod["metadata"]["uid"], COLLECT) or "") if pod else "")


@lru_cache(maxsize=PARSED_LOGS)
def parse(log: str) -> Curve:
    """The curve that a log relays; other lines, halves of lines and steps that go back are passed over."""
    points: list[tuple[int, float]] = []
    for line in log.splitlines():
        report = _report(line) if line.startswith(STEP_MARK) else None
        if report and (not points or report.step > points[-1][0]):
            points.append((report.step, report.value))
    return tuple(points)


def _report(line: str) -> StepReport | None:
    try:
        report = StepReport.model_validate_json(line.removeprefix(STEP_MARK))
    except ValidationError:
        # The log's beginning may be cut off in the middle of a line.
        return None
    return report if report.step >= 0 and math.isfinite(report.value) else None
