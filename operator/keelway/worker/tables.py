"""A DuckDB that can read and write the directories it is given, and nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from keelway.worker.errors import WorkerError
from keelway.worker.sql import literal

THREADS = 2

Database = duckdb.DuckDBPyConnection


@contextmanager
def open_database(
    *, memory_limit: str, scratch: Path, directories: Iterable[Path], spill_limit: str = ""
) -> Iterator[Database]:
    """An empty database in memory that spills to `scratch`, touches `directories` only, and stays as configured.

    It spills at most `spill_limit`; without one, nearly all that is free.
    """
    spilling = {"max_temp_directory_size": spill_limit} if spill_limit else {}
    with tempfile.TemporaryDirectory(dir=scratch, prefix="spill-") as spill:
        database = duckdb.connect(
            config={
                "threads": THREADS,
                "memory_limit": memory_limit,
                "temp_directory": spill,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "python_enable_replacements": False,
                **spilling,
            }
        )
        try:
            _lock(database, directories)
            yield database
        finally:
            database.close()


def _lock(database: Database, directories: Iterable[Path]) -> None:
    allowed = ", ".join(literal(f"{directory}/") for directory in directories)
    for setting in (
        "TimeZone = 'UTC'",
        "enable_progress_bar = false",
        f"allowed_directories = [{allowed}]",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        database.execute(f"SET {setting}")


def query(database: Database, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """All rows of a query. Raises WorkerError OutOfSpace for lack of memory or disk, and duckdb.Error."""
    try:
        return database.execute(sql, list(parameters)).fetchall()
    except duckdb.OutOfMemoryException as error:
        raise WorkerError(
            "OutOfSpace", "the data does not fit the memory or the disk that reading it may use: give the Job more"
        ) from error
    except duckdb.IOException as error:
        if any(words in str(error) for words in ("No space left", "File too large", "Disk quota exceeded")):
            raise WorkerError("OutOfSpace", "the scratch volume is full: give it more room") from error
        raise
