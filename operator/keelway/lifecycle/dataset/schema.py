"""How the columns of a version differ from what is asked, and whether the policy lets that through."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from keelway.api.checks import DeclaredColumn, SchemaSettings
from keelway.api.columns import folded
from keelway.api.findings import Violation
from keelway.api.jobs import Column

Kind = Literal["None", "Compatible", "Breaking"]

OTHER_NAMES: Mapping[str, str] = {
    "int8": "tinyint",
    "int16": "smallint",
    "int32": "integer",
    "int": "integer",
    "int64": "bigint",
    "long": "bigint",
    "uint8": "utinyint",
    "uint16": "usmallint",
    "uint32": "uinteger",
    "uint64": "ubigint",
    "float32": "float",
    "real": "float",
    "float64": "double",
    "string": "varchar",
    "text": "varchar",
    "str": "varchar",
    "bool": "boolean",
    "datetime": "timestamp",
    "timestamptz": "timestamp with time zone",
    "bytes": "blob",
}
"""Names by which people and other tools know DuckDB's types."""
WIDENS: Mapping[str, tuple[str, ...]] = {
    "tinyint": ("smallint", "integer", "bigint", "hugeint", "float", "double"),
    "smallint": ("integer", "bigint", "hugeint", "float", "double"),
    "integer": ("bigint", "hugeint", "double"),
    "bigint": ("hugeint", "double"),
    "utinyint": ("smallint", "integer", "bigint", "usmallint", "uinteger", "ubigint", "hugeint", "float", "double"),
    "usmallint": ("integer", "bigint", "uinteger", "ubigint", "hugeint", "float", "double"),
    "uinteger": ("bigint", "ubigint", "hugeint", "double"),
    "ubigint": ("hugeint", "double"),
    "float": ("double",),
    "date": ("timestamp", "timestamp with time zone"),
    "timestamp_s": ("timestamp", "timestamp_ns"),
    "timestamp_ms": ("timestamp", "timestamp_ns"),
}
"""Types that hold every value of another, as far as a consumer of numbers and times can tell."""


def normal(type_: str) -> str:
    """DuckDB's own name of a type, in lower case."""
    lower = " ".join(type_.lower().split())
    return OTHER_NAMES.get(lower, lower)


def change(before: Sequence[Column], after: Sequence[Column]) -> Kind:
    """What happened to the columns, whatever the policy says of it."""
    if any(_broken(before, after)):
        return "Breaking"
    same = [(c.name, normal(c.type)) for c in before] == [(c.name, normal(c.type)) for c in after]
    return "None" if same else "Compatible"


def violations(
    settings: SchemaSettings, before: Sequence[Column], columns: Sequence[Column], *, total: int
) -> tuple[Violation, ...]:
    """What the policy refuses. `before` are the columns of the last good version, `total` counts all columns."""
    declared = tuple(Column(name=c.name, type=c.type, nullable=c.nullable) for c in settings.columns)
    if settings.policy == "Infer":
        return ()
    wanted = declared or tuple(before)
    if not wanted:
        return ()
    found = [*_broken(wanted, columns, by_record=not declared), *_nulls(settings.columns, columns)]
    if settings.policy == "Strict":
        found += _undeclared(wanted, columns, total)
    return tuple(found)


def _broken(wanted: Sequence[Column], columns: Sequence[Column], *, by_record: bool = True) -> Iterator[Violation]:
    """Columns that are missing or of a type that does not hold what it held."""
    there = {folded(column.name): column for column in columns}
    for column in wanted:
        have, type_ = there.get(folded(column.name)), normal(column.type)
        if have is None:
            hint = "restore it, or accept the change with schema.columns or policy Infer" if by_record else "add it"
            yield _said("missing", column.name, f"type {type_}", f"column {column.name!r} is missing: {hint}")
        elif not holds(type_, normal(have.type)):
            text = (
                f"column {column.name!r} is {normal(have.type)} and was {type_}"
                if by_record
                else (f"column {column.name!r} is {normal(have.type)}, declared is {type_}")
            )
            yield _said("type", column.name, f"type {type_}", f"{text}: write it with that type, or change the schema")


def _nulls(declared: Sequence[DeclaredColumn], columns: Sequence[Column]) -> Iterator[Violation]:
    there = {folded(column.name): column for column in columns}
    for column in declared:
        have = there.get(folded(column.name))
        if have is not None and have.nullable and not column.nullable:
            yield _said("nullable", column.name, "no NULL", f"column {column.name!r} has values that are missing")


def _undeclared(wanted: Sequence[Column], columns: Sequence[Column], total: int) -> list[Violation]:
    known = {folded(column.name) for column in wanted}
    extra = [column.name for column in columns if folded(column.name) not in known]
    count = len(extra) + total - len(columns)
    if not count:
        return []
    names = ", ".join(repr(name[:64]) for name in extra[:5])
    message = f"{count} columns are not declared ({names}): declare them, remove them, or use policy Additive"
    return [_said("undeclared", extra[0] if extra else "", "only declared columns", message, count=count)]


def holds(wanted: str, have: str) -> bool:
    """Whether a column of type `have` holds what one of type `wanted` held."""
    if wanted == have or have in WIDENS.get(wanted, ()):
        return True
    return _decimals(wanted, have)


def _decimals(wanted: str, have: str) -> bool:
    """A decimal with at least as many digits on both sides of the point; double holds any."""
    old, new = _decimal(wanted), _decimal(have)
    if old is None:
        return False
    if new is None:
        return have == "double"
    return new[1] >= old[1] and new[0] - new[1] >= old[0] - old[1]


def _decimal(type_: str) -> tuple[int, int] | None:
    match = re.fullmatch(r"decimal\((\d+), ?(\d+)\)", type_)
    return (int(match[1]), int(match[2])) if match else None


def _said(what: str, column: str, limit: str, message: str, *, count: int = 1) -> Violation:
    name = column[:256]
    return Violation(
        check=f"schema.{what}", column=name, violations=count, severity="Fail", limit=limit[:512], message=message[:512]
    )
