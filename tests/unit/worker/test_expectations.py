"""What a team expects of its data: counted exactly, located, and said without a value of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from keelway.api.checks import Expectations
from keelway.api.findings import Violation
from keelway.api.jobs import FileFormat
from keelway.worker.dataset import open_table
from keelway.worker.expectations import judge, plan
from keelway.worker.formats import StagedFile
from keelway.worker.tables import open_database, query
from tests.unit.worker.builders import write_csv, write_parquet

PEOPLE: Sequence[Sequence[object]] = [
    ["id", "age", "plan", "score"],
    [1, 30, "basic", 0.5],
    [2, -4, "pro", 1],
    [3, 130, "Gold", None],
    [3, 41, "pro", 7],
]


class Expect:
    """Judges expectations of files as a look at the data does: one pass for all aggregates, then the rest."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    def __call__(
        self,
        files: Mapping[str, Path],
        *,
        format_name: FileFormat = "CSV",
        baseline: int | None = None,
        memory_limit: str = "256MiB",
        seconds: float = 60,
        **expected: Any,
    ) -> dict[str, Violation]:
        """The violations by their checks."""
        with open_database(memory_limit=memory_limit, scratch=self._scratch, directories=[self._scratch]) as database:
            table = open_table(database, [StagedFile(path, local) for path, local in files.items()], format_name)
            checks = plan(Expectations.model_validate(expected), table.columns)
            wanted = ["count(*)", *(one for check in checks for one in check.aggregates)]
            [(rows, *values)] = query(database, f"SELECT {', '.join(wanted)} FROM ({table.select(strict=False)})")
            results = [[values.pop(0) for _ in check.aggregates] for check in checks]
            found = judge(
                checks,
                results,
                rows=rows,
                baseline_rows=baseline,
                database=database,
                table=table,
                seconds=seconds,
            )
        assert len({one.check for one in found}) == len(found)
        return {one.check: one for one in found}


@pytest.fixture
def expect(scratch: Path) -> Expect:
    return Expect(scratch)


@pytest.fixture
def people(scratch: Path) -> dict[str, Path]:
    return {"people.csv": write_csv(scratch / "0.csv", PEOPLE)}


def counts(found: Mapping[str, Violation]) -> dict[str, int]:
    return {check: one.violations for check, one in found.items()}


def place(violation: Violation) -> tuple[str, int]:
    assert violation.example
    return violation.example.file, violation.example.row


def test_what_holds_is_not_said(expect: Expect, people: dict[str, Path]) -> None:
    columns = [
        {"name": "id", "min": 1, "max": 3, "maxNullPercent": 0, "pattern": "[0-9]"},
        {"name": "age", "min": -4, "max": 130, "unique": True},
        {"name": "plan", "allowed": ["basic", "pro", "Gold"], "pattern": "[a-zA-Z]+"},
        {"name": "score", "maxNullPercent": 25},
    ]
    rows = {"min": 4, "max": 4, "maxDropPercent": 20}
    rules = [{"name": "no-negatives", "violation": "id < 0"}]
    assert expect(people, baseline=5, rows=rows, columns=columns, rules=rules) == {}


def test_each_expectation_of_a_column_counts_its_rows_and_points_to_the_first(
    expect: Expect, people: dict[str, Path]
) -> None:
    columns = [
        {"name": "age", "min": 0, "max": 40.5},
        {"name": "plan", "allowed": ["basic", "pro"], "pattern": "[a-z]+"},
        {"name": "score", "maxNullPercent": 24.9},
        {"name": "id", "unique": True, "severity": "Warn"},
    ]
    found = expect(people, columns=columns)
    assert {check: (one.violations, one.limit, place(one)) for check, one in found.items()} == {
        "columns.age.min": (1, "at least 0", ("people.csv", 2)),
        "columns.age.max": (2, "at most 40.5", ("people.csv", 3)),
        "columns.plan.allowed": (1, "one of basic, pro", ("people.csv", 3)),
        "columns.plan.pattern": (1, "matches [a-z]+", ("people.csv", 3)),
        "columns.score.maxNullPercent": (1, "at most 24.9 % NULL", ("people.csv", 3)),
        "columns.id.unique": (2, "no value twice", ("people.csv", 3)),
    }
    assert {one.column for one in found.values()} == {"age", "plan", "score", "id"}
    assert {check for check, one in found.items() if one.severity == "Warn"} == {"columns.id.unique"}


@pytest.mark.parametrize(
    ("rows", "baseline", "broken"),
    [
        ({"min": 5}, None, {"rows.min": 1}),
        ({"max": 1}, None, {"rows.max": 3}),
        ({"maxDropPercent": 20}, 5, {}),
        ({"maxDropPercent": 19.9}, 5, {"rows.maxDropPercent": 1}),
        ({"maxDropPercent": 0}, None, {}),
        ({"maxDropPercent": 50}, 100, {"rows.maxDropPercent": 46}),
    ],
)
def test_rows_that_are_missing_or_too_many_are_counted(
    expect: Expect, people: dict[str, Path], rows: dict[str, float], baseline: int | None, broken: dict[str, int]
) -> None:
    assert counts(expect(people, baseline=baseline, rows=rows)) == broken


def test_a_null_breaks_nothing_but_the_share_of_nulls(expect: Expect, scratch: Path) -> None:
    file = write_parquet(scratch / "0.parquet", "SELECT NULL::INTEGER AS a, NULL::VARCHAR AS b FROM range(3)")
    columns = [
        {"name": "a", "min": 1, "max": 2, "unique": True, "allowed": ["1"]},
        {"name": "b", "allowed": ["x"], "pattern": "x", "unique": True, "maxNullPercent": 99},
    ]
    found = expect({"a.parquet": file}, format_name="Parquet", columns=columns)
    assert counts(found) == {"columns.b.maxNullPercent": 3}


def test_no_rows_break_no_share(expect: Expect, scratch: Path) -> None:
    file = write_parquet(scratch / "0.parquet", "SELECT 1 AS a WHERE false")
    columns = [{"name": "a", "maxNullPercent": 0, "unique": True, "min": 5}]
    rules = [{"name": "any", "violation": "true"}]
    assert expect({"a.parquet": file}, format_name="Parquet", columns=columns, rules=rules, rows={"min": 0}) == {}


def test_a_column_that_is_not_there_names_those_that_are(expect: Expect, people: dict[str, Path]) -> None:
    columns = [{"name": "agee", "min": 0, "max": 120, "unique": True}]
    [(check, violation)] = expect(people, columns=columns).items()
    assert (check, violation.column, violation.problem) == ("columns.agee", "agee", "Invalid")
    assert "id, age, plan, score" in violation.message


def test_a_column_is_found_as_duckdb_finds_it(expect: Expect, people: dict[str, Path]) -> None:
    assert counts(expect(people, columns=[{"name": "AGE", "max": 100}])) == {"columns.AGE.max": 1}


@pytest.mark.parametrize(
    "values", ["'x'", "true", "DATE '2024-01-01'", "TIMESTAMP '2024-01-01'", "[1]", "{'a': 1}", "'x'::BLOB"]
)
def test_bounds_of_what_is_no_number_cannot_be_asked_for(expect: Expect, scratch: Path, values: str) -> None:
    file = write_parquet(scratch / "0.parquet", f"SELECT {values} AS a")
    found = expect({"a.parquet": file}, format_name="Parquet", columns=[{"name": "a", "min": 0, "max": 1}])
    assert {one.problem for one in found.values()} == {"Invalid"}
    assert counts(found) == {"columns.a.min": 0, "columns.a.max": 0}
    assert "rule" in found["columns.a.min"].message


@pytest.mark.parametrize(
    "kind",
    [
        *(f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG", "HUGE")),
        *("INTEGER", "UINTEGER", "FLOAT", "DOUBLE", "DECIMAL(4,1)", "DECIMAL(18,3)", "DECIMAL(38,0)"),
    ],
)
def test_bounds_and_lists_work_for_every_type_of_numbers_whatever_their_size(
    expect: Expect, scratch: Path, kind: str
) -> None:
    file = write_parquet(scratch / "0.parquet", f"SELECT unnest([1, 2, 100])::{kind} AS a")
    columns = [{"name": "a", "min": -1e300, "max": 99.5, "allowed": ["1", "2.0", "1e30", "x", "NaN", "1e999", "-7"]}]
    found = expect({"a.parquet": file}, format_name="Parquet", columns=columns)
    assert counts(found) == {"columns.a.max": 1, "columns.a.allowed": 1}
    columns = [{"name": "a", "min": 70000, "max": 1e300}]
    found = expect({"a.parquet": file}, format_name="Parquet", columns=columns)
    assert counts(found) == {"columns.a.min": 3}


def test_whole_numbers_are_compared_exactly(expect: Expect, scratch: Path) -> None:
    file = write_parquet(scratch / "0.parquet", f"SELECT unnest([{2**53 - 1}, {2**53 + 1}])::BIGINT AS a")
    found = expect(
        {"a.parquet": file}, format_name="Parquet", columns=[{"name": "a", "allowed": [str(2**53 - 1), str(2**53)]}]
    )
    assert counts(found) == {"columns.a.allowed": 1}
    assert place(found["columns.a.allowed"]) == ("a.parquet", 2)


def test_nan_and_infinity_break_a_maximum(expect: Expect, scratch: Path) -> None:
    file = write_parquet(scratch / "0.parquet", "SELECT unnest(['1', 'nan', 'inf', '-inf'])::DOUBLE AS a")
    found = expect({"a.parquet": file}, format_name="Parquet", columns=[{"name": "a", "min": 0, "max": 5}])
    assert counts(found) == {"columns.a.max": 2, "columns.a.min": 1}


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("unnest(['2024-01-01', '2024-01-02'])::DATE", {"allowed": ["2024-01-01"], "pattern": r"2024-01-\d\d"}),
        ("unnest(['2024-01-01', '2024-01-02 03:00:00'])::TIMESTAMP", {"allowed": ["2024-01-01"]}),
        ("unnest([true, false])", {"allowed": ["true", "true", ""]}),
        ("unnest([1.0, 2.5])::DOUBLE", {"pattern": r"\d+"}),
        ("unnest(['a', 'aa'])", {"pattern": "a"}),
        ("unnest(['it''s', 'x'])", {"allowed": ["it's"], "pattern": "i.'s"}),
    ],
)
def test_lists_and_patterns_look_at_the_text_of_a_value(
    expect: Expect, scratch: Path, select: str, expected: dict[str, Any]
) -> None:
    file = write_parquet(scratch / "0.parquet", f"SELECT {select} AS a")
    found = expect({"a.parquet": file}, format_name="Parquet", columns=[{"name": "a", **expected}])
    assert set(counts(found).values()) == {1} or "2024-01-\\d\\d" in str(expected)
    assert place(next(iter(found.values()))) == ("a.parquet", 2)


@pytest.mark.parametrize("pattern", ["(", "(?<=a)b", r"(a)\1", "a{2000}", "[z-a]"])
def test_a_pattern_that_is_not_re2_is_said_and_spoils_nothing(
    expect: Expect, people: dict[str, Path], pattern: str
) -> None:
    found = expect(people, columns=[{"name": "plan", "pattern": pattern}, {"name": "age", "max": 100}])
    assert found["columns.plan.pattern"].problem == "Invalid"
    assert found["columns.age.max"].violations == 1


def test_examples_come_from_the_first_file_and_row_that_break_it(expect: Expect, scratch: Path) -> None:
    files = {
        f"day={day}.csv": write_csv(scratch / f"{day}.csv", [["a", "b"], *rows])
        for day, rows in enumerate([[[1, "x"], [2, "x"]], [[3, "y"], [9, "x"]], [[9, "z"], [9, "z"]]])
    }
    columns = [
        {"name": "a", "max": 8, "unique": True},
        {"name": "b", "allowed": ["x"]},
    ]
    found = expect(
        files, columns=columns, rules=[{"name": "z", "violation": "b = 'z'"}, {"name": "one", "violation": "a = 1"}]
    )
    assert {check: (one.violations, place(one)) for check, one in found.items()} == {
        "columns.a.max": (3, ("day=1.csv", 2)),
        "columns.a.unique": (3, ("day=1.csv", 2)),
        "columns.b.allowed": (3, ("day=1.csv", 1)),
        "rules.z": (2, ("day=2.csv", 1)),
        "rules.one": (1, ("day=0.csv", 1)),
    }


def test_a_value_is_unique_across_files_that_call_its_column_otherwise(expect: Expect, scratch: Path) -> None:
    files = {
        "a.csv": write_csv(scratch / "0.csv", [["Key"], [1], [2]]),
        "b.csv": write_csv(scratch / "1.csv", [["other", "key"], ["x", 2]]),
    }
    found = expect(files, columns=[{"name": "key", "unique": True}])
    assert counts(found) == {"columns.key.unique": 2}
    assert place(found["columns.key.unique"]) == ("a.csv", 2)


def test_uniqueness_of_more_values_than_memory_holds_is_exact(expect: Expect, scratch: Path) -> None:
    select = "SELECT md5((i % 1499999)::VARCHAR) AS k FROM range(1500000) t(i)"
    file = write_parquet(scratch / "0.parquet", select)
    found = expect(
        {"a.parquet": file}, format_name="Parquet", memory_limit="72MiB", columns=[{"name": "k", "unique": True}]
    )
    assert counts(found) == {"columns.k.unique": 2}
    assert place(found["columns.k.unique"]) == ("a.parquet", 1)


def test_a_rule_may_let_some_rows_through(expect: Expect, people: dict[str, Path]) -> None:
    rules = [
        {"name": "two", "violation": "age < 0 OR age > 100", "maxViolations": 2},
        {"name": "one", "violation": "age < 0 OR age > 100", "maxViolations": 1, "severity": "Warn"},
    ]
    found = expect(people, rules=rules)
    assert counts(found) == {"rules.one": 2}
    assert found["rules.one"].limit == "at most 1 rows"
    assert found["rules.one"].severity == "Warn"


def test_a_rule_that_is_null_of_a_row_is_not_broken_by_it(expect: Expect, people: dict[str, Path]) -> None:
    assert counts(expect(people, rules=[{"name": "score", "violation": "score > 0.7"}])) == {"rules.score": 2}


def test_columns_named_like_keywords_can_be_judged(expect: Expect, scratch: Path) -> None:
    names = ["select", "end", 'a"b', "it's", "ünï", "from", "keelway_row", "a b", "value", "number"]
    file = write_parquet(
        scratch / "0.parquet",
        "SELECT " + ", ".join(f'{n} AS "{name.replace(chr(34), chr(34) * 2)}"' for n, name in enumerate(names)),
    )
    columns = [{"name": name, "max": -1, "allowed": ["99"], "pattern": "99", "unique": True} for name in names]
    rules = [{"name": "order", "violation": '"end" > "select" AND "a""b" > "end" AND "keelway_row" = 6'}]
    found = expect({"a.parquet": file}, format_name="Parquet", columns=columns, rules=rules)
    assert len(found) == 3 * len(names) + 1
    assert {place(one) for one in found.values()} == {("a.parquet", 1)}


def test_many_checks_are_judged_and_those_that_fail_a_version_are_kept_first(expect: Expect, scratch: Path) -> None:
    file = write_parquet(scratch / "0.parquet", "SELECT " + ", ".join(f"{n} AS c{n}" for n in range(200)))
    columns = [
        {"name": f"c{n}", "max": -1, "allowed": ["x"], "severity": "Fail" if n % 2 else "Warn"} for n in range(200)
    ]
    found = expect({"a.parquet": file}, format_name="Parquet", columns=columns)
    assert len(found) == 300
    assert [one.severity for one in found.values()] == ["Fail"] * 200 + ["Warn"] * 100


def test_messages_hold_no_values_of_the_data(expect: Expect, scratch: Path) -> None:
    secret = "secret-4711"
    file = write_csv(scratch / "0.csv", [["name", "n"], [secret, 1], [secret, 2]])
    columns = [{"name": "name", "unique": True, "allowed": ["a"], "pattern": "a", "min": 1}]
    violations: Sequence[str] = [
        "name = name",
        "name::INTEGER > 1",
        "error(name) = 'x'",
        "strptime(name, '%d') > now()",
    ]
    rules = [{"name": f"rule-{n}", "violation": text} for n, text in enumerate(violations)]
    found = expect({"a.csv": file}, columns=columns, rules=rules)
    assert len(found) == 8
    assert secret not in str([one.to_json() for one in found.values()])
    assert found["rules.rule-1"].problem == "Invalid"
    assert "TRY_CAST" in found["rules.rule-1"].message
