"""JSON Lines: the columns that lines make, and the line that breaks a file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from keelway.api.jobs import SplitRule, StageOrder
from keelway.worker import stage
from keelway.worker.formats.naming import type_name
from tests.unit.worker.builders import Observer, read_parquet, stage_input


def write_lines(path: Path, *values: Any) -> Path:
    """A file with one JSON value a line; bytes and strings are written as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [value if isinstance(value, bytes) else _text(value).encode() for value in values]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@pytest.mark.parametrize("name", ["a.jsonl", "A.NDJSON", "a.jsonl.gz", "a.ndjson.gz"])
def test_suffixes(volume: Path, observe: Observer, name: str) -> None:
    data = b'{"a": 1}\n{"a": 2}\n'
    (volume / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    seen = observe(volume)
    assert seen.report
    assert (seen.report.format, seen.verdict.rows, seen.columns) == ("JSONLines", 2, {"a": "bigint"})


def test_json_has_to_be_asked_for(volume: Path, observe: Observer) -> None:
    write_lines(volume / "a.json", {"a": 1})
    assert ".json" in observe.refused(volume).message
    assert observe(volume, format="JSONLines").columns == {"a": "bigint"}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2], "bigint"),
        ([1, 2.5], "double"),
        (["a", "b"], "varchar"),
        ([True, None], "boolean"),
        (["2024-01-02", "2024-02-29"], "date"),
        (["2024-01-02", "2024-02-30"], "varchar"),
        (["01/02/2024", "13/02/2024"], "varchar"),
        (["13-02-24 10:11:12"], "varchar"),
        (["2024-01-02T03:04:05", "2024-01-02 03:04"], "timestamp"),
        (["2024-01-02T03:04:05.123Z", "2024-01-02 03:04:05+02:00"], "timestamp with time zone"),
        (["2024-01-02", "later"], "varchar"),
        (["12", "13"], "varchar"),
        ([1, "x"], "json"),
        ([[1], [2.5]], "double[]"),
        ([{"B": 1}, {"c d": "x"}], 'struct(B bigint, "c d" varchar)'),
        ([{"k": {"Q": [{"z": None}]}}], "struct(k struct(Q struct(z json)[]))"),
        ([{f"k{number}": 1 for number in range(200)}], "json"),
        ([None, None], "varchar"),
    ],
)
def test_types_come_from_all_lines(volume: Path, observe: Observer, values: list[Any], kind: str) -> None:
    write_lines(volume / "a.jsonl", *({"a": value, "n": 1} for value in values))
    assert observe(volume).columns == {"a": kind, "n": "bigint"}


def test_one_late_line_decides_a_type(volume: Path, observe: Observer) -> None:
    lines = [f'{{"a": {number}, "d": "2024-01-02"}}' for number in range(30_000)]
    write_lines(volume / "a.jsonl", *lines, {"a": 0.5, "d": "soon"})
    assert observe(volume).columns == {"a": "double", "d": "varchar"}


def test_columns_that_lines_lack_are_nullable(volume: Path, observe: Observer) -> None:
    write_lines(volume / "a.jsonl", {"a": 1, "b": 2}, {}, {"a": 3, "c": None}, "", {"a": 4})
    write_lines(volume / "b.jsonl", {"a": 1.5, "d": "x"}, "null")
    seen = observe(volume)
    assert seen.verdict.rows == 6
    assert seen.columns == {"a": "double", "b": "bigint", "c": "varchar", "d": "varchar"}
    assert seen.nullable == {"a", "b", "c", "d"}


def test_columns_of_every_line_are_not_nullable(volume: Path, observe: Observer) -> None:
    write_lines(volume / "a.jsonl", {"a": 1}, {"a": 2})
    assert observe(volume).nullable == set()


def test_a_column_without_values_takes_the_type_of_another_file(volume: Path, observe: Observer) -> None:
    write_lines(volume / "a.jsonl", {"a": None})
    write_lines(volume / "b.jsonl", {"a": {"X": 1}})
    write_lines(volume / "c.jsonl", {"a": {"y": 2}})
    assert observe(volume).columns == {"a": "struct(X bigint, y bigint)"}


@pytest.mark.parametrize(("one", "other"), [(1, "x"), (True, 1), ({"x": 1}, 1)])
def test_files_that_disagree_on_a_type(volume: Path, observe: Observer, one: object, other: object) -> None:
    write_lines(volume / "a.jsonl", {"k": one})
    write_lines(volume / "b.jsonl", {"k": other})
    error = observe.refused(volume)
    assert error.reason == "SchemaMismatch"
    assert all(word in error.message for word in ("'k'", "a.jsonl", "b.jsonl"))


@pytest.mark.parametrize("lines", [[{"id": 1, "ID": 2}], [{"id": 1}, {"ID": 2}]])
def test_names_that_differ_by_case_alone(volume: Path, observe: Observer, lines: list[object]) -> None:
    write_lines(volume / "a.jsonl", *lines)
    error = observe.refused(volume)
    assert error.reason == "SchemaMismatch"
    assert "'ID'" in error.message


def test_names_that_differ_by_case_in_several_files(volume: Path, observe: Observer) -> None:
    write_lines(volume / "a.jsonl", {"id": 1})
    write_lines(volume / "b.jsonl", {"Id": 1})
    error = observe.refused(volume)
    assert error.reason == "SchemaMismatch"
    assert all(word in error.message for word in ("'id' in a.jsonl", "'Id' in b.jsonl"))


def test_a_name_that_looks_like_a_numbered_one(volume: Path, observe: Observer) -> None:
    write_lines(volume / "a.jsonl", {"a": 1, "A_1": 2})
    seen = observe(volume)
    assert seen.columns == {"a": "bigint", "A_1": "bigint"}
    assert seen.nullable == set()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"a": 2', "is not JSON"),
        (b'{"a": 2} {"a": 3}', "is not JSON"),
        (b"2", "is not an object"),
        (b"[1, 2]", "is not an object"),
        (b'{"": 1}', "has a key without a name"),
        (b'{"a": 1, "a": 2}', "has a key twice"),
        (b'{"a": 1, "b": {"x": 1, "x": 2}}', "has a key twice"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b'{"a": "\\ud800"}', "is not JSON"),
        (b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", "is nested deeper than 128"),
    ],
)
@pytest.mark.parametrize("before", [1, 100_000])
def test_a_broken_line_is_named(volume: Path, observe: Observer, line: bytes, words: str, before: int) -> None:
    write_lines(volume / "day.jsonl", *[b'{"a": 1}'] * before, b"", line, b'{"a": 3}')
    error = observe.refused(volume)
    assert error.reason == "SourceInvalid"
    assert error.message.startswith(f"day.jsonl line {before + 2} {words}")


def test_a_byte_order_mark(volume: Path, observe: Observer) -> None:
    write_lines(volume / "a.jsonl", b'\xef\xbb\xbf{"a": 1}')
    assert "line 1 begins with a byte order mark" in observe.refused(volume).message


@pytest.mark.parametrize("lines", [[{}, {}], ["", ""]])
def test_lines_without_a_key(volume: Path, observe: Observer, lines: list[object]) -> None:
    write_lines(volume / "a.jsonl", *lines)
    assert observe.refused(volume).message.startswith("a.jsonl has no object with a key")


def test_a_gzip_file_that_was_cut_off(volume: Path, observe: Observer) -> None:
    packed = gzip.compress(b"".join(b'{"a": %d}\n' % (number * 7919) for number in range(10_000)))
    (volume / "a.jsonl.gz").write_bytes(packed[:-1000])
    error = observe.refused(volume)
    assert (error.reason, "a.jsonl.gz is not a readable gzip file" in error.message) == ("SourceInvalid", True)


def test_messages_hold_no_data_values(volume: Path, observe: Observer) -> None:
    write_lines(volume / "a.jsonl", {"a": 1}, '{"a": secret-value}')
    assert "secret" not in observe.refused(volume).message


def test_a_split_has_the_recorded_types(volume: Path, observe: Observer, tmp_path: Path) -> None:
    write_lines(volume / "day=1" / "a.jsonl", {"id": 1, "s": {"Big": 1}}, {"id": 2, "t": "2024-01-02T03:04:05"})
    write_lines(volume / "day=2" / "b.jsonl", {"id": 3.5, "keelway_row": "mine"})
    rules = (SplitRule(name="all", percent=100),)
    seen = observe(volume, order={"splits": rules})
    assert seen.rows == {"all": 3}
    given = stage_input(seen, volume, tmp_path, split="all", splits=rules)
    stage.run(StageOrder(inputs=(given,)))
    rows = read_parquet(tmp_path / "target" / "*.parquet", "id, s.Big, CAST(t AS VARCHAR), keelway_row, day")
    assert rows == [
        (1.0, 1, None, None, 1),
        (2.0, None, "2024-01-02 03:04:05", None, 1),
        (3.5, None, None, "mine", 2),
    ]


@pytest.mark.parametrize(
    ("described", "name"),
    [
        ("DECIMAL(18,3)", "decimal(18,3)"),
        ("TIMESTAMP WITH TIME ZONE", "timestamp with time zone"),
        ('STRUCT(A INTEGER, "b (c, D" VARCHAR[])[]', 'struct(A integer, "b (c, D" varchar[])[]'),
        ("MAP(VARCHAR, STRUCT(K BIGINT))", "map(varchar, struct(K bigint))"),
        ("ENUM('Yes', 'N,o')", "enum('Yes', 'N,o')"),
        ('STRUCT("NULL" "NULL")', 'struct("NULL" json)'),
    ],
)
def test_a_types_name_is_in_lower_case_except_names_and_values(described: str, name: str) -> None:
    assert type_name(described) == name
