"""How far a run is: recorded rows, what Jobs add to them, and whether it is over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from keelway.api.base import Manifest
from keelway.api.digests import canonical_json
from keelway.api.durations import from_timestamp, seconds
from keelway.api.run import BestTrial, Run, TrialCounts
from keelway.api.search import ParameterValue
from keelway.lifecycle.experiment.points import next_points
from keelway.lifecycle.experiment.pruning import LOOK_SECONDS, to_prune
from keelway.lifecycle.experiment.trials import FINAL, TrialRow, answered_row, best, facts, pruned_row, row_from
from keelway.lifecycle.experiment.world import World
from keelway.lifecycle.jobs import JobState
from keelway.manifests.config_map import trials_table
from keelway.search import Tried

BEST_PARAMETERS_BYTES = 4096
"""Of the best trial's parameters in the status, which has to stay small."""


@dataclass(frozen=True)
class Progress:
    """One run as it stands now."""

    world: World
    run: Run

    # what is known

    @cached_property
    def recorded(self) -> dict[int, TrialRow]:
        """Rows of the table as stored."""
        return self.world.rows(self.run)

    @cached_property
    def jobs(self) -> list[JobState]:
        """Jobs of this run whose attempt is not in the table yet."""
        known = {row.job for row in self.recorded.values()}
        fresh = [job for job in self.world.jobs_of(self.run) if job["metadata"]["name"] not in known]
        return [self.world.state_of(job) for job in fresh if self._is_news(job)]

    def _is_news(self, job: Manifest) -> bool:
        said = facts(job)
        row = self.recorded.get(said.number)
        return row is None or (row.state == "Retrying" and row.attempt == said.attempt)

    def is_over(self, job: Manifest) -> bool:
        """Whether a Job that still runs is of a trial whose end is recorded: whoever pruned it could not end it."""
        row = self.recorded.get(facts(job).number)
        return row is not None and row.state in FINAL

    @cached_property
    def _alive(self) -> list[JobState]:
        return [state for state in self.jobs if state.phase == "Running"]

    @cached_property
    def pruned(self) -> dict[int, TrialRow]:
        """Trials that run and do so badly that they end now."""
        experiment = self.world.experiment
        curves = to_prune(experiment, self._alive, self.recorded, self.world.seen)
        states = {facts(state.job).number: state for state in self._alive}
        before = self.recorded.get
        return {n: pruned_row(states[n], curve, before(n), self.world.now) for n, curve in curves.items()}

    @cached_property
    def running(self) -> list[JobState]:
        """Jobs that have not ended, nor are about to be."""
        return [state for state in self._alive if facts(state.job).number not in self.pruned]

    @cached_property
    def observed(self) -> dict[int, TrialRow]:
        """The table with what ended Jobs add to it."""
        news = (self._row(state) for state in self.jobs if state.phase != "Running")
        rows = {**self.recorded, **{row.number: row for row in news}, **self.pruned}
        waiting = [(row, row.answered_by or 0) for row in rows.values() if row.state == "Waiting"]
        answers = (answered_row(one.number, one.parameters, rows.get(by), by) for one, by in waiting)
        return {**rows, **{row.number: row for row in answers}}

    def _row(self, state: JobState) -> TrialRow:
        return row_from(self.world.experiment, state, self.recorded.get(facts(state.job).number), self.world.now)

    # whether it is over

    @cached_property
    def failed(self) -> int:
        """How many trials have failed for good; those that only repeat another one's point do not count."""
        return sum(row.state == "Failed" and row.answered_by is None for row in self.observed.values())

    @property
    def too_many_failures(self) -> bool:
        """More trials failed than the spec allows."""
        return self.failed > self.world.experiment.spec.search.max_failed_trials

    @cached_property
    def stopped_by(self) -> Literal["", "Target", "Budget"]:
        """What ends the search before its last trial."""
        if self._target_reached:
            return "Target"
        budget = self.world.experiment.spec.search.budget
        spent = sum(row.spent for row in self.observed.values()) if budget else 0
        return "Budget" if budget and spent >= seconds(budget) else ""

    @property
    def _target_reached(self) -> bool:
        target, found = self.world.experiment.spec.objective.target, best(self.observed.values(), self.world.space)
        if target is None or found is None or found.value is None:
            return False
        return found.value >= target if self.world.space.maximize else found.value <= target

    @cached_property
    def over(self) -> bool:
        """Whether nothing is left to try."""
        if self.too_many_failures or self.stopped_by == "Target":
            return True
        if self.stopped_by == "Budget":
            return not self.running
        return sum(row.state in FINAL for row in self.rows.values()) >= self.world.total

    @cached_property
    def best(self) -> TrialRow | None:
        """The best trial so far."""
        return best(self.rows.values(), self.world.space)

    # what comes next

    @cached_property
    def _slots(self) -> int:
        if self.world.experiment.spec.suspend or self.too_many_failures or self.stopped_by:
            return 0
        return max(0, self.world.experiment.spec.search.parallel_trials - len(self.running))

    @cached_property
    def retries(self) -> list[TrialRow]:
        """Trials whose next attempt may begin now."""
        busy = {facts(state.job).number for state in self.running}
        waiting = [row for row in self.observed.values() if row.state == "Retrying" and row.number not in busy]
        due = [row for row in waiting if not row.not_before or from_timestamp(row.not_before) <= self.world.now]
        return sorted(due, key=lambda row: row.number)[: self._slots]

    @cached_property
    def _points(self) -> Mapping[int, TrialRow | dict[str, ParameterValue]]:
        """Trials that come next: the point of each, or the row of the one that answers it."""
        slots = self._slots - len(self.retries)
        search = self.world.experiment.spec.search
        return next_points(search, self.world.space, self.world.total, self.observed, self._begun, slots)

    @cached_property
    def _begun(self) -> dict[int, Tried]:
        """Every trial that has a point."""
        rows = {row.number: _tried(row) for row in self.observed.values()}
        busy = (facts(state.job) for state in self.running)
        return {**{job.number: Tried(job.number, job.parameters, None, True) for job in busy}, **rows}

    @cached_property
    def rows(self) -> dict[int, TrialRow]:
        """The table as it should be stored now: also with trials that an earlier one answers."""
        answers = {number: found for number, found in self._points.items() if isinstance(found, TrialRow)}
        return {**self.observed, **answers}

    @property
    def starts(self) -> list[tuple[int, int, dict[str, ParameterValue]]]:
        """(number, attempt, parameters) of the trials to begin now."""
        again = [(row.number, row.attempt, row.parameters) for row in self.retries]
        fresh = ((n, 0, found) for n, found in self._points.items() if not isinstance(found, TrialRow))
        return [*again, *fresh]

    # how it is told

    @property
    def table(self) -> tuple[Manifest, ...]:
        """The pages of the table to store, where they differ from what is stored."""
        size = self.world.page_rows
        changed = {number // size for number, row in self.rows.items() if self._is_changed(row)}
        return tuple(self._page(page) for page in sorted(changed))

    def _is_changed(self, row: TrialRow) -> bool:
        stored = self.recorded.get(row.number)
        return row is not stored and row != stored

    def _page(self, page: int) -> Manifest:
        size = self.world.page_rows
        numbers = range(page * size, (page + 1) * size)
        rows = [self.rows[number].to_json() for number in numbers if number in self.rows]
        return trials_table(self.world.experiment, self.world.page_name(self.run, page), rows)

    @property
    def look_again_after(self) -> float | None:
        """Seconds until a retry is due, a Job deserves another look, or a curve has gone on."""
        return min(self._waits(), default=None)

    def _waits(self) -> Iterator[float]:
        yield from (state.look_again_after for state in self.running if state.look_again_after)
        if self.world.experiment.spec.early_stopping and self.running:
            yield LOOK_SECONDS
        moments = (row.not_before for row in self.rows.values() if row.state == "Retrying" and row.not_before)
        later = ((from_timestamp(moment) - self.world.now).total_seconds() for moment in moments)
        yield from (seconds for seconds in later if seconds > 0)

    def counted(self) -> Run:
        """The run with its counts and its best trial."""
        states = [row.state for row in self.rows.values()]
        finished = sum(state in FINAL for state in states)
        running = 0 if self.over else len(self.running) + len(self.starts)
        counts = TrialCounts(
            total=self.world.total,
            pending=self.world.total - finished - running,
            running=running,
            succeeded=states.count("Succeeded"),
            failed=states.count("Failed"),
            pruned=states.count("Pruned"),
            cached=states.count("Cached"),
            progress=f"{finished}/{self.world.total}",
        )
        update = {"trials": counts, "best": best_trial(self.best), "stopped_by": self.stopped_by}
        return self.run.model_copy(update=update)


def _tried(row: TrialRow) -> Tried:
    if row.state == "Pruned":
        step = row.curve[-1][0] if row.curve else 0
        return Tried(row.number, row.parameters, row.value, pruned=True, step=step)
    return Tried(row.number, row.parameters, row.value, running=row.state not in FINAL)


def best_trial(row: TrialRow | None) -> BestTrial | None:
    """A row as the status shows the best trial."""
    if row is None:
        return None
    small = len(canonical_json(row.parameters)) <= BEST_PARAMETERS_BYTES
    return BestTrial(trial=row.number, value=row.value or 0.0, parameters=row.parameters if small else {})
