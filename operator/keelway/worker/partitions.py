"""Columns that are written as `key=value` directories, as Hive and Spark do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from keelway.api.jobs import Column
from keelway.worker.sql import literal

NULL = "__HIVE_DEFAULT_PARTITION__"
SEGMENT = re.compile(r"([^=]+)=([^=]*)")


def pairs(path: str) -> dict[str, str]:
    """The `key=value` directories of a path."""
    matches = (SEGMENT.fullmatch(part) for part in PurePosixPath(path).parts[:-1])
    return {match[1]: match[2] for match in matches if match}


def directory(path: str) -> PurePosixPath:
    """The path's `key=value` directories alone."""
    return PurePosixPath(*(f"{key}={value}" for key, value in pairs(path).items()))


def columns(paths: Sequence[str]) -> tuple[Column, ...]:
    """The columns that directories make: only keys that every path has."""
    found = [pairs(path) for path in paths]
    common = [key for key in found[0] if all(key in one for one in found)] if found else []
    return tuple(_column(key, {one[key] for one in found}) for key in common)


def options(partitions: Iterable[Column]) -> str:
    """Options of a DuckDB scan that make these columns, and no others."""
    types = ", ".join(f"{literal(column.name)}: {column.type}" for column in partitions)
    if not types:
        return "hive_partitioning = false"
    return f"hive_partitioning = true, hive_types_autocast = false, hive_types = {{{types}}}"


def _column(name: str, values: set[str]) -> Column:
    known = values - {NULL}
    return Column(name=name, type=_type(known), nullable=NULL in values)


def _type(values: set[str]) -> str:
    for kind, pattern in (("bigint", r"-?\d{1,18}"), ("date", r"\d{4}-\d{2}-\d{2}")):
        if values and all(re.fullmatch(pattern, value) for value in values):
            return kind
    return "varchar"
