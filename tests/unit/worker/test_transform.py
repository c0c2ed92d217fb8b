"""One query over staged tables: its rows as Parquet, or a reason and nothing that looks finished."""

from __future__ import annotations

import gzip
import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from keelway.api.jobs import Column, FileFormat, StagedTable, TransformOrder
from keelway.worker import transform
from keelway.worker.errors import WorkerError
from tests.unit.worker.builders import read_parquet, write_csv, write_parquet

SECRET = "secret-4711"


class Transformer:
    """Runs queries over directories."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.output = root / "output"
        self._inputs: list[StagedTable] = []

    def add(self, name: str, columns: Mapping[str, str], *, format_name: FileFormat = "CSV") -> Path:
        """A new input; returns its directory, to be filled."""
        directory = self.root / "inputs" / name
        directory.mkdir(parents=True)
        described = tuple(Column(name=column, type=kind) for column, kind in columns.items())
        self._inputs.append(StagedTable(name=name, directory=str(directory), format=format_name, columns=described))
        return directory

    def __call__(self, sql: str, **changes: Any) -> list[tuple[Any, ...]]:
        """The rows that the query wrote, as read from its files."""
        order = TransformOrder(sql=sql, inputs=tuple(self._inputs), output_dir=str(self.output), **changes)
        verdict = transform.run(order)
        assert verdict.outcome == "Transformed"
        assert self.files() == ["part-00000.parquet"]
        rows = read_parquet(self.output / "*.parquet")
        assert verdict.rows == len(rows)
        return rows

    def fails(self, sql: str, **changes: Any) -> WorkerError:
        """The failure of a query, which leaves nothing."""
        with pytest.raises(WorkerError) as caught:
            self(sql, **changes)
        assert self.files() == []
        assert SECRET not in caught.value.message
        return caught.value

    def files(self) -> list[str]:
        return sorted(path.name for path in self.output.iterdir()) if self.output.exists() else []


@pytest.fixture
def run(tmp_path: Path) -> Transformer:
    return Transformer(tmp_path)


@pytest.fixture
def people(run: Transformer) -> Transformer:
    directory = run.add("raw", {"id": "bigint", "name": "varchar", "age": "bigint"})
    write_csv(directory / "b.csv", [["id", "name", "age"], [3, "Eve", 50], [1, "Ann", 130]])
    write_csv(directory / "a.csv", [["id", "name", "age"], [1, "Ann", 30], [2, "Bob", None]])
    return run


def test_rows_come_in_the_order_of_files_and_lines(people: Transformer) -> None:
    assert people("FROM raw") == [(1, "Ann", 30), (2, "Bob", None), (3, "Eve", 50), (1, "Ann", 130)]


def test_a_query_that_orders_is_written_in_its_order(run: Transformer) -> None:
    directory = run.add("raw", {"i": "bigint"}, format_name="Parquet")
    write_parquet(directory / "a.parquet", "SELECT i FROM range(300000) t(i)")
    rows = run("SELECT i, hash(i) AS h FROM raw ORDER BY h -- by chance")
    assert [h for _, h in rows] == sorted(h for _, h in rows)
    assert {i for i, _ in rows} == set(range(300_000))


def test_what_a_demo_needs_works(people: Transformer) -> None:
    sql = "SELECT DISTINCT ON (id) * FROM raw WHERE age BETWEEN 18 AND 120 ORDER BY id"
    assert people(sql) == [(1, "Ann", 30), (3, "Eve", 50)]


def test_inputs_of_every_format_join(people: Transformer) -> None:
    plans = people.add("plans", {"id": "bigint", "plan": "varchar"}, format_name="Parquet")
    write_parquet(plans / "deep" / "x [1]*.parquet", "SELECT unnest([1, 3]) AS id, unnest(['a', 'b']) AS plan")
    events = people.add("order", {"id": "bigint", "n": "bigint"}, format_name="JSONLines")
    (events / "e.jsonl.gz").write_bytes(gzip.compress(b'{"id": 1, "n": 7}\n{"id": 3, "n": 8}\n'))
    sql = 'SELECT name, plan, n FROM raw JOIN plans USING (id) JOIN "order" USING (id) WHERE age < 100 ORDER BY name'
    assert people(sql) == [("Ann", "a", 7), ("Eve", "b", 8)]


def test_columns_of_directories_are_columns(run: Transformer) -> None:
    directory = run.add("raw", {"a": "bigint", "day": "varchar"})
    for day in ("mon", "tue"):
        write_csv(directory / f"day={day}" / "x.csv", [["a"], [1]])
    assert run("SELECT day, a FROM raw") == [("mon", 1), ("tue", 1)]


def test_what_was_recorded_decides_how_columns_are_read(run: Transformer) -> None:
    write_csv(run.add("raw", {"a": "double"}) / "x.csv", [["a"], [1]])
    assert run("SELECT typeof(a) FROM raw") == [("DOUBLE",)]


def test_the_output_is_compressed_in_bounded_row_groups(run: Transformer) -> None:
    directory = run.add("raw", {"i": "bigint"}, format_name="Parquet")
    write_parquet(directory / "a.parquet", "SELECT i FROM range(300000) t(i)")
    run("FROM raw")
    with duckdb.connect() as database:
        groups = database.execute(
            f"SELECT DISTINCT compression, row_group_num_rows FROM parquet_metadata('{run.output}/part-00000.parquet')"
        ).fetchall()
    assert {compression for compression, _ in groups} == {"ZSTD"}
    assert max(rows for _, rows in groups) <= 122_880


def test_a_second_run_replaces_the_first(people: Transformer) -> None:
    people("SELECT 1 AS a")
    assert people("SELECT 2 AS a") == [(2,)]


def test_a_query_that_yields_no_rows_is_no_output(people: Transformer) -> None:
    failure = people.fails("FROM raw WHERE age > 1000")
    assert failure.reason == "OutputMissing"
    assert "no rows" in failure.message


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT nosuch FROM raw", "nosuch"),
        ("SELECT * FROM plans", "'plans' is no input of this Dataset: read from raw"),
        ("SELECT * FROM read_csv('/etc/passwd')", "read_csv()"),
        ("SELECT 1; DROP TABLE raw", "one SELECT"),
        ("SELECT 1) TO '/tmp/x' (FORMAT csv); --", "syntax error"),
        ("SELECT id, name AS ID FROM raw", "two columns named id"),
        ("SELECT * FROM raw a JOIN raw b ON a.id = b.id", "two columns named id, name, age"),
        ("SELECT random() FROM raw", "random()"),
    ],
)
def test_a_query_that_is_not_allowed_or_does_not_fit_is_invalid(people: Transformer, sql: str, said: str) -> None:
    failure = people.fails(sql)
    assert failure.reason == "QueryInvalid"
    assert said in failure.message


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT name::INTEGER FROM raw", "TRY_CAST"),
        ("SELECT strptime(name, '%Y') FROM raw", "fails on some rows"),
        ("SELECT * FROM raw WHERE name::DATE > '2020-01-01'", "TRY_CAST"),
        ("SELECT (age || '000000000000000000000')::HUGEINT * 1000000000000000000 FROM raw", "too large"),
        ("SELECT (SELECT name FROM raw) FROM raw", "fails on some rows"),
    ],
)
def test_a_query_that_fails_on_the_data_is_invalid_and_shows_none_of_it(run: Transformer, sql: str, said: str) -> None:
    directory = run.add("raw", {"name": "varchar", "age": "bigint"})
    write_csv(directory / "a.csv", [["name", "age"], [SECRET, 99], [SECRET, 99]])
    failure = run.fails(sql)
    assert failure.reason == "QueryInvalid"
    assert said in failure.message


@pytest.mark.parametrize(
    "sql",
    [
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
        "SELECT count(*) AS n FROM range(1000000000) a, range(1000000000) b WHERE hash(a.range + b.range) = 1",
        "SELECT max(levenshtein(repeat('a', 20000), repeat('b', 20000 + range))) AS n FROM range(100000)",
    ],
)
def test_a_query_without_end_is_stopped(people: Transformer, sql: str) -> None:
    begin = time.monotonic()
    failure = people.fails(sql, timeout_seconds=3)
    assert failure.reason == "QueryTimedOut"
    assert "3 s" in failure.message
    assert time.monotonic() - begin < 30


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT repeat('x', 1000000000 + range) AS s FROM range(100)",
        "SELECT list(repeat('x', 1000) || range) AS s FROM range(10000000)",
        "SELECT string_agg(md5(range::VARCHAR)) AS s FROM range(100000000)",
    ],
)
def test_a_query_that_outgrows_its_memory_is_stopped(people: Transformer, sql: str) -> None:
    assert people.fails(sql, memory_limit="64MiB", timeout_seconds=60).reason == "OutOfSpace"


def test_a_query_that_needs_more_than_memory_spills(run: Transformer) -> None:
    directory = run.add("raw", {"i": "bigint", "h": "varchar"}, format_name="Parquet")
    write_parquet(directory / "a.parquet", "SELECT i, md5(i::VARCHAR) AS h FROM range(1500000) t(i)")
    rows = run("SELECT h FROM raw ORDER BY h", memory_limit="100MiB")
    assert len(rows) == 1_500_000
    assert rows == sorted(rows)


@pytest.mark.parametrize("format_name", ["Images", "Files"])
def test_what_is_no_table_cannot_be_queried(run: Transformer, format_name: FileFormat) -> None:
    (run.add("raw", {}, format_name=format_name) / "a.png").write_bytes(b"x")
    failure = run.fails("FROM raw")
    assert failure.reason == "QueryInvalid"
    assert "derive.job" in failure.message


def test_an_output_that_does_not_fit_leaves_nothing(run: Transformer) -> None:
    directory = run.add("raw", {"i": "bigint"}, format_name="Parquet")
    write_parquet(directory / "a.parquet", "SELECT i FROM range(300000) t(i)")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        failure = run.fails("SELECT i, md5(i::VARCHAR) AS h FROM raw")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failure.reason == "OutOfSpace"
    assert "scratch volume is full" in failure.message


def test_scratch_is_empty_afterwards(people: Transformer, scratch: Path) -> None:
    people("FROM raw")
    people.output.joinpath("part-00000.parquet").unlink()
    people.fails("SELECT name::INTEGER FROM raw")
    assert list(scratch.iterdir()) == []


def test_nothing_but_inputs_and_output_is_within_reach(people: Transformer, scratch: Path) -> None:
    outside = write_csv(scratch.parent / "outside.csv", [["a"], [SECRET]])
    queries: Sequence[str] = [f"FROM '{outside}'", f"SELECT * FROM read_csv('{outside}')", f'FROM "{outside}"']
    for sql in queries:
        assert people.fails(sql).reason == "QueryInvalid"
