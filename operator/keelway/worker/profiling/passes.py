"""Asks a table several questions at once, in one pass over its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import duckdb

from keelway.api.jobs import Column
from keelway.worker.dataset import Table, broken_file
from keelway.worker.errors import WorkerError
from keelway.worker.formats.parquet import Parquet
from keelway.worker.sql import identifier
from keelway.worker.tables import Database, query


@dataclass(frozen=True, kw_only=True)
class Rows:
    """All rows of a table, each with its place among the splits, a lot, and a hash of its cells."""

    database: Database
    table: Table
    place: str = "NULL"
    """SQL of the place."""

    @property
    def place_column(self) -> str:
        return identifier(self.table.free_name("keelway_place"))

    @property
    def hash_column(self) -> str:
        return identifier(self.table.free_name("keelway_hash"))

    @property
    def lot_column(self) -> str:
        return identifier(self.table.free_name("keelway_lot"))

    @cached_property
    def known_rows(self) -> int | None:
        """How many there are, where that costs nothing: Parquet's footers say it."""
        if not isinstance(self.table.format, Parquet):
            return None
        [(rows,)] = self.ask([], [["count(*)"]])
        return int(rows)

    def ask(
        self,
        columns: Sequence[Column],
        questions: Sequence[Sequence[str]],
        parameters: Sequence[object] = (),
        *,
        numbered: bool = False,
    ) -> list[tuple[Any, ...]]:
        """The results of each question's aggregates. `columns` are read to their ends, and make up a row's hash.

        With `numbered` the hash is of a row's number instead, so that equal rows differ; that takes one thread alone.
        Raises WorkerError SourceInvalid, which names the file and where a line is broken, and OutOfSpace.
        """
        wanted = [sql for question in questions for sql in question]
        # Counts alone would be answered from Parquet's footers; hashing makes DuckDB read every page.
        read = [f"min({self.hash_column})"] if columns else []
        sql = f"SELECT {', '.join([*wanted, *read])} FROM ({self._source(columns, numbered)})"
        try:
            [answers] = query(self.database, sql, parameters)
        except duckdb.Error as error:
            raise broken_file(self.database, self.table) from error
        if broken := self.table.format.broken(self.database, self.table.files):
            raise WorkerError("SourceInvalid", f"{broken}: mend it, or exclude the file")
        return list(_parts(answers, [len(question) for question in questions]))

    def _source(self, columns: Sequence[Column], numbered: bool) -> str:
        cells = "row_number() OVER ()" if numbered else ", ".join(identifier(column.name) for column in columns) or "0"
        row_hash = f"CAST(hash({cells}) >> 1 AS BIGINT) AS {self.hash_column}"
        added = f"{self.place} AS {self.place_column}, random() AS {self.lot_column}, {row_hash}"
        return f"SELECT *, {added} FROM ({self.table.select(strict=False)})"


def _parts(answers: Sequence[Any], lengths: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    start = 0
    for length in lengths:
        yield tuple(answers[start : start + length])
        start += length
