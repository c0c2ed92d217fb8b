"""How a run shows in the Experiment's status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keelway.api.base import Manifest
from keelway.api.durations import to_timestamp
from keelway.api.model_version import ModelVersion, ModelVersionSpec
from keelway.api.reasons import EventReason, Reason
from keelway.api.run import BestTrial, ModelReference, Run, TrialCounts, TrialsReference
from keelway.lifecycle.conditions import Fact, Standing, ready, stalled, status_after, working
from keelway.lifecycle.dataset_inputs import Unresolved
from keelway.lifecycle.experiment.model import model_name, record
from keelway.lifecycle.experiment.progress import Progress
from keelway.lifecycle.experiment.pruning import log_requests
from keelway.lifecycle.experiment.runs import held_back, history
from keelway.lifecycle.experiment.trials import TrialRow
from keelway.lifecycle.experiment.triggers import Held, remembered
from keelway.lifecycle.experiment.world import World
from keelway.lifecycle.jobs import end_overdue, stop
from keelway.lifecycle.plan import Delete, Event, Plan

RETRY_SECONDS = 30.0


def status(world: World, standing: Standing, **changes: object) -> dict[str, Any]:
    """The whole status with this standing and these fields changed."""
    experiment = world.experiment
    generation = experiment.metadata.generation
    return status_after(experiment.status, standing, generation=generation, now=world.now, **changes)


def unresolved(world: World, why: Unresolved, stop: tuple[Delete, ...]) -> Plan:
    """No run can begin: an input has no version."""
    standing = stalled(why.reason, why.message) if why.final else working(why.reason, why.message)
    told = standing.also(Fact("DatasetReady", "False", why.reason, why.message))
    return Plan(why.reason, status=status(world, told), deletes=stop)


def suspended(world: World) -> Plan:
    """No run begins."""
    return Plan("suspended", status=status(world, _suspended_standing(world)))


def _suspended_standing(world: World) -> Standing:
    message = "spec.suspend is true: no run begins"
    return Standing(world.experiment.status.model is not None, Reason.SUSPENDED, message)


def running(progress: Progress, starts: tuple[Manifest, ...]) -> Plan:
    """Trials run."""
    world, run = progress.world, progress.counted()
    begins = world.run is None or world.run.number != run.number
    return Plan(
        "run begins" if begins else "run goes on",
        creates=starts,
        applies=progress.table,
        status=_run_status(progress, run, _running_standing(progress, run).without("Succeeded")),
        deletes=(*stop_pruned(progress), *(order for state in progress.running for order in end_overdue(state))),
        fetches=log_requests(world.experiment, progress.running),
        events=(*(_begin_events(world.run, run) if begins else ()), *_trial_events(progress)),
        look_again_after=progress.look_again_after,
    )


def stop_pruned(progress: Progress) -> tuple[Delete, ...]:
    """Ends the pods of trials that do badly, soon: nobody waits for what they would still upload."""
    names = {row.job for row in progress.pruned.values()}
    states = (state for state in progress.jobs if state.name in names)
    return tuple(order for state in states for order in stop(state.job, progress.world.seen))


def _begin_events(before: Run | None, run: Run) -> tuple[Event, ...]:
    started = Event("Normal", EventReason.RUN_STARTED, f"run {run.number}: {run.reason}: reads {_read_by(run)}")
    if before is None or before.state != "Running":
        return (started,)
    message = f"run {before.number} gives way to run {run.number}: {run.reason}"
    return (Event("Normal", EventReason.RUN_SUPERSEDED, message), started)


STOPPED = {
    "": (Reason.RUN_SUCCEEDED, ""),
    "Target": (Reason.TARGET_REACHED, "; that reaches objective.target"),
    "Budget": (Reason.BUDGET_USED_UP, "; search.budget is used up"),
}


def succeeded(progress: Progress, model: ModelVersionSpec, stop: tuple[Delete, ...]) -> Plan:
    """The run yields a model; trials that still run would not change that."""
    world, name = progress.world, model_name(model.model, model.version)
    run = _ended(progress, "Succeeded")
    reference = ModelReference(name=name, version=model.version)
    reason, why = STOPPED[run.stopped_by]
    message = f"run {run.number} made {name}: {_best_text(world, run.best)}{why}"
    standing = ready(reason, message).also(Fact("Succeeded", "True", reason, message))
    return Plan(
        "run succeeded",
        creates=(record(world, model),),
        applies=progress.table,
        status=_run_status(progress, run, standing, model=reference),
        deletes=stop,
        events=(*_trial_events(progress), Event("Normal", EventReason.MODEL_CREATED, message)),
    )


def failed(progress: Progress, stop: tuple[Delete, ...]) -> Plan:
    """The run yields nothing."""
    run = _ended(progress, "Failed")
    reason, message = _why_failed(progress, run)
    standing = stalled(reason, message).also(Fact("Succeeded", "False", reason, message))
    return Plan(
        "run failed",
        applies=progress.table,
        status=_run_status(progress, run, standing),
        deletes=stop,
        events=(Event("Warning", EventReason.RUN_FAILED, message),),
    )


def _why_failed(progress: Progress, run: Run) -> tuple[Reason, str]:
    rows = [row for _, row in sorted(progress.rows.items()) if row.state == "Failed"]
    message = f"run {run.number}: {len(rows)} of {run.trials.total} trials failed"
    if not rows:
        spent = "search.budget is used up" if run.stopped_by else f"all {run.trials.pruned} were ended early"
        return Reason.BUDGET_USED_UP if run.stopped_by else Reason.TRIALS_FAILED, f"{message}, none succeeded: {spent}"
    last = rows[-1]
    same = all(row.reason == last.reason for row in rows)
    reason = Reason.of(last.reason) if same else Reason.TRIALS_FAILED
    return reason, f"{message}; trial {last.number}: {last.reason}: {last.message}"


def data_gone(progress: Progress) -> Plan:
    """The record of the data that the run reads was deleted."""
    message = "the record of the data that this run reads was deleted: it waits for these bytes, or for another spec"
    return Plan("data gone", status=status(progress.world, stalled(Reason.DATASET_VERSION_GONE, message)))


def answered(world: World, run: Run, model: ModelVersion) -> Plan:
    """A model of exactly this run is known: the run is over before it began, or its end was not recorded yet."""
    origin, value = model.spec.produced_by, model.spec.objective_value
    best = BestTrial(trial=origin.trial, value=value or 0.0, parameters=origin.parameters)
    update = {
        "state": "Succeeded",
        "completion_time": to_timestamp(world.now),
        "best": best,
        "answered_by": model.name,
        "swept": True,
        "trials": TrialCounts(total=world.total, cached=world.total, progress="cached"),
    }
    over = run.model_copy(update=update)
    message = f"run {run.number} was answered by {model.name}, which the same data and spec made before"
    standing = ready(Reason.RUN_CACHED, message).also(
        _resolved(run), Fact("Succeeded", "True", Reason.RUN_CACHED, message)
    )
    after = status(
        world,
        standing,
        run=over,
        runs=history(world, run),
        trials=_table(world, run, world.rows(run)),
        model=ModelReference(name=model.name, version=model.spec.version),
        **_begun(world, run),
    )
    return Plan("run answered", status=after, events=(Event("Normal", EventReason.RUN_SUCCEEDED, message),))


def ended(world: World, run: Run) -> Plan:
    """The run is over and recorded; the conditions follow the spec's generation, and data that waits for its run."""
    waits = held_back(world)
    again = (waits.until - world.now).total_seconds() if waits and waits.until else None
    return Plan("run over", status=over_status(world, run), look_again_after=again)


def over_status(world: World, run: Run, *, facts: tuple[Fact, ...] = (), **changes: object) -> dict[str, Any]:
    """The status of an Experiment whose run is over, with these further conditions and these fields changed."""
    waits = held_back(world)
    told = () if isinstance(world.inputs, Unresolved) else (_resolved(run, waits),)
    standing = _over_standing(world, run).also(*told, *facts)
    next_time = to_timestamp(waits.until) if waits and waits.until else None
    return status(world, standing, **{"run": run, "next_run_time": next_time, **changes})


def _over_standing(world: World, run: Run) -> Standing:
    if world.experiment.spec.suspend:
        return _suspended_standing(world)
    said = world.experiment.status.condition("Succeeded")
    reason, message = (Reason.of(said.reason), said.message) if said else (Reason.READY, f"run {run.number} is over")
    return ready(reason, message) if run.state == "Succeeded" else stalled(reason, message)


def _run_status(progress: Progress, run: Run, standing: Standing, **changes: object) -> dict[str, Any]:
    world = progress.world
    changes = {"run": run, "runs": history(world, run), "trials": _table(world, run, progress.rows), **changes}
    return status(world, standing.also(_resolved(run)), **_begun(world, run), **changes)


def _begun(world: World, run: Run) -> dict[str, object]:
    """What a run that begins leaves in the status besides itself."""
    if world.run is not None and world.run.number == run.number:
        return {}
    before = world.experiment.status.automatic_runs
    automatic = remembered(before, world.now) if run.reason == "NewDatasetVersion" else before
    return {"automatic_runs": automatic, "next_run_time": None}


def _table(world: World, run: Run, rows: Mapping[int, TrialRow]) -> TrialsReference | None:
    if not rows:
        return None
    return TrialsReference(config_map=world.table_name(run), pages=max(rows) // world.page_rows + 1)


def _read_by(run: Run) -> str:
    return ", ".join(f"{given.dataset} version {given.version}" for given in run.datasets)


def _resolved(run: Run, waits: Held | None = None) -> Fact:
    read = _read_by(run)
    if waits:
        return Fact("DatasetReady", "True", Reason.RETRAIN_WAITS, f"{read}; newer data is there: {waits.message}")
    return Fact("DatasetReady", "True", Reason.VERSIONS_RESOLVED, read)


def _ended(progress: Progress, state: str) -> Run:
    counted = progress.counted()
    update = {"state": state, "completion_time": to_timestamp(progress.world.now), "swept": _left_nothing(progress)}
    return counted.model_copy(update=update)


def _left_nothing(progress: Progress) -> bool:
    """Whether the model that was kept is all that the trials can have uploaded: there was one attempt of one trial."""
    rows = list(progress.rows.values())
    return len(rows) == 1 and rows[0].state == "Succeeded" and rows[0].attempt == 0


def _running_standing(progress: Progress, run: Run) -> Standing:
    if progress.world.experiment.spec.suspend:
        return Standing(False, Reason.SUSPENDED, "spec.suspend is true: no further trial begins")
    trouble = next((state.trouble for state in progress.running if state.trouble), None)
    if trouble:
        return working(trouble.reason, trouble.message)
    last = _last_failure(progress)
    if last and progress.best is None:
        return working(Reason.of(last.reason), f"trial {last.number}, {last.failures} failures: {last.message}")
    done = f"{run.trials.progress} trials done"
    return working(Reason.TRIALS_RUNNING, f"{done}; {_best_text(progress.world, run.best)}" if run.best else done)


def _last_failure(progress: Progress) -> TrialRow | None:
    return next((row for _, row in sorted(progress.rows.items(), reverse=True) if row.reason), None)


def _best_text(world: World, best: BestTrial | None) -> str:
    return f"best {world.experiment.spec.objective.metric} {best.value:.6g} in trial {best.trial}" if best else ""


def _trial_events(progress: Progress) -> tuple[Event, ...]:
    own = [row for row in progress.rows.values() if row.answered_by is None]
    failed = [row for row in own if row.reason and row != progress.recorded.get(row.number)]
    return (
        *(Event("Warning", EventReason.TRIAL_FAILED, f"trial {r.number}: {r.reason}: {r.message}") for r in failed),
        *(Event("Normal", EventReason.TRIAL_PRUNED, _pruned_text(row)) for row in progress.pruned.values()),
    )


def _pruned_text(row: TrialRow) -> str:
    step, value = row.curve[-1]
    return f"trial {row.number} was ended at step {step} with {value:.6g}: others did better"
