"""What the metrics say of a version that has traffic: asked in rounds, counted, and judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from keelway.api.durations import from_timestamp, seconds, to_timestamp
from keelway.api.model_deployment import ModelDeployment
from keelway.api.rollout import Analysis, AnalysisStatus, Measured, MetricCheck
from keelway.lifecycle.conditions import shortened
from keelway.lifecycle.model_deployment.world import World
from keelway.lifecycle.plan import MetricAnswer, MetricQuery
from keelway.manifests.serving import entry_service


@dataclass(frozen=True)
class Looked:
    """Where the analysis stands: what is to be asked now, or the state after what was answered."""

    after: AnalysisStatus
    ask: tuple[MetricQuery, ...] = ()
    """Not empty: the answers are needed before anything is decided."""
    due_in: float = 0.0
    """Seconds until the next round."""

    def failed(self, analysis: Analysis) -> bool:
        """Whether more looks failed than may."""
        return self.after.failures > analysis.failure_limit

    @property
    def problems(self) -> str:
        """What was wrong at the last look, in words."""
        return "; ".join(one.message for one in self.after.last if one.outcome != "Passed")


def looked(world: World, analysis: Analysis, before: AnalysisStatus | None, version: int) -> Looked:
    """The next round of looks at a version, once it is due."""
    interval = seconds(analysis.interval)
    if before is None:
        return Looked(AnalysisStatus(at=to_timestamp(world.now)), due_in=interval)
    due_in = interval - (world.now - from_timestamp(before.at)).total_seconds()
    if due_in > 0:
        return Looked(before, due_in=due_in)
    checks = analysis.prometheus.checks
    queries = [_query(world, analysis, check, version, before) for check in checks]
    answers = [answer for query in queries if (answer := world.seen.answer(query)) is not None]
    if len(answers) < len(queries):
        return Looked(before, ask=tuple(queries))
    found = [judged(check, answer) for check, answer in zip(checks, answers, strict=True)]
    return Looked(_after(world, before, found), due_in=interval)


def _after(world: World, before: AnalysisStatus, found: Sequence[Measured]) -> AnalysisStatus:
    return AnalysisStatus(
        round=before.round + 1,
        failures=before.failures + any(one.outcome == "Failed" for one in found),
        blind=any(one.outcome in ("NoData", "Error") for one in found),
        last=tuple(found),
        at=to_timestamp(world.now),
    )


def _query(world: World, analysis: Analysis, check: MetricCheck, version: int, before: AnalysisStatus) -> MetricQuery:
    """The next look's question. Looks are numbered anew for a soak and a candidate that starts again, so the time of
    the look before belongs to it too: else it would be taken as answered."""
    deployment = world.deployment
    asked_as = f"{deployment.metadata.uid}/{world.attempt}/{version}/{check.name}/{before.round + 1}/{before.at}"
    return MetricQuery(
        analysis.prometheus.url, filled_in(check.query, deployment, world.target_service, version), asked_as
    )


def filled_in(query: str, deployment: ModelDeployment, inference_service: str, version: int) -> str:
    """A query with the candidate's names in the places of its variables."""
    names = {
        "service": entry_service(inference_service),
        "inferenceService": inference_service,
        "version": str(version),
        "namespace": deployment.namespace,
        "name": deployment.name,
    }
    for name, value in names.items():
        query = query.replace(f"{{{{{name}}}}}", value)
    return query


def judged(check: MetricCheck, answer: MetricAnswer) -> Measured:
    """One check's outcome. Of several series the worst one counts; a value that is no number is no data."""
    if answer.error:
        return _measured(check, "Error", f"{check.name}: {answer.error}")
    values = [value for value in answer.values if not math.isnan(value)]
    if not values:
        outcome = {"Wait": "NoData", "Pass": "Passed", "Fail": "Failed"}[check.no_data]
        return _measured(check, outcome, f"{check.name}: no data")
    worst = max(values, key=lambda value: _excess(check, value))
    if _excess(check, worst) <= 0:
        return _measured(check, "Passed", f"{check.name} {worst:.6g}", worst)
    bounds = " and ".join(_bounds(check))
    return _measured(check, "Failed", f"{check.name} {worst:.6g} is not {bounds}", worst)


def _excess(check: MetricCheck, value: float) -> float:
    """How far a value is out of bounds; zero or less within them."""
    below = check.min - value if check.min is not None else -math.inf
    above = value - check.max if check.max is not None else -math.inf
    return max(below, above)


def _bounds(check: MetricCheck) -> Sequence[str]:
    least = [f"at least {check.min:.6g}"] if check.min is not None else []
    most = [f"at most {check.max:.6g}"] if check.max is not None else []
    return [*least, *most]


def _measured(check: MetricCheck, outcome: str, message: str, value: float | None = None) -> Measured:
    finite = value if value is not None and math.isfinite(value) else None
    return Measured.model_validate(
        {"name": check.name, "outcome": outcome, "value": finite, "message": shortened(message)[:256]}
    )
