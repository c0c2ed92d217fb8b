"""The opt-in sample: some rows, of the columns that the spec names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keelway.api.checks import SampleSettings
from keelway.api.digests import canonical_json
from keelway.api.jobs import Column
from keelway.api.profile import PROFILE_BYTES
from keelway.worker.errors import WorkerError, enumerate_some
from keelway.worker.sql import identifier

CELL = 256
"""Characters of a value."""
SAMPLE_BYTES = PROFILE_BYTES // 4
"""As JSON. What is longer loses its last rows."""

Row = dict[str, str | None]


@dataclass(frozen=True)
class Sample:
    """Which rows: those with the smallest hashes, so always the same ones, and no neighbours."""

    columns: tuple[str, ...]
    rows: int

    def survey(self, row_hash: str) -> tuple[str, ...]:
        """What the first pass asks: the hashes of the rows to show."""
        return (f"min({row_hash}, {self.rows})",) if self.rows else ()

    def tally(self, row_hash: str, hashes: Sequence[int] | None) -> tuple[str, ...]:
        """What the second pass asks: those rows' values as text. Of equal rows no more than are wanted."""
        if not hashes:
            return ()
        cells = ", ".join(f"left(CAST({identifier(name)} AS VARCHAR), {CELL})" for name in self.columns)
        wanted = f"{row_hash} <= {max(hashes)}"
        return (f"arg_min(CASE WHEN {wanted} THEN [{cells}] END, {row_hash}, {self.rows}) FILTER ({wanted})",)

    def read(self, answers: Sequence[Any]) -> tuple[Row, ...]:
        """The rows."""
        found = [dict(zip(self.columns, cells, strict=True)) for cells in (answers[0] if answers else None) or []]
        while len(canonical_json(found)) > SAMPLE_BYTES:
            found.pop()
        return tuple(found)


def chosen(settings: SampleSettings, columns: Sequence[Column]) -> Sample:
    """What the settings ask for. Raises WorkerError SourceInvalid when a column is not there."""
    names = [column.name for column in columns]
    absent = [name for name in settings.columns if name not in names]
    if absent:
        raise WorkerError(
            "SourceInvalid",
            f"the sample asks for {enumerate_some(absent)}, which the data does not have; "
            f"the columns are {enumerate_some(names)}",
        )
    return Sample(settings.columns, settings.rows if settings.columns else 0)
