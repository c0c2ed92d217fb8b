"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb

from keelway.api.jobs import Column
from keelway.worker.errors import WorkerError
from keelway.worker.formats import FileSchema, StagedFile
from keelway.worker.formats.naming import type_name
from keelway.worker.sql import literal
from keelway.worker.tables import Database, query

CLAIMS = """SELECT (SELECT sum(num_rows) FROM parquet_file_metadata({path})),
(SELECT coalesce(sum(total_uncompressed_size), 0) FROM parquet_metadata({path}))"""
MOST_ROWS_A_BYTE, FEW_ROWS = 1000, 100_000_000
MOST_RATIO, FEW_BYTES = 1000, 10 * 1024**3
"""Data packs a hundred times when it is all but constant. What is small when unpacked may pack as it likes."""


class Parquet:
    """Types and nullability are as each file declares them."""

    def describe(self, database: Database, file: StagedFile) -> FileSchema:
        """Columns from the file's footer, which is also where a bomb shows."""
        path = literal(str(file.local))
        try:
            described = query(database, f"DESCRIBE SELECT * FROM read_parquet({path}, hive_partitioning = false)")
            declared = query(database, f"SELECT name, repetition_type, num_children FROM parquet_schema({path})")
            claims = query(database, CLAIMS.format(path=path))
        except duckdb.Error as error:
            raise WorkerError("SourceInvalid", f"{file.path} is not a readable Parquet file: write it again") from error
        _refuse_bomb(file, *claims[0])
        required = dict(_top_level(declared))
        columns = (
            Column(name=name, type=type_name(kind), nullable=not required.get(name, False))
            for name, kind, *_ in described
        )
        return FileSchema(file, tuple(columns))

    def scan(self, files: Sequence[FileSchema], types: Mapping[str, str], partitions: str, *, strict: bool) -> str:
        """One scan of all files; Parquet carries its types and has no lines to leave out."""
        del types, strict
        paths = ", ".join(literal(str(schema.file.local)) for schema in files)
        return f"SELECT * FROM read_parquet([{paths}], union_by_name = true, {partitions})"

    def broken(self, database: Database, files: Sequence[FileSchema]) -> str:
        """Parquet notes nothing."""
        del database, files
        return ""

    def unreadable(self, database: Database, schema: FileSchema) -> WorkerError:
        """A page is broken; which one, nobody could mend."""
        del database
        return WorkerError("SourceInvalid", f"{schema.file.path} cannot be read to its end: write it again")


def _refuse_bomb(file: StagedFile, rows: int, unpacked: int) -> None:
    """Raise WorkerError SourceInvalid when the footer claims far more than so many bytes can hold of data."""
    size = file.local.stat().st_size
    if rows > max(FEW_ROWS, MOST_ROWS_A_BYTE * size) or unpacked > max(FEW_BYTES, MOST_RATIO * size):
        raise WorkerError(
            "SourceInvalid",
            f"{file.path} says of its {size} bytes that they hold {rows} rows, {unpacked} bytes unpacked: "
            "no data packs so well; write it again, or exclude it",
        )


def _top_level(rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, bool]]:
    """Name and requiredness of each column; `rows` is the schema's tree in depth-first order, with its root."""
    open_children = [rows[0][2] or 0]
    for name, repetition, children in rows[1:]:
        if len(open_children) == 1:
            yield name, repetition == "REQUIRED"
        open_children[-1] -= 1
        open_children.append(children or 0)
        while len(open_children) > 1 and not open_children[-1]:
            open_children.pop()
