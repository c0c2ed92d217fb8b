"""Writes one split of a data set: rows as Parquet, images and other files as they are."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile

import duckdb

from keelway.api.jobs import StageInput
from keelway.worker import splits
from keelway.worker.dataset import READERS, broken_file, open_table
from keelway.worker.errors import WorkerError
from keelway.worker.formats import StagedFile
from keelway.worker.sql import literal, parquet_options
from keelway.worker.tables import Database, open_database, query

NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK}
"""Another volume, one without links, or too many of them."""


def write_split(
    given: StageInput, staged: Sequence[StagedFile], *, target: Path, scratch: Path, memory_limit: str
) -> int:
    """Write the rows, or the files, of the split below `target`; returns their number. Raises WorkerError."""
    chosen = _range(given)
    if given.format not in READERS:
        return _place_files([file for file in staged if chosen.holds(file.path)], target)
    with open_database(memory_limit=memory_limit, scratch=scratch, directories=[scratch, target]) as database:
        return _write_rows(database, given, staged, chosen, target)


def _range(given: StageInput) -> splits.Range:
    for one in splits.ranges(given.splits):
        if one.name == given.split:
            return one
    names = ", ".join(rule.name for rule in given.splits) or "none"
    raise WorkerError("SourceInvalid", f"data set {given.name!r} has no split {given.split!r}; its splits: {names}")


def _place_files(staged: Sequence[StagedFile], target: Path) -> int:
    """Put each file at its own path: a second name where that is possible, a copy on another volume."""
    for file in staged:
        place = target / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            place.hardlink_to(file.local)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            copyfile(file.local, place)
    return len(staged)


def _write_rows(
    database: Database, given: StageInput, staged: Sequence[StagedFile], chosen: splits.Range, target: Path
) -> int:
    """Write `part-00000.parquet` with the rows of the split, in the order of files and lines."""
    table = open_table(database, staged, given.format, given.columns)
    condition = chosen.condition(splits.place_sql(table.columns, given.split_key))
    source = f"SELECT * FROM ({table.select(strict=True)}) WHERE {condition}"
    try:
        [(rows,)] = query(database, f"COPY ({source}) TO {_file(target)} ({parquet_options(len(table.columns))})")
    except duckdb.Error as error:
        raise broken_file(database, table) from error
    return int(rows)


def _file(target: Path) -> str:
    return literal(str(target / "part-00000.parquet"))
