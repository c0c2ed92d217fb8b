"""Splits: which rows go where, for ever."""

from __future__ import annotations

import hashlib
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.api.jobs import Checks, Column, SplitRule
from keelway.worker.describing import describe
from keelway.worker.formats import StagedFile
from keelway.worker.splits import place_sql, ranges
from keelway.worker.tables import open_database, query
from tests.unit.worker.builders import Observer, write_csv, write_parquet

RULES = [{"name": "train", "percent": 70}, {"name": "test", "percent": 20.5}, {"name": "holdout", "percent": 9.5}]
ROWS = "SELECT i AS id, i % 7 AS customer, 'name' || i AS name, i / 4 AS score FROM range(1000) t(i)"


def expected_place(text: str) -> str:
    """The documented formula, written down once more without SQL."""
    return hashlib.md5(text.encode()).hexdigest()[:16]


def row_text(**cells: str | None) -> str:
    return "\x1e".join(f"{name}\x1f{cell}" for name, cell in sorted(cells.items()) if cell is not None)


def places(select: str, columns: Sequence[tuple[str, str]], key: str, scratch: Path) -> list[str]:
    typed = [Column(name=name, type=kind) for name, kind in columns]
    with open_database(memory_limit="256MiB", scratch=scratch, directories=[scratch]) as database:
        return [place for (place,) in query(database, f"SELECT {place_sql(typed, key)} FROM ({select})")]


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        ("42::BIGINT", "bigint", "42"),
        ("42::TINYINT", "tinyint", "42"),
        ("42.0::DOUBLE", "double", "42"),
        ("-0.0::DOUBLE", "double", "0"),
        ("0.1::DOUBLE", "double", "0.1"),
        ("0.1::FLOAT", "float", "0.1"),
        ("1e17::DOUBLE", "double", "100000000000000000"),
        ("1e300::DOUBLE", "double", "1e+300"),
        ("'nan'::DOUBLE", "double", "nan"),
        ("42.00::DECIMAL(6,2)", "decimal(6,2)", "42"),
        ("42.50::DECIMAL(6,2)", "decimal(6,2)", "42.5"),
        ("100::DECIMAL(6,0)", "decimal(6,0)", "100"),
        ("'007'", "varchar", "007"),
        ("'größe 日本'", "varchar", "größe 日本"),
        ("true", "boolean", "true"),
        ("DATE '2024-01-02'", "date", "2024-01-02"),
        ("TIMESTAMP '2024-01-02 00:00:00'", "timestamp", "2024-01-02"),
        ("TIMESTAMP '2024-01-02 03:04:05.5'", "timestamp", "2024-01-02 03:04:05.5"),
        ("TIMESTAMPTZ '2024-01-02 03:00:00+02'", "timestamp with time zone", "2024-01-02 01:00:00+00"),
        ("NULL::BIGINT", "bigint", ""),
        ("[1, NULL]", "integer[]", "[1, NULL]"),
    ],
)
def test_the_place_of_a_key_is_the_md5_of_its_text(value: str, kind: str, text: str, scratch: Path) -> None:
    assert places(f"SELECT {value} AS k", [("k", kind)], "k", scratch) == [expected_place(text)]


def test_the_place_of_a_row_is_the_md5_of_its_cells_by_name(scratch: Path) -> None:
    select = "SELECT 'x' AS b, 1.0::DOUBLE AS \"a'\", NULL::VARCHAR AS c"
    columns = [("b", "varchar"), ("a'", "double"), ("c", "varchar")]
    assert places(select, columns, "", scratch) == [expected_place(row_text(b="x", **{"a'": "1"}, c=None))]


def test_golden_counts_and_members(volume: Path, observe: Observer) -> None:
    """These numbers may never change: recorded versions and trained models stand on them."""
    write_parquet(volume / "a.parquet", ROWS)
    assert observe(volume, order={"splits": RULES}).rows == {"train": 702, "test": 209, "holdout": 89}
    by_key = observe(volume, order={"splits": RULES, "split_key": "customer"}).rows
    assert by_key == {"train": 285, "test": 572, "holdout": 143}
    assert expected_place("42") == "a1d0c6e83f027327"
    assert expected_place(row_text(id="0", name="name0")) == "68f147c634733ec0"


def test_ranges_follow_each_other_in_the_order_of_the_splits() -> None:
    parts = ranges([SplitRule(name="a", percent=50), SplitRule(name="b", percent=0), SplitRule(name="c", percent=25)])
    assert [(one.low, one.high) for one in parts] == [(0, 2**63), (2**63, 2**63), (2**63, 3 * 2**62)]


def test_percents_are_taken_as_they_are_written() -> None:
    tenths = [SplitRule(name=f"s{number}", percent=0.1) for number in range(1000)]
    assert ranges(tenths)[-1].high == 2**64


def test_the_last_of_a_hundred_percent_takes_the_last_place() -> None:
    [whole] = ranges([SplitRule(name="all", percent=100)])
    assert whole.condition("'ffffffffffffffff'") == "('ffffffffffffffff' >= '0000000000000000')"


def test_the_rest_belongs_to_no_split(volume: Path, observe: Observer) -> None:
    write_parquet(volume / "a.parquet", ROWS)
    seen = observe(volume, order={"splits": RULES[1:2]})
    assert seen.verdict.rows == 1000
    assert 150 < seen.rows["test"] < 260


def test_format_files_and_order_of_columns_do_not_matter(tmp_path: Path, observe: Observer) -> None:
    write_parquet(tmp_path / "one" / "a.parquet", ROWS)
    write_parquet(
        tmp_path / "two" / "a.parquet",
        f"SELECT score::FLOAT AS score, name, id::INTEGER AS id, customer FROM ({ROWS}) WHERE id % 2 = 0",
    )
    write_parquet(tmp_path / "two" / "sub" / "b.parquet", f"SELECT * FROM ({ROWS}) WHERE id % 2 = 1 ORDER BY id DESC")
    rows = [[i, i % 7, f"name{i}", i / 4] for i in range(1000)]
    random.Random(7).shuffle(rows)
    header = ["id", "customer", "name", "score"]
    write_csv(tmp_path / "three" / "z.csv", [header, *rows[:10]])
    write_csv(tmp_path / "three" / "a.csv", [header[::-1], *(row[::-1] for row in rows[10:])])
    for customer in range(7):
        write_csv(
            tmp_path / "four" / f"customer={customer}" / "a.csv",
            [["id", "name", "score"], *([row[0], *row[2:]] for row in rows if row[1] == customer)],
        )
    counts = [observe(tmp_path / name, order={"splits": RULES}).rows for name in ("one", "two", "three", "four")]
    assert counts[1:] == counts[:1] * 3
    assert sum(counts[0].values()) == 1000


def test_a_new_column_leaves_old_rows_where_they_are(tmp_path: Path, observe: Observer) -> None:
    write_parquet(tmp_path / "a.parquet", ROWS)
    before = observe(tmp_path, order={"splits": RULES}).rows
    write_parquet(tmp_path / "b.parquet", f"SELECT *, 'blue' AS colour FROM ({ROWS}) WHERE false")
    after = observe(tmp_path, order={"splits": RULES})
    assert "colour" in after.columns
    assert after.rows == before


CELLS = st.one_of(st.none(), st.integers(-(10**12), 10**12), st.sampled_from(["x", "ü", "a b"]))
TABLES = st.lists(st.tuples(st.integers(0, 50), CELLS), min_size=1, max_size=40)
PERCENTS = st.lists(st.integers(0, 1000).map(lambda tenth: tenth / 10), min_size=1, max_size=4).filter(
    lambda percents: sum(percents) <= 100
)


@settings(max_examples=10, deadline=None)
@given(rows=TABLES, percents=PERCENTS, pieces=st.integers(1, 4), key=st.sampled_from(["", "k"]), seed=st.integers())
def test_splits_partition_the_rows_whatever_the_files(
    rows: list[tuple[int, object]], percents: list[float], pieces: int, key: str, seed: int
) -> None:
    named = [SplitRule(name=f"s{number}", percent=percent) for number, percent in enumerate(percents)]
    rules = [*named, SplitRule(name="rest", percent=max(0.0, round(100 - sum(percents), 1)))]
    shuffled = random.Random(seed).sample(rows, len(rows))
    with tempfile.TemporaryDirectory() as name:
        whole = count(Path(name) / "whole", [rows], rules, key)
        split = count(Path(name) / "split", [shuffled[piece::pieces] for piece in range(pieces)], rules, key)
    assert whole == split
    assert sum(whole) == len(rows)
    expected = [sum(place_in(rules, n, expected_place_of(row, key)) for row in rows) for n in range(len(rules))]
    assert whole == expected


def expected_place_of(row: tuple[int, object], key: str) -> int:
    text = str(row[0]) if key else row_text(k=str(row[0]), v=None if row[1] is None else str(row[1]))
    return int(expected_place(text), 16)


def place_in(rules: Sequence[SplitRule], number: int, place: int) -> bool:
    edges = [sum(round(rule.percent * 10) for rule in rules[:end]) for end in (number, number + 1)]
    return edges[0] * 2**64 // 1000 <= place < edges[1] * 2**64 // 1000


def count(
    directory: Path, files: Sequence[Sequence[tuple[int, object]]], rules: Sequence[SplitRule], key: str
) -> list[int]:
    staged = [
        StagedFile(f"{number}.csv", write_csv(directory / f"{number}.csv", [["k", "v"], *file]))
        for number, file in enumerate(files)
    ]
    texts = [cell for file in files for _, cell in file if isinstance(cell, str)]
    if texts:  # one type for all files: a number beside text would be a mismatch between them
        staged = [StagedFile(one.path, as_text(one.local)) for one in staged]
    found = describe(
        staged,
        format_name="Parquet" if texts else "CSV",
        rules=rules,
        key=key,
        checks=Checks(),
        coverage=1.0,
        memory_limit="256MiB",
        scratch=directory,
    )
    return [split.rows for split in found.splits]


def as_text(path: Path) -> Path:
    columns = "{'k': 'BIGINT', 'v': 'VARCHAR'}"
    select = f"SELECT * FROM read_csv('{path}', columns = {columns}, auto_detect = false, header = true, delim = ',')"
    return write_parquet(path.with_suffix(".parquet"), select)
