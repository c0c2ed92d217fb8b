"""`transform`: run one query over staged tables, with no way to anything else, and write its rows as Parquet."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from keelway.api.columns import folded
from keelway.api.jobs import File, StagedTable, TransformOrder, TransformVerdict
from keelway.worker.dataset import Table, open_table
from keelway.worker.errors import WorkerError, enumerate_some
from keelway.worker.formats import StagedFile
from keelway.worker.locked_sql import SPILLING, LockedError, LockedSession, Problem, Settings
from keelway.worker.sql import identifier, literal, parquet_options
from keelway.worker.staging import scratch_directory, scratch_files
from keelway.worker.tables import Database, open_database

JUDGE_SECONDS = 30.0
OUTPUT = "part-00000.parquet"
UNFINISHED = f".{OUTPUT}.unfinished"
"""No reader takes a hidden file for data."""


def run(order: TransformOrder) -> TransformVerdict:
    """Write the rows of the query. Raises WorkerError QueryInvalid, QueryTimedOut, OutOfSpace or OutputMissing."""
    output = Path(order.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=scratch_directory(), prefix="transform-") as scratch:
            rows = _write(order, output, Path(scratch))
    finally:
        (output / UNFINISHED).unlink(missing_ok=True)
    return TransformVerdict(outcome="Transformed", rows=rows)


def _write(order: TransformOrder, output: Path, scratch: Path) -> int:
    deadline = time.monotonic() + order.timeout_seconds
    directories = [scratch, output, *(Path(one.directory) for one in order.inputs)]
    with open_database(memory_limit=order.memory_limit, scratch=scratch, directories=directories) as database:
        tables = dict(_open_tables(database, order.inputs, scratch))
        settings = Settings.like(database, mapped=SPILLING)
    with _in_words(order.timeout_seconds), LockedSession(settings) as session:
        columns = _judge(session, order.sql, tables)
        for name, table in tables.items():
            session.query(f"CREATE VIEW {identifier(name)} AS {table.select(strict=True)}", seconds=JUDGE_SECONDS)
        target = literal(str(output / UNFINISHED))
        sql = f"COPY (\n{order.sql}\n) TO {target} ({parquet_options(columns)})"
        [[rows]] = session.query(sql, seconds=max(0.0, deadline - time.monotonic()))
    if not rows:
        raise WorkerError("OutputMissing", "the query yields no rows: loosen its conditions, or look at its inputs")
    os.replace(output / UNFINISHED, output / OUTPUT)
    return int(rows)


def _open_tables(database: Database, inputs: Sequence[StagedTable], scratch: Path) -> Iterator[tuple[str, Table]]:
    """Each input with its name. Raises WorkerError."""
    for number, given in enumerate(inputs):
        files = _linked(given, scratch / f"input-{number}")
        yield given.name, open_table(database, files, given.format, given.columns)


def _linked(given: StagedTable, scratch: Path) -> list[StagedFile]:
    """The input's files, under names in which DuckDB takes nothing for a wildcard."""
    if given.format in ("Images", "Files"):
        raise WorkerError("QueryInvalid", f"input {given.name!r} holds {given.format}, not a table: use derive.job")
    directory = Path(given.directory)
    paths = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
    if not paths:
        raise WorkerError("QueryInvalid", f"input {given.name!r} has no files")
    staged = list(scratch_files([File(path=path, size=0) for path in paths], scratch, given.format))
    for file in staged:
        file.local.parent.mkdir(parents=True, exist_ok=True)
        file.local.symlink_to(directory.absolute() / file.path)
    return staged


def _judge(session: LockedSession, sql: str, tables: dict[str, Table]) -> int:
    """How many columns the query yields. Raises LockedError and WorkerError QueryInvalid."""
    columns = session.judge_query(sql, {name: one.columns for name, one in tables.items()}, seconds=JUDGE_SECONDS)
    names = Counter(folded(name) for name, _ in columns)
    if twice := [name for name, number in names.items() if number > 1]:
        raise WorkerError(
            "QueryInvalid", f"the query yields two columns named {enumerate_some(twice)}: give one another name with AS"
        )
    return len(columns)


@contextmanager
def _in_words(timeout_seconds: float) -> Iterator[None]:
    """A LockedError as the failure of the derivation."""
    try:
        yield
    except LockedError as error:
        raise _failure(error.problem, error.message, timeout_seconds) from None


def _failure(problem: Problem, message: str, timeout_seconds: float) -> WorkerError:
    if problem == "TimedOut":
        return WorkerError(
            "QueryTimedOut",
            f"the query did not end within {timeout_seconds:.0f} s: join on keys, filter earlier, or raise the time",
        )
    if problem in ("OutOfMemory", "OutOfSpace"):
        return WorkerError("OutOfSpace", f"the query: {message}")
    return WorkerError("QueryInvalid", f"derive.sql: {message}")
