"""The decision about one Experiment, as a list of steps."""

from __future__ import annotations

from datetime import datetime

from keelway.api.base import Manifest
from keelway.api.experiment import Experiment
from keelway.api.run import Run
from keelway.lifecycle.dataset_inputs import Unresolved
from keelway.lifecycle.experiment import outcome
from keelway.lifecycle.experiment.inputs import trial_inputs
from keelway.lifecycle.experiment.model import destination, new_model
from keelway.lifecycle.experiment.progress import Progress
from keelway.lifecycle.experiment.reproduction import reproduce
from keelway.lifecycle.experiment.retention import housekeeping
from keelway.lifecycle.experiment.runs import current_run, history
from keelway.lifecycle.experiment.world import World
from keelway.lifecycle.jobs import has_ended, stop
from keelway.lifecycle.plan import Delete, Observed, Plan
from keelway.lifecycle.settings import JobSettings
from keelway.manifests.staged_pod import PodInput
from keelway.manifests.trial_job import RUN_ANNOTATION, TrialJob, trial_job


def reconcile(manifest: Manifest, seen: Observed, now: datetime, settings: JobSettings) -> Plan:
    """What to do next for one Experiment."""
    world = World(Experiment.model_validate(manifest), seen, now, settings)
    if world.experiment.metadata.deletion_timestamp:
        return Plan("leaving")
    if only_reproduces(world) and (plan := reproduce(world, None)):
        return plan
    run = current_run(world)
    if isinstance(run, Unresolved):
        return outcome.unresolved(world, run, stop=_unwanted(world))
    progress = Progress(world, run)
    return next(plan for step in STEPS if (plan := step(progress)))


def only_reproduces(world: World) -> bool:
    """An Experiment that has had no run and is asked to reproduce a model does that alone."""
    return world.run is None and bool(world.experiment.spec.reproduce)


def leftovers(progress: Progress) -> Plan | None:
    """Jobs that still run for another run or for one that is over, and tables that the history has forgotten."""
    gone = (*_strangers(progress), *_forgotten_tables(progress.world, progress.run))
    return Plan("leftovers", deletes=gone) if gone else None


def model_reproduced(progress: Progress) -> Plan | None:
    """A model is trained again from its record, when no run goes on."""
    return reproduce(progress.world, progress.run)


def left_behind(progress: Progress) -> Plan | None:
    """What runs left in the bucket goes, and models that retention does not keep."""
    return housekeeping(progress.world, progress.run)


def run_over(progress: Progress) -> Plan | None:
    """A recorded end stays the end, whatever became of the Jobs."""
    return None if progress.run.state == "Running" else outcome.ended(progress.world, progress.run)


def run_answered(progress: Progress) -> Plan | None:
    """Another run has made the model of exactly this run before: nobody pays twice."""
    world, run = progress.world, progress.run
    model = world.model_of(run.hash)
    return outcome.answered(world, run, model) if model and not world.made_by(run, model) else None


def suspended(progress: Progress) -> Plan | None:
    """No run begins."""
    world = progress.world
    idle = world.run is None or world.run.number != progress.run.number
    return outcome.suspended(world) if world.experiment.spec.suspend and idle else None


def run_ends(progress: Progress) -> Plan | None:
    """No trial is left to try: the best one's model becomes a ModelVersion, unless too many failed."""
    if not progress.over:
        return None
    world, best = progress.world, progress.best
    left = _stops(world, [state.job for state in progress.running])
    if progress.too_many_failures or best is None:
        return outcome.failed(progress, stop=left)
    made = world.model_of(progress.run.hash)
    return outcome.succeeded(progress, made.spec if made else new_model(world, progress.run, best), stop=left)


def run_goes_on(progress: Progress) -> Plan | None:
    """Record what ended, begin what comes next."""
    world, run = progress.world, progress.run
    inputs = trial_inputs(run.datasets, world.experiment.namespace, world.seen) if progress.starts else ()
    if inputs is None:
        return outcome.data_gone(progress)
    return outcome.running(progress, starts=_starts(progress, inputs))


STEPS = (leftovers, model_reproduced, left_behind, run_over, run_answered, suspended, run_ends, run_goes_on)
"""The last step always has an answer."""


def _unwanted(world: World) -> tuple[Delete, ...]:
    """Jobs of a run that the spec does not ask for any more, although it is not known yet what comes next."""
    if world.run is None or world.run.spec_hash == world.spec_hash:
        return ()
    return _stops(world, [job for job in world.jobs if not has_ended(job)])


def _stops(world: World, jobs: list[Manifest]) -> tuple[Delete, ...]:
    return tuple(order for job in jobs for order in stop(job, world.seen))


def _strangers(progress: Progress) -> tuple[Delete, ...]:
    world, run = progress.world, progress.run
    tag = world.run_tag(run) if run.state == "Running" else ""
    alive = [job for job in world.jobs if not has_ended(job)]
    others = [job for job in alive if job["metadata"]["annotations"][RUN_ANNOTATION] != tag]
    return _stops(world, others or [job for job in alive if progress.is_over(job)])


def _forgotten_tables(world: World, run: Run) -> list[Delete]:
    kept = {world.table_name(run), *(summary.trials for summary in history(world, run))}
    tables = world.seen.about(world.experiment.key, "ConfigMap")
    staying = [table for table in tables if not table["metadata"].get("deletionTimestamp")]
    return [Delete.of(table) for table in staying if not kept & _names_of_table(table["metadata"]["name"])]


def _names_of_table(name: str) -> set[str]:
    """A page is named after its table."""
    return {name, name.rpartition("-")[0]}


def _starts(progress: Progress, inputs: tuple[PodInput, ...]) -> tuple[Manifest, ...]:
    world, run, settings = progress.world, progress.run, progress.world.settings
    trials = [
        TrialJob(
            name=world.job_name(run, number, attempt),
            run=world.run_tag(run),
            number=number,
            attempt=attempt,
            parameters=parameters,
            inputs=inputs,
            destination=destination(world, run, number),
            run_number=run.number,
            run_hash=run.hash,
        )
        for number, attempt, parameters in progress.starts
    ]
    image, policy = settings.worker_image, settings.worker_pull_policy
    return tuple(trial_job(world.experiment, trial, image=image, pull_policy=policy) for trial in trials)
