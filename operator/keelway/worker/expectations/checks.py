"""One expectation of a table, as something that can be counted."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from keelway.api.checks import Rule, Severity
from keelway.api.findings import Violation
from keelway.worker.sql import identifier


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many rows there are, and were in the last good version (None without one)."""

    rows: int
    baseline: int | None


@dataclass(frozen=True, kw_only=True)
class Check(ABC):
    """One expectation: what to compute in the pass over the table, and what the result means."""

    name: str
    """`columns.age.max`."""
    limit: str
    """In words."""
    severity: Severity
    column: str = ""

    @property
    def aggregates(self) -> tuple[str, ...]:
        """DuckDB's aggregate expressions over the table's columns."""
        return ()

    @abstractmethod
    def broken_by(self, values: Sequence[Any], counts: Counts) -> int:
        """How many rows break it, given the results of `aggregates`; 0 when it holds."""

    @property
    def condition(self) -> str:
        """SQL that is true of a row that breaks it; empty when no single row does."""
        return ""

    def violation(self, violations: int) -> Violation:
        """That so many rows break it."""
        return Violation(
            check=self.name, column=self.column, violations=violations, severity=self.severity, limit=self.limit
        )


@dataclass(frozen=True, kw_only=True)
class RowsAtLeast(Check):
    """So many rows, or a share of those of the last good version."""

    least: int = 0
    drop_percent: float | None = None

    def broken_by(self, values: Sequence[Any], counts: Counts) -> int:
        """The rows that are missing."""
        del values
        least = self.least
        if self.drop_percent is not None:
            kept = (100 - Fraction(str(self.drop_percent))) / 100
            least = math.ceil((counts.baseline or 0) * kept)
        return max(0, least - counts.rows)


@dataclass(frozen=True, kw_only=True)
class RowsAtMost(Check):
    """Not more rows than these."""

    most: int

    def broken_by(self, values: Sequence[Any], counts: Counts) -> int:
        """The rows that are too many."""
        del values
        return max(0, counts.rows - self.most)


@dataclass(frozen=True, kw_only=True)
class NoRow(Check):
    """No row may meet a condition."""

    wrong: str

    @property
    def aggregates(self) -> tuple[str, ...]:
        return (f"count(*) FILTER ({self.wrong})",)

    def broken_by(self, values: Sequence[Any], counts: Counts) -> int:
        """The rows that meet it."""
        del counts
        return int(values[0])

    @property
    def condition(self) -> str:
        return self.wrong


@dataclass(frozen=True, kw_only=True)
class NullsAtMost(Check):
    """A share of the rows may be NULL."""

    percent: float

    @property
    def aggregates(self) -> tuple[str, ...]:
        return (f"count({identifier(self.column)})",)

    def broken_by(self, values: Sequence[Any], counts: Counts) -> int:
        """All that are NULL, when they are too many."""
        nulls = counts.rows - int(values[0])
        return nulls if nulls * 100 > counts.rows * Fraction(str(self.percent)) else 0

    @property
    def condition(self) -> str:
        return f"{identifier(self.column)} IS NULL"


@dataclass(frozen=True, kw_only=True)
class Unique(Check):
    """No value twice. Counted in a pass of its own, since it needs a place for every value."""

    def broken_by(self, values: Sequence[Any], counts: Counts) -> int:
        """Nothing that the shared pass could tell."""
        del values, counts
        return 0


@dataclass(frozen=True, kw_only=True)
class Unanswerable(Check):
    """It cannot be asked of these data."""

    message: str

    def broken_by(self, values: Sequence[Any], counts: Counts) -> int:
        """Counts nothing."""
        del values, counts
        return 0

    def violation(self, violations: int) -> Violation:
        """That it could not be evaluated, and why."""
        return super().violation(violations).model_copy(update={"problem": "Invalid", "message": self.message})


@dataclass(frozen=True, kw_only=True)
class RuleCheck(Check):
    """A condition that somebody wrote; evaluated apart."""

    rule: Rule

    def broken_by(self, values: Sequence[Any], counts: Counts) -> int:
        """Nothing: see `rules`."""
        del values, counts
        return 0
