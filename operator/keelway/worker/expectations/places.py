"""Where the first row is that breaks an expectation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keelway.api.findings import Place
from keelway.worker.dataset import Table
from keelway.worker.sql import identifier

LONGEST_PATH = 512

Ask = Callable[[str], Sequence[Sequence[Any]]]
"""Runs SQL and gives its rows."""


def first_places(ask: Ask, table: Table, conditions: Mapping[str, str]) -> dict[str, Place]:
    """The first row, in the order of files and rows, that meets each condition; by the conditions' keys.

    A condition is SQL over the table's columns. A file is read once, for all that are still sought, and none is read
    beyond the one in which the last was found.
    """
    found: dict[str, Place] = {}
    number = identifier(table.row_column)
    for file in table.files:
        sought = [key for key in conditions if key not in found]
        if not sought:
            break
        firsts = ", ".join(f"min({number}) FILTER ({conditions[key]}\n)" for key in sought)
        [numbers] = ask(f"SELECT {firsts} FROM ({table.rows_of(file, strict=False)})")
        path = shown_path(file.file.path)
        found |= {key: Place(file=path, row=row) for key, row in zip(sought, numbers, strict=True) if row is not None}
    return found


def shown_path(path: str) -> str:
    """As much of the end of a path as a place holds."""
    return path if len(path) <= LONGEST_PATH else f"…{path[1 - LONGEST_PATH :]}"
