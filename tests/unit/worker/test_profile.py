"""The profile of a version: what is said of columns of each kind, and that it is always the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest
from PIL import Image

from keelway.api.digests import canonical_json
from keelway.api.jobs import Checks, FileFormat, Reference, SplitRule
from keelway.api.profile import ColumnProfile
from keelway.worker.describing import Description, describe
from keelway.worker.errors import WorkerError
from keelway.worker.formats import StagedFile, suffix
from tests.unit.worker.builders import PEOPLE, write_csv, write_parquet

FORMATS: Mapping[str, FileFormat] = {".csv": "CSV", ".parquet": "Parquet"}
MANY = 40_000
"""More rows than are sampled."""

Described = Callable[..., Description]


@pytest.fixture
def described(scratch: Path) -> Described:
    """Describes files; keywords are fields of Checks."""

    def run(*files: Path, **checks: Any) -> Description:
        return describe(
            [StagedFile(file.name, file) for file in files],
            format_name=FORMATS[suffix(files[0].name)],
            rules=[],
            key="",
            checks=Checks.model_validate(checks),
            coverage=1.0,
            memory_limit="256MiB",
            scratch=scratch,
        )

    return run


@pytest.fixture
def table(scratch: Path) -> Callable[[str], Path]:
    """A Parquet file with the rows of a query, in several row groups when there are many."""
    return lambda select: write_parquet(scratch / "table.parquet", select)


def write_table(path: Path, select: str) -> None:
    """A file in the format that its name says, in one row group or chunk after the other."""
    with duckdb.connect() as database:
        database.execute(f"COPY ({select}) TO '{path}'")


def column(found: Description, name: str) -> ColumnProfile:
    [one] = [one for one in found.profile.columns if one.name == name]
    return one


def top(one: ColumnProfile) -> dict[str, int]:
    return {value.value: value.count for value in one.top}


def test_a_small_file_by_hand(scratch: Path, described: Described) -> None:
    path = scratch / "people.csv"
    path.write_text(PEOPLE)
    found = described(path)
    age, name, joined = (column(found, one) for one in ("age", "name", "joined"))
    assert (found.rows, found.profile.rows) == (3, 3)
    assert (age.type, age.kind, age.count, age.nulls, age.distinct) == ("bigint", "Number", 2, 1, 2)
    assert (age.min, age.max, age.mean, age.stddev) == ("30", "50", 40.0, 14.1421)
    assert (age.edges, age.null_share, top(age)) == ((30.0, 50.0, 70.0), 0.333333333, {"30": 1, "50": 1})
    assert (name.kind, name.min, name.max, top(name)) == ("Text", "Ann", "Eve", {"Ann": 1, "Bob": 1, "Eve": 1})
    assert (joined.kind, joined.min, joined.max) == ("Time", "2024-01-02", "2024-03-04")
    assert joined.edges[0] == 1704153600.0  # 2024-01-02 in seconds


@pytest.mark.parametrize(
    ("number", "sql"),
    [
        pytest.param("i", "i", id="integers"),
        pytest.param("-exp(i / 5000.0)", "-exp(i / 5000.0)", id="skewed doubles"),
        pytest.param("CAST(i / 7.0 AS DECIMAL(12, 3))", "CAST(i / 7.0 AS DECIMAL(12, 3))::DOUBLE", id="decimals"),
        pytest.param("DATE '1960-01-01' + i::INTEGER", "epoch(DATE '1960-01-01' + i::INTEGER)", id="dates"),
        pytest.param(
            "TIMESTAMPTZ '2024-01-01 00:00:00+00' + to_milliseconds(i * 13)",
            "epoch(TIMESTAMPTZ '2024-01-01 00:00:00+00' + to_milliseconds(i * 13))",
            id="timestamps",
        ),
    ],
)
def test_bins_are_deciles_and_their_shares_exact(
    table: Callable[[str], Path], described: Described, number: str, sql: str
) -> None:
    found = column(described(table(f"SELECT {number} AS x FROM range({MANY}) t(i)")), "x")
    assert len(found.edges) == 11
    assert list(found.edges) == sorted(set(found.edges))
    assert found.shares == pytest.approx([0.1] * 10, abs=0.015)
    inner = list(found.edges[1:-1])
    with duckdb.connect() as database:
        below = [
            database.execute(f"SELECT count(*) FROM range({MANY}) t(i) WHERE {sql} < ?", [edge]).fetchall()[0][0]
            for edge in inner
        ]
    bounds = [0, *below, MANY]
    assert [round(share * MANY, 6) for share in found.shares] == [b - a for a, b in zip(bounds, bounds[1:])]  # noqa: B905, RUF007


def test_few_rows_have_exact_deciles(table: Callable[[str], Path], described: Described) -> None:
    found = column(described(table("SELECT (i * 7919) % 10000 AS x FROM range(10000) t(i)")), "x")
    assert found.edges == tuple(float(edge) for edge in (*range(0, 10_000, 1000), 9999))
    assert found.shares == (0.1,) * 10


@pytest.mark.parametrize(
    ("values", "edges", "shares"),
    [
        pytest.param("i % 2", (0, 1, 2), (0.5, 0.5), id="0 and 1"),
        pytest.param("(i % 4 > 0)::INTEGER * 3", (0, 3, 6), (0.25, 0.75), id="0 and 3"),
        pytest.param("5", (5, 6), (1,), id="one value"),
        pytest.param("CASE WHEN i % 2 = 0 THEN i END", None, None, id="half NULL"),
        pytest.param("CASE WHEN i % 2 = 0 THEN 0 ELSE i END", None, None, id="half zero"),
    ],
)
def test_frequent_numbers_have_bins_of_their_own(
    table: Callable[[str], Path], described: Described, values: str, edges: object, shares: object
) -> None:
    found = column(described(table(f"SELECT {values} AS x FROM range({MANY}) t(i)")), "x")
    assert sum(found.shares) + found.null_share + found.other_share == pytest.approx(1, abs=1e-8)
    if edges:
        assert (found.edges, found.shares) == (edges, shares)
    else:
        assert max(*found.shares, found.null_share) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("name", ["table.parquet", "table.csv"])
def test_rows_that_repeat_as_a_whole_do_not_spoil_bins(scratch: Path, described: Described, name: str) -> None:
    numbers = "CASE WHEN i % 5 < 2 THEN 7 WHEN i % 5 = 2 THEN 5000 + i % 2000 ELSE -i END"
    write_table(scratch / name, f"SELECT {numbers} AS x FROM range({MANY}) t(i)")
    found = column(described(scratch / name), "x")
    assert 7.0 in found.edges
    assert found.shares[found.edges.index(7.0)] == pytest.approx(0.4, abs=0.02)
    assert max(share for share in found.shares if share < 0.35) < 0.13
    assert column(described(scratch / name), "x") == found


def test_frequent_texts_are_counted_exactly_among_many_others(
    table: Callable[[str], Path], described: Described
) -> None:
    often = "WHEN i % 4 = 0 THEN 'often' WHEN i % 50 = 1 THEN 'at times' WHEN i % 400 = 2 THEN 'rare'"
    found = column(described(table(f"SELECT CASE {often} ELSE i::VARCHAR END AS x FROM range({MANY}) t(i)")), "x")
    assert top(found) == {"often": MANY // 4, "at times": MANY // 50}
    assert found.other_share == 0.73


def test_top_k_is_kept_and_equally_frequent_texts_are_ordered(
    table: Callable[[str], Path], described: Described
) -> None:
    found = described(table(f"SELECT chr(97 + (i % 5)::INTEGER) AS x FROM range({MANY}) t(i)"), profile={"topK": 3})
    assert list(top(column(found, "x"))) == ["a", "b", "c"]
    assert column(found, "x").other_share == 0.4


def test_long_texts_are_cut_and_stay_apart(table: Callable[[str], Path], described: Described) -> None:
    select = f"SELECT repeat('x', 1000) || (i % 2) AS long, repeat('ü', 128) AS short FROM range({MANY}) t(i)"
    found = described(table(select))
    assert list(top(column(found, "long")).values()) == [MANY // 2, MANY // 2]
    assert {len(text) for text in top(column(found, "long"))} == {128}
    assert top(column(found, "short")) == {"ü" * 128: MANY}
    assert len(column(found, "long").max or "") == 128


def test_what_is_no_number_stays_out_of_the_json(table: Callable[[str], Path], described: Described) -> None:
    values = "['nan', 'inf', '-inf', '1e300', '1', '2']"
    found = described(table(f"SELECT {values}[1 + i % 6]::DOUBLE AS x, 'nan'::FLOAT AS y FROM range(6000) t(i)"))
    x, y = column(found, "x"), column(found, "y")
    json.dumps(found.profile.to_json(), allow_nan=False)
    assert (x.count, x.min, x.max, x.mean) == (6000, "1.0", "2.0", 1.5)
    assert x.shares == (0.166666667, 0.166666667)
    assert x.other_share == 0.666666667
    assert (y.count, y.other_share, y.mean, y.edges) == (6000, 1.0, None, ())


def test_huge_numbers_keep_their_digits(table: Callable[[str], Path], described: Described) -> None:
    found = column(described(table(f"SELECT 9007199254740993 + i AS x FROM range({MANY}) t(i)")), "x")
    assert (found.min, found.max) == ("9007199254740993", str(9007199254740993 + MANY - 1))
    assert found.shares == pytest.approx([0.1] * 10, abs=0.015)


def test_infinite_times_are_other_values(table: Callable[[str], Path], described: Described) -> None:
    select = "SELECT CASE WHEN i % 4 = 0 THEN 'infinity' ELSE '2024-01-01' END::DATE AS x FROM range(4000) t(i)"
    found = column(described(table(select)), "x")
    assert (found.min, found.max, found.shares, found.other_share) == ("2024-01-01", "2024-01-01", (0.75,), 0.25)


def test_nested_and_binary_columns_are_counted_alone(table: Callable[[str], Path], described: Described) -> None:
    select = "SELECT [1, 2] AS list, {'a': 1} AS struct, 'x'::BLOB AS bytes, MAP {'k': 1} AS map FROM range(10)"
    for one in described(table(select)).profile.columns:
        assert (one.kind, one.count, one.distinct, one.min, one.top, one.other_share) == ("Other", 10, 0, None, (), 1.0)


@pytest.mark.parametrize(
    ("select", "kind", "expected"),
    [
        pytest.param("i % 2 = 0", "Boolean", {"false": 500, "true": 500}, id="booleans"),
        pytest.param("uuid", "Text", {"00000000-0000-0000-0000-000000000000": 1000}, id="uuids"),
        pytest.param("TIME '01:02:03'", "Text", {"01:02:03": 1000}, id="times of day"),
        pytest.param("'a'::ENUM ('a', 'b')", "Text", {"a": 1000}, id="enums"),
        pytest.param("chr(0) || chr(27) || '\"'", "Text", {'\0\x1b"': 1000}, id="control characters"),
        pytest.param("''", "Text", {"": 1000}, id="empty text"),
    ],
)
def test_values_that_are_written_as_text(
    table: Callable[[str], Path], described: Described, select: str, kind: str, expected: Mapping[str, int]
) -> None:
    source = "(SELECT *, '00000000-0000-0000-0000-000000000000'::UUID AS uuid FROM range(1000) t(i))"
    found = described(table(f"SELECT {select} AS x FROM {source}"))
    assert (column(found, "x").kind, top(column(found, "x"))) == (kind, expected)
    assert json.loads(canonical_json(found.profile.to_json()))


MIXED = f"""
SELECT i AS id, (i * 2654435761) % 1000003 / 7.0 AS x, i % 13 AS few, 'c' || (i * i) % 4001 AS city,
       TIMESTAMP '2024-01-01' + to_seconds((i * 7919) % 1000000) AS seen,
       CASE WHEN i % 3 > 0 THEN i % 2 = 0 END AS flag,
       CASE WHEN i % 100 = 0 THEN NULL ELSE ln(1 + i) END AS skewed
FROM range({3 * MANY}) t(i)
"""


def test_the_same_rows_give_the_same_json_whatever_their_order(
    table: Callable[[str], Path], described: Described, scratch: Path
) -> None:
    sample = {"rows": 5, "columns": ["city", "flag"]}
    first = described(table(MIXED), sample=sample).profile
    again = described(table(MIXED), sample=sample).profile
    half = f"SELECT * FROM ({MIXED}) WHERE id % 2 ="
    parts = [write_parquet(scratch / f"part-{n}.parquet", f"{half} {n} ORDER BY hash(id)") for n in (0, 1)]
    shuffled = described(*parts, sample=sample).profile
    assert canonical_json(first.to_json()) == canonical_json(again.to_json()) == canonical_json(shuffled.to_json())
    for one in first.columns:
        in_bins = sum(one.shares) or sum(value.count for value in one.top) / first.rows
        assert in_bins + one.null_share + one.other_share == pytest.approx(1, abs=1e-7)


def test_a_column_without_values(table: Callable[[str], Path], described: Described) -> None:
    found = described(table("SELECT NULL::DOUBLE AS x, NULL::VARCHAR AS y, NULL::BOOLEAN AS z FROM range(9)"))
    for one in found.profile.columns:
        assert (one.count, one.nulls, one.null_share, one.other_share, one.edges, one.top) == (0, 9, 1.0, 0.0, (), ())
    assert all(one.nullable for one in found.columns)


def test_a_table_without_rows(scratch: Path, described: Described) -> None:
    found = described(write_csv(scratch / "a.csv", [["a", "b"]]), sample={"rows": 3, "columns": ["a"]})
    assert (found.rows, found.profile.rows, found.profile.sample) == (0, 0, ())
    assert [one.null_share for one in found.profile.columns] == [0.0, 0.0]


def test_of_columns_beyond_500_values_are_counted(table: Callable[[str], Path], described: Described) -> None:
    cells = ", ".join(f"CASE WHEN i % 2 = 0 THEN i END AS c{number}" for number in range(620))
    found = described(table(f"SELECT {cells} FROM range(100) t(i)"))
    assert (len(found.columns), len(found.profile.columns), found.profile.omitted_columns) == (620, 500, 120)
    assert all(one.nullable for one in found.columns)
    assert column(found, "c499").count == 50


def test_a_sample_is_of_the_named_columns_alone(table: Callable[[str], Path], described: Described) -> None:
    select = f"SELECT i AS id, repeat('s', 300) AS long, CASE WHEN i < 0 THEN 1 END AS none FROM range({MANY}) t(i)"
    found = described(table(select), sample={"rows": 4, "columns": ["long", "none"]}).profile.sample
    assert found == ({"long": "s" * 256, "none": None},) * 4


def test_no_row_is_shown_unless_columns_are_named(table: Callable[[str], Path], described: Described) -> None:
    assert described(table("SELECT 1 AS x"), sample={"rows": 4, "columns": []}).profile.sample == ()
    assert described(table("SELECT 1 AS x"), sample={"rows": 0, "columns": ["x"]}).profile.sample == ()


def test_rows_that_repeat_without_bound_are_shown_no_oftener_than_asked(
    table: Callable[[str], Path], described: Described
) -> None:
    found = described(table(f"SELECT 1 AS x FROM range({MANY})"), sample={"rows": 4, "columns": ["x"]})
    assert found.profile.sample == ({"x": "1"},) * 4


def test_a_sample_of_a_column_that_is_not_there_is_refused(table: Callable[[str], Path], described: Described) -> None:
    with pytest.raises(WorkerError, match="the sample asks for ssn, which the data does not have") as caught:
        described(table("SELECT 1 AS x"), sample={"rows": 4, "columns": ["x", "ssn"]})
    assert caught.value.reason == "SourceInvalid"


def against(found: Description, directory: Path) -> dict[str, Any]:
    """The checks that compare with a description."""
    path = directory / "profile.json"
    path.write_bytes(canonical_json(found.profile.to_json()))
    return {"reference": Reference(version=7, profile=str(path))}


def test_the_same_data_have_not_moved(table: Callable[[str], Path], described: Described, scratch: Path) -> None:
    checks = against(described(table(MIXED)), scratch)
    for statistic in ("PSI", "JensenShannon", "KolmogorovSmirnov"):
        found = described(table(MIXED), **checks, drift={"statistic": statistic}).drift
        assert found
        assert (found.against, found.level, found.drifted_columns) == (7, "None", 0)
        assert {one.value for one in found.worst} == {0.0}


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        pytest.param("x * 2", "x", id="another scale"),
        pytest.param("CASE WHEN id % 2 = 0 THEN x END", "x", id="half of it lost"),
        pytest.param("few % 2", "few", id="fewer numbers"),
        pytest.param("few + 20", "few", id="numbers never seen"),
        pytest.param("true", "flag", id="a boolean stuck"),
        pytest.param("seen + INTERVAL 10 DAY", "seen", id="later"),
    ],
)
def test_a_column_that_moves_is_found(
    table: Callable[[str], Path], described: Described, scratch: Path, changed: str, name: str
) -> None:
    checks = against(described(table(MIXED)), scratch)
    select = f"SELECT * REPLACE ({changed} AS {name}) FROM ({MIXED})"
    found = described(table(select), **checks)
    assert found.drift
    assert (found.drift.worst[0].column, found.drift.drifted_columns, found.drift.level) == (name, 1, "Fail")
    assert column(found, name).edges != () or top(column(found, name)) == {"true": 3 * MANY}


def test_texts_of_the_reference_are_counted_where_they_are_rare_now(
    table: Callable[[str], Path], described: Described, scratch: Path
) -> None:
    select = f"SELECT CASE WHEN i % {{}} = 0 THEN 'known' ELSE 'x' || i END AS x FROM range({MANY}) t(i)"
    checks = against(described(table(select.format(2))), scratch)
    found = described(table(select.format(8000)), **checks, drift={"statistic": "KolmogorovSmirnov"}).drift
    assert found
    assert found.worst[0].value == round(0.5 - 5 / MANY, 4)


def test_columns_that_changed_kind_came_or_went_are_not_compared(
    table: Callable[[str], Path], described: Described, scratch: Path
) -> None:
    checks = against(described(table("SELECT i AS a, i AS gone FROM range(10) t(i)")), scratch)
    found = described(table("SELECT 'x' AS a, i AS new FROM range(10) t(i)"), **checks).drift
    assert found
    assert (found.worst, found.level) == ((), "None")


def test_a_reference_that_cannot_be_read_is_said(table: Callable[[str], Path], described: Described) -> None:
    with pytest.raises(WorkerError, match=r"version 7 .* drift\.compareTo"):
        described(table("SELECT 1 AS x"), reference=Reference(version=7, profile="/nonexistent"))


def describe_files(scratch: Path, format_name: FileFormat, **expected: Any) -> Description:
    """Two images of one class, described as `format_name`."""
    staged = []
    for number in range(2):
        local = scratch / f"{number}"
        Image.new("L", (8 + number, 6)).save(local, format="png")
        staged.append(StagedFile(f"cat/{number}.png", local))
    return describe(
        staged,
        format_name=format_name,
        rules=[SplitRule(name="all", percent=100)],
        key="",
        checks=Checks.model_validate({"expectations": expected}),
        coverage=0.5,
        memory_limit="64MiB",
        scratch=scratch,
    )


def test_images_have_a_profile_of_their_own(scratch: Path) -> None:
    found = describe_files(scratch, "Images", images={"minWidth": 9})
    assert (found.rows, found.columns, [one.rows for one in found.splits]) == (2, (), [2])
    assert found.profile.images
    assert (found.profile.images.formats, found.profile.images.widths) == ({"png": 2}, (8, 9))
    assert found.profile.coverage == 0.5
    assert [(one.check, one.violations) for one in found.violations] == [("images.minWidth", 1)]


@pytest.mark.parametrize("format_name", ["Images", "Files"])
def test_files_are_counted_and_have_no_columns_or_rows_to_judge(scratch: Path, format_name: FileFormat) -> None:
    rule = {"name": "no-future", "violation": "x > 1"}
    found = describe_files(scratch, format_name, rows={"min": 5}, columns=[{"name": "x", "min": 1}], rules=[rule])
    assert [(one.check, one.violations, one.problem) for one in found.violations] == [
        ("rows.min", 3, ""),
        ("columns.x", 0, "Invalid"),
        ("rules.no-future", 0, "Invalid"),
    ]
    assert (found.rows, found.profile.columns) == (2, ())
