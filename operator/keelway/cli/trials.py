"""The table of an Experiment's current run, from the ConfigMaps that hold it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from keelway.api.experiment import Experiment
from keelway.api.kinds import Key
from keelway.api.run import TrialsReference
from keelway.cli.lineage import Lookup
from keelway.lifecycle.experiment.trials import TrialRow, rows_of

COLUMNS = ("number", "state", "value", "seconds", "reason", "message", "attempt", "job")
"""Of CSV, before one column a parameter."""


@dataclass(frozen=True)
class Trials:
    """The trials of one run."""

    experiment: Experiment
    rows: tuple[TrialRow, ...]
    missing: tuple[str, ...] = ()
    """Pages of the table that are gone."""

    @property
    def title(self) -> str:
        """Which run, how far, and what it began for."""
        run = self.experiment.status.run
        return f"run {run.number} ({run.reason}), {run.state}, {run.trials.progress}" if run else ""

    def by(self, order: str) -> tuple[TrialRow, ...]:
        """Sorted by `number`, or by `value` with the best first and trials without one last."""
        if order == "number":
            return self.rows
        sign = -1 if self.experiment.spec.objective.goal == "Maximize" else 1
        return tuple(sorted(self.rows, key=lambda row: (row.value is None, sign * (row.value or 0.0), row.number)))


def read(experiment: Experiment, lookup: Lookup) -> Trials:
    """The trials that are recorded of the current run; none where none has ended yet."""
    names = _pages(experiment.status.trials)
    found = {name: lookup(Key("ConfigMap", experiment.namespace, name)) for name in names}
    rows = (row for table in found.values() for row in rows_of(table).values())
    missing = tuple(name for name, table in found.items() if table is None)
    return Trials(experiment, tuple(sorted(rows, key=lambda row: row.number)), missing)


def _pages(table: TrialsReference | None) -> list[str]:
    if table is None:
        return []
    return [f"{table.config_map}-{page}" if page else table.config_map for page in range(table.pages)]


def to_csv(rows: Sequence[TrialRow]) -> str:
    """One line a trial, with a header."""
    parameters = list(dict.fromkeys(name for row in rows for name in row.parameters))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *parameters])
    for row in rows:
        own = [getattr(row, column) for column in COLUMNS]
        writer.writerow([*own, *(row.parameters.get(name) for name in parameters)])
    return text.getvalue()
