"""From what a team expects to what is counted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from functools import cache
from math import isfinite
from typing import Any

import duckdb

from keelway.api.checks import ColumnExpectation, Expectations, RowsExpectation, Rule
from keelway.api.columns import folded
from keelway.api.jobs import Column
from keelway.worker.errors import enumerate_some
from keelway.worker.expectations.checks import (
    Check,
    NoRow,
    NullsAtMost,
    RowsAtLeast,
    RowsAtMost,
    RuleCheck,
    Unanswerable,
    Unique,
)
from keelway.worker.sql import identifier, literal, value_text

INTEGERS = frozenset(
    f"{sign}{size}" for sign in ("", "u") for size in ("tinyint", "smallint", "integer", "bigint", "hugeint")
)
EXACT_BELOW = 2**53
"""From here on a double is no longer every whole number."""


def plan(expectations: Expectations, columns: Sequence[Column]) -> tuple[Check, ...]:
    """What to count, for a table with these columns; in the order in which the spec lists it."""
    known = {folded(column.name): column for column in columns}
    checks: list[Check] = list(_rows(expectations.rows))
    for expected in expectations.columns:
        column = known.get(folded(expected.name))
        checks += _column(expected, column) if column else [_absent(expected, columns)]
    checks += [_rule(rule) for rule in expectations.rules]
    return tuple(checks)


def _rows(expected: RowsExpectation) -> Iterator[Check]:
    severity = expected.severity
    if expected.min is not None:
        limit = f"at least {expected.min} rows"
        yield RowsAtLeast(name="rows.min", limit=limit, severity=severity, least=expected.min)
    if expected.max is not None:
        yield RowsAtMost(name="rows.max", limit=f"at most {expected.max} rows", severity=severity, most=expected.max)
    if expected.max_drop_percent is not None:
        percent = expected.max_drop_percent
        limit = f"at most {number(percent)} % fewer rows than the last good version"
        yield RowsAtLeast(name="rows.maxDropPercent", limit=limit, severity=severity, drop_percent=percent)


def _absent(expected: ColumnExpectation, columns: Sequence[Column]) -> Check:
    names = enumerate_some([column.name for column in columns])
    return Unanswerable(
        name=f"columns.{expected.name}",
        column=expected.name,
        limit="the column is there",
        severity=expected.severity,
        message=f"the data have no such column, theirs are {names}: mend the name, or the data",
    )


def _column(expected: ColumnExpectation, column: Column) -> Iterator[Check]:
    for part in (_min, _max, _nulls, _unique, _allowed, _pattern):
        check = part(expected, column)
        if check:
            yield check


def _min(expected: ColumnExpectation, column: Column) -> Check | None:
    if expected.min is None:
        return None
    return _bound(expected, column, "min", f"at least {number(expected.min)}", f"< {_number_sql(expected.min)}")


def _max(expected: ColumnExpectation, column: Column) -> Check | None:
    if expected.max is None:
        return None
    return _bound(expected, column, "max", f"at most {number(expected.max)}", f"> {_number_sql(expected.max)}")


def _bound(expected: ColumnExpectation, column: Column, part: str, limit: str, wrong: str) -> Check:
    if not _is_number(column):
        return Unanswerable(
            **_names(expected, part, limit),
            message=f"the column is {column.type[:64]}, which {part} cannot bound: write numbers, or use a rule that "
            f"says what is wrong, such as {expected.name[:64]} < '2020-01-01' for dates",
        )
    return NoRow(**_names(expected, part, limit), wrong=f"{identifier(column.name)} {wrong}")


def _nulls(expected: ColumnExpectation, column: Column) -> Check | None:
    percent = expected.max_null_percent
    if percent is None:
        return None
    limit = f"at most {number(percent)} % NULL"
    names = _names(expected, "maxNullPercent", limit) | {"column": column.name}
    return NullsAtMost(**names, percent=percent)


def _unique(expected: ColumnExpectation, column: Column) -> Check | None:
    if not expected.unique:
        return None
    return Unique(**_names(expected, "unique", "no value twice") | {"column": column.name})


def _allowed(expected: ColumnExpectation, column: Column) -> Check | None:
    if not expected.allowed:
        return None
    limit = f"one of {enumerate_some(list(expected.allowed), longest=32)}"
    # DuckDB asks a map once for each entry of a dictionary, where it would compare every row with every text of a list.
    texts = ", ".join(f"{literal(text)}: 0" for text in dict.fromkeys(expected.allowed))
    wrong = f"NOT map_contains(MAP {{{texts}}}, {value_text(column)})"
    numbers = [_as_number(text, column) for text in expected.allowed] if _is_number(column) else []
    if written := ", ".join(filter(None, numbers)):
        wrong = f"{identifier(column.name)} NOT IN ({written}) AND {wrong}"
    return NoRow(**_names(expected, "allowed", limit), wrong=wrong)


def _pattern(expected: ColumnExpectation, column: Column) -> Check | None:
    if not expected.pattern:
        return None
    names = _names(expected, "pattern", f"matches {expected.pattern}"[:256])
    if problem := _pattern_problem(expected.pattern):
        return Unanswerable(
            **names, message=f"the pattern is not RE2's ({problem}): it has no lookaround or backreferences"
        )
    return NoRow(**names, wrong=f"NOT regexp_full_match({value_text(column)}, {literal(expected.pattern)})")


def _rule(rule: Rule) -> Check:
    limit = f"at most {rule.max_violations} rows" if rule.max_violations else "no row"
    return RuleCheck(name=f"rules.{rule.name}", limit=limit, severity=rule.severity, rule=rule)


def _names(expected: ColumnExpectation, part: str, limit: str) -> dict[str, Any]:
    return {
        "name": f"columns.{expected.name}.{part}",
        "column": expected.name,
        "limit": limit,
        "severity": expected.severity,
    }


def _is_number(column: Column) -> bool:
    return column.type in INTEGERS or column.type in ("double", "float") or column.type.startswith("decimal")


def number(value: float) -> str:
    """As people write it, and SQL too: 120, 0.25, 1e+300."""
    value = float(value)
    return str(int(value)) if value.is_integer() and abs(value) < EXACT_BELOW else repr(value)


def _number_sql(value: float) -> str:
    """A literal that DuckDB compares exactly: whole numbers as such, others as DOUBLE."""
    text = number(value)
    return text if text.lstrip("-").isdigit() else f"CAST({literal(text)} AS DOUBLE)"


def _as_number(text: str, column: Column) -> str:
    """SQL of the number that a text is, for a column of numbers; empty when no value of the column can be it."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return ""
    if column.type not in INTEGERS:
        return f"CAST({literal(repr(float(value)))} AS DOUBLE)" if isfinite(float(value)) else ""
    whole = value.is_finite() and abs(value) < 2**127 and value == value.to_integral_value()
    return str(int(value)) if whole else ""


@cache
def _pattern_problem(pattern: str) -> str:
    """What is wrong with a regular expression; empty when it is one."""
    try:
        with duckdb.connect(config={"threads": 1}) as database:
            database.execute("SELECT regexp_full_match('', ?)", [pattern]).fetchall()
    except duckdb.Error as error:
        return re.sub(r"^[A-Z][A-Za-z ]*Error: ", "", str(error)).splitlines()[0][:128]
    return ""
