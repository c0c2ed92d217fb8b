"""Which run is the current one: the recorded one, or a new one and why."""

from __future__ import annotations

from keelway.api.durations import to_timestamp
from keelway.api.run import Run, RunDataset, RunReason, RunState, RunSummary, TrialCounts
from keelway.lifecycle.dataset_inputs import Unresolved
from keelway.lifecycle.experiment.inputs import records
from keelway.lifecycle.experiment.triggers import Held, held
from keelway.lifecycle.experiment.world import World


def current_run(world: World) -> Run | Unresolved:
    """The run to work on, decided from facts alone: a crash before it is recorded changes nothing."""
    recorded = world.run
    if recorded is None:
        return _begin(world, "Created")
    if recorded.spec_hash != world.spec_hash:
        return _after_changed_spec(world, recorded)
    if recorded.state == "Running":
        return _after_lost_data(world, recorded)
    if world.request and world.request != recorded.request:
        return _begin(world, "Requested")
    return _after_new_data(world, recorded)


def _after_changed_spec(world: World, recorded: Run) -> Run | Unresolved:
    """Another run, unless the same bytes are only asked for in other words."""
    run = _begin(world, "SpecChanged")
    if isinstance(run, Unresolved) or run.hash != recorded.hash:
        return run
    return recorded.model_copy(update={"spec_hash": run.spec_hash, "datasets": run.datasets})


def _after_lost_data(world: World, recorded: Run) -> Run | Unresolved:
    """A run goes on with what it began with. Where the record of that is gone, only the same bytes do, or a new run."""
    if len(records(recorded.datasets, world.experiment.namespace, world.seen)) == len(recorded.datasets):
        return recorded
    if not isinstance(world.inputs, Unresolved) and world.run_hash(world.inputs) == recorded.hash:
        return recorded.model_copy(update={"datasets": world.inputs})
    return _after_new_data(world, recorded)


def _after_new_data(world: World, recorded: Run) -> Run | Unresolved:
    """A run stays current until the data that it would read now is other data, where that counts."""
    return _begin(world, "NewDatasetVersion") if world.new_data and not held_back(world) else recorded


def held_back(world: World) -> Held | None:
    """Why data that is there and that no run has read yet begins none."""
    if world.run is None or not world.new_data or isinstance(world.inputs, Unresolved):
        return None
    experiment = world.experiment
    return held(experiment.spec.trigger, world.run, world.inputs, experiment.status.automatic_runs, world.now)


def _begin(world: World, reason: RunReason) -> Run | Unresolved:
    if isinstance(world.inputs, Unresolved):
        return world.inputs
    return _new_run(world, reason, world.inputs)


def _new_run(world: World, reason: RunReason, datasets: tuple[RunDataset, ...]) -> Run:
    run_hash = world.run_hash(datasets)
    failed_before = _failed_before(world, run_hash)
    return Run(
        number=world.run.number + 1 if world.run else 1,
        hash=run_hash,
        spec_hash=world.spec_hash,
        reason=reason,
        request=world.request,
        failed_before=failed_before,
        datasets=datasets,
        artifacts=world.artifacts(run_hash, failed_before),
        start_time=to_timestamp(world.now),
        trials=TrialCounts(total=world.total, progress=f"0/{world.total}"),
    )


def _failed_before(world: World, run_hash: str) -> int:
    """The last run of this hash that left no model: a new one must not find its trials, whose files may be gone."""
    known: list[Run | RunSummary] = [*world.experiment.status.runs, *([world.run] if world.run else [])]
    over = max((run.number for run in known if run.state in ("Failed", "Succeeded")), default=0)
    spent = [run.number for run in known if run.hash == run_hash and (run.swept or run.number <= over)]
    return max(spent, default=0) if world.model_of(run_hash) is None else 0


def history(world: World, run: Run) -> tuple[RunSummary, ...]:
    """Runs before this one, newest first, as many as retention says."""
    before, runs = world.run, world.experiment.status.runs
    if before is None or before.number == run.number:
        return runs
    state: RunState = "Superseded" if before.state == "Running" else before.state
    return (_summary(world, before, state), *runs)[: world.experiment.spec.retention.runs]


def _summary(world: World, run: Run, state: RunState) -> RunSummary:
    model = world.model_of(run.hash)
    return RunSummary(
        number=run.number,
        hash=run.hash,
        reason=run.reason,
        state=state,
        start_time=run.start_time,
        completion_time=run.completion_time,
        best_value=run.best.value if run.best else None,
        model=model.name if model else "",
        cached=bool(run.answered_by),
        trials=world.table_name(run),
        artifacts=run.artifacts,
        swept=run.swept,
    )
