"""From counts to violations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from keelway.api.findings import Violation
from keelway.worker.dataset import Table
from keelway.worker.errors import WorkerError
from keelway.worker.expectations.checks import Check, Counts, RuleCheck, Unanswerable, Unique
from keelway.worker.expectations.places import first_places
from keelway.worker.expectations.rules import RULES_SECONDS, judge_rules
from keelway.worker.locked_sql import LockedSessions, Settings
from keelway.worker.sql import identifier
from keelway.worker.tables import Database, query

MEMORY_SHARE = 0.5
"""Of the memory for tables, for the process in which rules run: the table's own database is there at the same time."""
MOST_VIOLATIONS = 300
"""A report holds no more; those that fail a version come first."""


def judge(
    checks: Sequence[Check],
    results: Sequence[Sequence[Any]],
    *,
    rows: int,
    baseline_rows: int | None,
    database: Database,
    table: Table,
    seconds: float = RULES_SECONDS,
) -> tuple[Violation, ...]:
    """What does not hold, in the order of `checks`.

    `results` has the values of each check's aggregates. `database` is the one in which the table was opened; rules run
    apart, in at most `seconds`. Raises WorkerError as `tables.query` does.
    """
    counts = Counts(rows=rows, baseline=baseline_rows)
    found = dict(_counted(checks, results, counts))
    uniqueness = _Uniqueness(database, table)
    found |= {check.name: violation for check in checks if (violation := uniqueness.violation(check))}
    conditions = {check.name: check.condition for check in checks if check.condition and check.name in found}
    places = first_places(partial(query, database), table, conditions | uniqueness.conditions)
    rules = [check for check in checks if isinstance(check, RuleCheck)]
    with LockedSessions(Settings.like(database, share=MEMORY_SHARE)) as sessions:
        found |= {one.check: one for one in judge_rules(rules, sessions=sessions, table=table, seconds=seconds)}
    located = [_located(found[check.name], places) for check in checks if check.name in found]
    return tuple(sorted(located, key=lambda one: one.severity != "Fail")[:MOST_VIOLATIONS])


def _counted(
    checks: Sequence[Check], results: Sequence[Sequence[Any]], counts: Counts
) -> Iterator[tuple[str, Violation]]:
    for check, values in zip(checks, results, strict=True):
        number = check.broken_by(values, counts)
        if number or isinstance(check, Unanswerable):
            yield check.name, check.violation(number)


def _located(violation: Violation, places: Mapping[str, Any]) -> Violation:
    place = places.get(violation.check)
    return violation.model_copy(update={"example": place}) if place else violation


class _Uniqueness:
    """Looks for values that occur twice; what it finds stays in the database for the search of the first one."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database, self._table = database, table
        self.conditions: dict[str, str] = {}

    def violation(self, check: Check) -> Violation | None:
        """All rows whose value another row has too; None when there is none, or the check is another one."""
        if not isinstance(check, Unique):
            return None
        try:
            number = self._count(check)
        except WorkerError as error:
            if error.reason != "OutOfSpace":
                raise
            return check.violation(0).model_copy(update={"problem": "OutOfMemory", "message": error.message[:512]})
        return check.violation(number) if number else None

    def _count(self, check: Unique) -> int:
        """A table of the values that occur twice, made in a way that spills; and how many rows have them."""
        cell, repeated = identifier(check.column), f"keelway_repeated_{len(self.conditions)}"
        rows = f"SELECT {cell} AS value FROM ({self._table.select(strict=False)})"
        grouped = f"SELECT value, count(*) AS number FROM ({rows}) WHERE value IS NOT NULL GROUP BY value"
        query(self._database, f"CREATE OR REPLACE TEMP TABLE {repeated} AS {grouped} HAVING number > 1")
        [(number,)] = query(self._database, f"SELECT coalesce(sum(number), 0) FROM {repeated}")
        if number:
            self.conditions[check.name] = f"{cell} IN (SELECT value FROM {repeated})"
        return int(number)
