"""What can be said of a column by its type, and the SQL that says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from keelway.api.jobs import Column
from keelway.worker.sql import identifier

Kind = Literal["Number", "Time", "Text", "Boolean", "Other"]

LABEL = 128
"""Characters of a text in a profile."""
HUGE = 1e150
"""Larger numbers are left out of means and bins like NaN: their squares are no longer numbers."""
NUMBERS = {
    *("tinyint", "smallint", "integer", "bigint", "hugeint"),
    *("utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"),
    *("float", "double"),
}
TEXTS = {"varchar", "uuid", "time", "time with time zone", "interval"}
DIGEST = 16
"""Hexadecimal digits that tell apart long texts which begin alike."""


@dataclass(frozen=True)
class Measure:
    """One column with the SQL of what is measured."""

    column: Column
    kind: Kind
    cell: str
    """The value; of text and what is written as text, text."""
    value: str
    """The value as it is counted: NULL for what is not finite, texts no longer than LABEL."""

    @property
    def name(self) -> str:
        return self.column.name

    @property
    def is_ordered(self) -> bool:
        """Whether it has a mean and bins."""
        return self.kind in ("Number", "Time")

    @property
    def number(self) -> str:
        """The value as a DOUBLE, of numbers and times."""
        return self.as_number(self.value)

    def as_number(self, value: str) -> str:
        """A value as a DOUBLE; of times seconds since 1970."""
        return f"epoch({value})" if self.kind == "Time" else f"CAST({value} AS DOUBLE)"


def measures(columns: Sequence[Column]) -> tuple[Measure, ...]:
    """The measure of each column."""
    return tuple(_measure(column) for column in columns)


def kind_of(type_name: str) -> Kind:
    """Which kind a type of DuckDB is of; nested and binary ones are Other."""
    if type_name.endswith("]"):
        return "Other"
    if type_name in NUMBERS or type_name.startswith("decimal"):
        return "Number"
    if type_name == "date" or type_name.startswith("timestamp"):
        return "Time"
    if type_name in TEXTS or type_name.startswith("enum"):
        return "Text"
    return "Boolean" if type_name == "boolean" else "Other"


def _measure(column: Column) -> Measure:
    kind, name = kind_of(column.type), identifier(column.name)
    if kind == "Number":
        value = _finite(name) if column.type in ("float", "double") else name
        return Measure(column, kind, name, value)
    if kind == "Time":
        return Measure(column, kind, name, f"CASE WHEN isfinite({name}) THEN {name} END")
    if kind == "Text":
        cell = name if column.type == "varchar" else f"CAST({name} AS VARCHAR)"
        return Measure(column, kind, cell, _label(cell))
    return Measure(column, kind, name, f"CAST({name} AS VARCHAR)")


def _finite(name: str) -> str:
    return f"CASE WHEN abs({name}) <= {HUGE!r} THEN {name} END"


def _label(cell: str) -> str:
    """A text no longer than LABEL; one that is cut carries a digest, so that two different ones stay two."""
    cut = f"left({cell}, {LABEL - DIGEST - 1}) || '…' || left(md5({cell}), {DIGEST})"
    return f"CASE WHEN strlen({cell}) <= {LABEL} OR length({cell}) <= {LABEL} THEN {cell} ELSE {cut} END"
