"""The database that reads other people's files touches nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from keelway.worker.errors import WorkerError
from keelway.worker.tables import Database, open_database, query
from tests.unit.worker.builders import write_csv


@pytest.fixture
def database(scratch: Path) -> Iterator[Database]:
    with open_database(memory_limit="64MiB", scratch=scratch, directories=[scratch]) as opened:
        yield opened


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM read_csv('{scratch}/../outside.csv')",
        "SELECT * FROM glob('/etc/*')",
        "COPY (SELECT 1) TO '{outside}'",
        "ATTACH '{outside}' AS other",
        "INSTALL httpfs",
        "LOAD httpfs",
    ],
)
def test_files_outside_are_out_of_reach(database: Database, scratch: Path, sql: str) -> None:
    outside = write_csv(scratch.parent / "outside.csv", [["a"], [1]])
    with pytest.raises(duckdb.Error):
        query(database, sql.format(scratch=scratch, outside=outside))


def test_files_inside_are_within_reach(database: Database, scratch: Path) -> None:
    write_csv(scratch / "a.csv", [["a"], [1]])
    assert query(database, f"SELECT * FROM read_csv('{scratch}/a.csv')") == [(1,)]


@pytest.mark.parametrize("setting", ["enable_external_access = true", "memory_limit = '8GB'", "threads = 64"])
def test_nothing_can_be_set_anew(database: Database, setting: str) -> None:
    with pytest.raises(duckdb.InvalidInputException):
        query(database, f"SET {setting}")


def test_a_query_that_outgrows_memory_spills_to_scratch_and_cleans_up(scratch: Path) -> None:
    with open_database(memory_limit="40MiB", scratch=scratch, directories=[scratch]) as database:
        sql = "SELECT count(*) FROM (SELECT md5(i::VARCHAR) AS x FROM range(1500000) t(i) ORDER BY x LIMIT 1400000)"
        assert query(database, sql) == [(1_400_000,)]
    assert list(scratch.iterdir()) == []


def test_too_little_memory_is_out_of_space(database: Database) -> None:
    with pytest.raises(WorkerError) as caught:
        query(database, "SELECT list(repeat('x', 10000) || i) FROM range(100000) t(i)")
    assert caught.value.reason == "OutOfSpace"
