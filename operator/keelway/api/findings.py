"""What a look at data found wrong with it, or moved. Counted and located; never with a value of the data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from keelway.api.base import Model
from keelway.api.checks import Severity

Words = Annotated[str, Field(max_length=512)]


class Place(Model):
    """A row, so that somebody can look at it."""

    file: Words
    """Relative to the source."""
    row: int
    """Counted from 1, without a header."""


class Violation(Model):
    """One expectation that does not hold."""

    check: Words
    """`rows.min`, `columns.age.max`, `rules.no-future-dates`, `images.minPerClass`."""
    column: Words = ""
    violations: int
    """Rows (or files, or classes) that break it; exact. 0 when it could not be evaluated."""
    severity: Severity = "Fail"
    limit: Words = ""
    """What was asked, in words: `at most 120`, `at least 1000 rows`."""
    example: Place | None = None
    """The first one."""
    problem: Literal["", "Refused", "Invalid", "TimedOut", "OutOfMemory"] = ""
    """Why it could not be evaluated: not allowed in an expectation, not SQL for these columns, took too long or too
    much memory. Such a check counts as violated."""
    message: Words = ""
    """With `problem`: what is wrong and what to do."""


class ColumnDrift(Model):
    """How far one column has moved."""

    column: Words
    value: float


class Drift(Model):
    """How far a version has moved from another one."""

    against: int
    """Number of the version that it was compared with."""
    statistic: Literal["PSI", "JensenShannon", "KolmogorovSmirnov"]
    worst: Annotated[tuple[ColumnDrift, ...], Field(max_length=5)] = ()
    """The columns that moved most, largest first."""
    drifted_columns: int = 0
    """How many reach `warn`."""
    level: Literal["None", "Warn", "Fail"] = "None"


class FileChanges(Model):
    """Files that differ between two versions."""

    added: int = 0
    removed: int = 0
    modified: int = 0
