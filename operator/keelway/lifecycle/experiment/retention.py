"""What is deleted after a run: what its trials left beside the model that is kept, and models that have expired.

Files are deleted by Jobs, one at a time. Which directory a Job deletes and how often that was tried before stands in
its annotation, so that a crash forgets nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TypeVar

from keelway.api.base import Manifest, Model
from keelway.api.jobs import SweepVerdict
from keelway.api.reasons import EventReason, Reason
from keelway.api.run import Run, RunSummary
from keelway.lifecycle.backoff import retry_after
from keelway.lifecycle.experiment import outcome
from keelway.lifecycle.experiment.directories import is_busy, is_of_run, kept
from keelway.lifecycle.experiment.expiry import Candidate, Expiry
from keelway.lifecycle.experiment.world import World
from keelway.lifecycle.jobs import JobState, ended_at
from keelway.lifecycle.plan import Delete, Event, Plan
from keelway.lifecycle.pods import verdict
from keelway.lifecycle.uris import normal
from keelway.manifests.sweep_job import SWEEP, SWEEP_ANNOTATION, Sweep

R = TypeVar("R", Run, RunSummary)

MOST_FAILURES = 8


class SweepFacts(Model):
    """What the Job of a sweep says of itself in an annotation."""

    uri: str
    model: str = ""
    """The ModelVersion whose directory it is; empty: a run's or a reproduction's."""
    attempt: int = 0


@dataclass(frozen=True)
class SweepState:
    """One sweep under way."""

    facts: SweepFacts
    job: JobState
    earlier: tuple[Manifest, ...] = ()
    """Jobs of earlier attempts that are still there."""


@dataclass(frozen=True)
class House:
    """What there is to tidy up of one Experiment."""

    world: World
    run: Run

    @cached_property
    def expiry(self) -> Expiry:
        """Its models, and which of them are on their way out."""
        return Expiry(self.world)

    @cached_property
    def sweep(self) -> SweepState | None:
        """The sweep under way, at its newest attempt."""
        jobs = [job for job in self.world.own_jobs if SWEEP_ANNOTATION in job["metadata"]["annotations"]]
        found = sorted(((_facts(job), job) for job in jobs), key=lambda one: (one[0].uri, one[0].attempt))
        if not found:
            return None
        *earlier, (facts, job) = [one for one in found if one[0].uri == found[0][0].uri]
        return SweepState(facts, self.world.state_of(job), tuple(job for _, job in earlier))

    @property
    def unswept(self) -> list[Run | RunSummary]:
        """Runs that may have left files, newest first."""
        runs: list[Run | RunSummary] = [self.run, *self.world.experiment.status.runs]
        return [run for run in runs if run.artifacts and not run.swept]


def _facts(job: Manifest) -> SweepFacts:
    return SweepFacts.model_validate_json(job["metadata"]["annotations"][SWEEP_ANNOTATION])


def housekeeping(world: World, run: Run) -> Plan | None:
    """The next thing to tidy up once a run is over; None when there is nothing to do now."""
    if run.state == "Running" or world.experiment.spec.suspend:
        return None
    house = House(world, run)
    plan = sweep_goes_on(house, house.sweep) if house.sweep else _next(house)
    return plan and replace(plan, status=plan.status or outcome.over_status(world, run))


def _next(house: House) -> Plan | None:
    return next((plan for step in STEPS if (plan := step(house))), None)


def sweep_goes_on(house: House, sweep: SweepState) -> Plan | None:
    """Wait for its end, then record it."""
    if sweep.earlier:
        return Plan("earlier sweeps go", deletes=tuple(Delete.of(job) for job in sweep.earlier))
    if sweep.job.phase == "Running":
        return _waiting(house, sweep.job.look_again_after) if sweep.job.look_again_after else None
    said = verdict(sweep.job.pods, SWEEP, SweepVerdict)
    if said and said.outcome == "Swept":
        message = f"deleted {said.files} files at {sweep.facts.uri}"
        return _over(house, sweep, Event("Normal", EventReason.ARTIFACTS_SWEPT, message))
    return _failed(house, sweep, *_failure(sweep.job, said))


def _failure(job: JobState, said: SweepVerdict | None) -> tuple[Reason, str]:
    if said:
        return Reason.of(said.reason), said.message
    if job.timed_out:
        return Reason.TIMED_OUT, "it was not done when its time was up"
    return Reason.DISRUPTED, "its pod is gone and left no verdict"


def _failed(house: House, sweep: SweepState, reason: Reason, why: str) -> Plan:
    """Try again after a while, and not for ever."""
    facts = sweep.facts
    failures = facts.attempt + 1
    message = f"could not delete what is at {facts.uri}, attempt {failures}: {reason}: {why}"
    if failures >= MOST_FAILURES:
        message += "; given up: what is there stays, and nothing of Keelway's needs it; delete it by hand"
        return _over(house, sweep, Event("Warning", EventReason.SWEEP_FAILED, message))
    left = _due(house, sweep) - house.world.now
    if left > timedelta():
        return _waiting(house, left.total_seconds())
    keep = kept(house.world, facts.uri, but=facts.model)
    again = Sweep(uri=facts.uri, keep=keep or (), model=facts.model, attempt=failures)
    return Plan(
        "sweep again",
        creates=(house.world.sweep_job(again),) if keep is not None else (),
        deletes=(Delete.of(sweep.job.job),),
        events=(Event("Warning", EventReason.SWEEP_FAILED, message),),
    )


def _due(house: House, sweep: SweepState) -> datetime:
    ended = ended_at(sweep.job.job) or house.world.now
    return ended + timedelta(seconds=retry_after(sweep.facts.attempt))


def _waiting(house: House, seconds: float) -> Plan:
    """As every run that is over, with another look in time."""
    plan = outcome.ended(house.world, house.run)
    soonest = min(filter(None, (plan.look_again_after, seconds)))
    return replace(plan, reason="retention waits", look_again_after=soonest)


def _over(house: House, sweep: SweepState, event: Event) -> Plan:
    """Record that nothing more is done about a directory."""
    uri, runs = normal(sweep.facts.uri), house.world.experiment.status.runs
    run = _swept(house.run, uri)
    return Plan(
        "sweep over",
        status=outcome.over_status(house.world, run, runs=tuple(_swept(line, uri) for line in runs)),
        deletes=(*_record(house, sweep.facts), Delete.of(sweep.job.job)),
        events=(event,),
    )


def _swept(run: R, uri: str) -> R:
    return run.model_copy(update={"swept": True}) if normal(run.artifacts) == uri else run


def _record(house: House, facts: SweepFacts) -> tuple[Delete, ...]:
    """The ModelVersion whose files are gone, provided it is still the one that was to go."""
    going = (candidate.manifest for candidate in house.expiry.going)
    found = (m for m in going if m["metadata"]["name"] == facts.model)
    return tuple(Delete.of(m) for m in found if normal(m["spec"]["artifact"]["uri"]) == normal(facts.uri))


def run_to_sweep(house: House) -> Plan | None:
    """A run is over: what its trials left goes, apart from models that have a record."""
    world = house.world
    for run in house.unswept:
        keep = kept(world, run.artifacts)
        if keep is not None and is_of_run(world, run) and not is_busy(world, run.artifacts):
            return Plan("sweep begins", creates=(house.world.sweep_job(Sweep(uri=normal(run.artifacts), keep=keep)),))
    return None


def models_come_back(house: House) -> Plan | None:
    """What has expired is referred to again, or retention keeps more."""
    marks = tuple(house.expiry.marked(candidate, expired=False) for candidate in house.expiry.back)
    return Plan("models come back", record_statuses=marks) if marks else None


def models_expire(house: House) -> Plan | None:
    """There are more models than retention keeps."""
    fresh = house.expiry.fresh
    marks = tuple(house.expiry.marked(candidate, expired=True) for candidate in fresh)
    return Plan("models expire", record_statuses=marks, events=tuple(map(_expired_event, fresh))) if marks else None


def _expired_event(candidate: Candidate) -> Event:
    message = f"{candidate.version.name} goes soon: newer models are kept, and nothing refers to it"
    return Event("Normal", EventReason.MODEL_EXPIRED, message)


def model_goes(house: House) -> Plan | None:
    """Nobody wanted an expired model back: from now on nobody can have it."""
    due = house.expiry.due
    return Plan("model goes", record_statuses=(house.expiry.marked(due, expired=True, swept=True),)) if due else None


def model_to_sweep(house: House) -> Plan | None:
    """The files of a model that is going."""
    for candidate in house.expiry.going:
        name, uri = candidate.version.name, normal(candidate.version.spec.artifact.uri)
        keep = kept(house.world, uri, but=name)
        if keep is not None:
            return Plan("sweep begins", creates=(house.world.sweep_job(Sweep(uri=uri, keep=keep, model=name)),))
    return None


def models_wait(house: House) -> Plan | None:
    """Expired models wait for being wanted back."""
    seconds = house.expiry.due_in
    return _waiting(house, seconds) if seconds is not None and seconds > 0 else None


STEPS = (models_come_back, run_to_sweep, models_expire, model_to_sweep, model_goes, models_wait)
