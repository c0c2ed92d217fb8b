"""A few of the checks, on data that is known by its extremes alone: what `observe` and `record` would count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from keelway.api.checks import ColumnExpectation, RowsExpectation
from keelway.api.findings import ColumnDrift, Drift, Place, Violation
from keelway.api.jobs import Checks, Column
from keelway.api.profile import ColumnProfile, Profile

NUMBERS = frozenset({"bigint", "double"})
FIRST_ROW = Place(file="part-0.parquet", row=7)


@dataclass(frozen=True)
class Findings:
    """What there is to find: the extremes are of every column of numbers, `breaks` names rules that a row meets."""

    rows: int
    columns: tuple[Column, ...]
    extremes: tuple[int, int]
    breaks: frozenset[str]

    @property
    def numbers(self) -> list[str]:
        """Names of the columns of numbers."""
        return [column.name for column in self.columns if column.type in NUMBERS]


def profile_of(found: Findings) -> Profile:
    """The profile, with the middle of the extremes as every column's mean."""
    low, high = found.extremes
    columns = (
        ColumnProfile(
            name=name,
            type="bigint",
            kind="Number",
            count=found.rows,
            min=str(low),
            max=str(high),
            mean=(low + high) / 2,
        )
        for name in found.numbers
    )
    return Profile(rows=found.rows, columns=tuple(columns))


def violations_of(found: Findings, checks: Checks) -> Iterator[Violation]:
    """One row breaks each limit of a column that an extreme is beyond, and each rule that is named as broken."""
    asked = checks.expectations
    yield from _rows(found.rows, asked.rows, checks.baseline.rows if checks.baseline else None)
    for column in asked.columns:
        if column.name in found.numbers:
            yield from _column(found.extremes, column)
    for rule in asked.rules:
        if rule.name in found.breaks and rule.max_violations < 1:
            yield Violation(check=f"rules.{rule.name}", violations=1, severity=rule.severity, example=FIRST_ROW)


def _rows(rows: int, asked: RowsExpectation, before: int | None) -> Iterator[Violation]:
    lost = 100 * (before - rows) / before if before else 0
    broken = {
        "rows.min": asked.min is not None and rows < asked.min,
        "rows.max": asked.max is not None and rows > asked.max,
        "rows.maxDropPercent": asked.max_drop_percent is not None and lost > asked.max_drop_percent,
    }
    for check, is_broken in broken.items():
        if is_broken:
            yield Violation(check=check, violations=1, severity=asked.severity)


def _column(extremes: tuple[int, int], asked: ColumnExpectation) -> Iterator[Violation]:
    low, high = extremes
    broken = {"min": asked.min is not None and low < asked.min, "max": asked.max is not None and high > asked.max}
    for check, is_broken in broken.items():
        if is_broken:
            name = f"columns.{asked.name}.{check}"
            yield Violation(check=name, column=asked.name, violations=1, severity=asked.severity, example=FIRST_ROW)


def drift_of(found: Findings, checks: Checks, mounted: Mapping[str, bytes]) -> Drift | None:
    """How far the means have moved from those of the reference's mounted profile, in hundreds."""
    reference, asked = checks.reference, checks.drift
    if reference is None:
        return None
    if reference.profile not in mounted:
        raise FileNotFoundError(f"the profile of version {reference.version} is not mounted")
    before = {c.name: c.mean or 0 for c in Profile.model_validate_json(mounted[reference.profile]).columns}
    moved = {
        column.name: round(abs((column.mean or 0) - before[column.name]) / 100, 6)
        for column in profile_of(found).columns
        if column.name in before and column.name not in asked.ignore
    }
    worst = sorted(moved.items(), key=lambda item: (-item[1], item[0]))[:5]
    most = max(moved.values(), default=0)
    return Drift(
        against=reference.version,
        statistic=asked.statistic,
        worst=tuple(ColumnDrift(column=name, value=value) for name, value in worst),
        drifted_columns=sum(value >= asked.warn for value in moved.values()),
        level="Fail" if most >= asked.fail else "Warn" if most >= asked.warn else "None",
    )
