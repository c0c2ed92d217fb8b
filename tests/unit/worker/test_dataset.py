"""Files as one table: the number of a row within its file, and columns that were recorded before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import pytest

from keelway.api.jobs import Column, FileFormat
from keelway.worker.dataset import Table, open_table
from keelway.worker.errors import WorkerError
from keelway.worker.formats import StagedFile, local_name
from keelway.worker.partitions import directory
from keelway.worker.tables import Database, open_database, query

ROWS = 400_000


def write(path: Path, format_name: FileFormat, select: str) -> None:
    """A file of this format with the rows of a query."""
    path.parent.mkdir(parents=True)
    kind = {"CSV": "csv, HEADER", "Parquet": "parquet, ROW_GROUP_SIZE 20000", "JSONLines": "json"}[format_name]
    with duckdb.connect() as database:
        database.execute(f"COPY ({select}) TO '{path}' (FORMAT {kind})")


def with_table(
    scratch: Path,
    format_name: FileFormat,
    selects: Sequence[tuple[str, str]],
    look: Callable[[Database, Table], None],
    memory_limit: str = "256MiB",
    recorded: Sequence[Column] = (),
) -> None:
    """Write one file a query, and look at the table that they are together."""
    staged = []
    for number, (path, select) in enumerate(selects):
        name = local_name(path, format_name, number)
        staged.append(StagedFile(path, scratch / str(number) / directory(path) / name))
        write(staged[-1].local, format_name, select)
    with open_database(memory_limit=memory_limit, scratch=scratch, directories=[scratch]) as database:
        look(database, open_table(database, staged, format_name, recorded))


@pytest.mark.parametrize("format_name", ["CSV", "Parquet", "JSONLines"])
def test_numbers_follow_the_file(scratch: Path, format_name: FileFormat) -> None:
    def look(database: Database, table: Table) -> None:
        rows = table.rows_of(table.files[0], strict=True)
        sql = (
            f"SELECT count(*), count(*) FILTER (keelway_row <> i + 1), min(keelway_row), max(keelway_row) FROM ({rows})"
        )
        assert query(database, sql) == [(ROWS, 0, 1, ROWS)]
        [(found,)] = query(database, f"SELECT keelway_row FROM ({rows}) WHERE i % 300007 = 300006 LIMIT 1")
        assert found == 300_007
        assert query(database, f"SELECT typeof(keelway_row) FROM ({rows}) LIMIT 1") == [("BIGINT",)]

    text = "'some text to make the file longer, so that it has many blocks ' || i AS t"
    with_table(scratch, format_name, [("a", f"SELECT i, {text} FROM range({ROWS}) r(i)")], look)


@pytest.mark.parametrize("format_name", ["CSV", "Parquet", "JSONLines"])
def test_a_file_has_the_columns_and_types_of_the_table(scratch: Path, format_name: FileFormat) -> None:
    def look(database: Database, table: Table) -> None:
        first, second = (query(database, f"FROM ({table.rows_of(file, strict=True)})") for file in table.files)
        assert first == [(1.0, None, 7, 1)]
        assert second == [(0.5, "x", 8, 1), (2.5, "y", 8, 2)]
        assert [type(row[0]) for row in (*first, *second)] == [float] * 3

    selects = [("day=7/a", "SELECT 1 AS n"), ("day=8/b", "FROM (VALUES (0.5::DOUBLE, 'x'), (2.5, 'y')) v(n, t)")]
    with_table(scratch, format_name, selects, look)


@pytest.mark.parametrize("format_name", ["CSV", "Parquet", "JSONLines"])
def test_no_name_of_a_column_gets_in_the_way(scratch: Path, format_name: FileFormat) -> None:
    def look(database: Database, table: Table) -> None:
        assert table.row_column == "keelway_row__"
        rows = query(database, f"SELECT *, {table.row_column} FROM ({table.rows_of(table.files[0], strict=True)})")
        assert rows == [(10, 20, 30, 1, 1), (11, 21, 31, 2, 2)]

    names = "v(file_row_number, Keelway_Row, keelway_row_)"
    with_table(scratch, format_name, [("a", f"FROM (VALUES (10, 20, 30), (11, 21, 31)) {names}")], look)


def test_numbering_takes_little_memory(scratch: Path) -> None:
    def look(database: Database, table: Table) -> None:
        rows = table.rows_of(table.files[0], strict=True)
        assert query(database, f"SELECT max(keelway_row), sum(length(t)) FROM ({rows})") == [(300_000, 300_000 * 400)]

    select = "SELECT rpad(md5(i::VARCHAR), 400, md5((i * 7)::VARCHAR)) AS t FROM range(300000) r(i)"
    with_table(scratch, "Parquet", [("a", select)], look, memory_limit="64MiB")


@pytest.mark.parametrize(
    ("kind", "value", "fits"),
    [
        ("bigint", "2.5::DOUBLE", False),
        ("bigint", "2::INTEGER", True),
        ("double", "2::BIGINT", True),
        ("bigint", "NULL::DOUBLE", True),
        ("integer", "99999999999::BIGINT", False),
        ("varchar", "2::BIGINT", False),
    ],
)
def test_a_recorded_type_never_changes_a_value(scratch: Path, kind: str, value: str, fits: bool) -> None:
    """A record may be of some files alone; the others are read as it says, or not at all."""

    def look(database: Database, table: Table) -> None:
        assert query(
            database, f"SELECT typeof(n), n IS NOT DISTINCT FROM {value} FROM ({table.select(strict=True)})"
        ) == [(kind.upper(), True)]

    selects, recorded = [("a", f"SELECT {value} AS n")], [Column(name="N", type=kind)]
    if fits:
        with_table(scratch, "Parquet", selects, look, recorded=recorded)
        return
    with pytest.raises(WorkerError) as caught:
        with_table(scratch, "Parquet", selects, look, recorded=recorded)
    assert caught.value.reason == "SchemaMismatch"
    assert all(word in caught.value.message for word in ("'n'", kind, "maxBytes"))
