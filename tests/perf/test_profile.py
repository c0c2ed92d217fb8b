"""The profile and 20 expectations of ten million rows, beside pandas' `describe` and the same checks in pandera."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dev.environments import python_of
from keelway.api.checks import Expectations
from keelway.api.jobs import Checks, Location, ObserveOrder, ObserveReport, Source
from keelway.api.profile import Profile
from tests.perf.conftest import Note
from tests.perf.running import Measured, Runner, measure

ROWS = 10_000_000
MEMORY_LIMIT = "256MiB"
MOST_BYTES = 512 * 2**20
LESS_TIME, LESS_MEMORY = 3, 4
COUNTRIES = [f"country-{number:02}" for number in range(30)]
COLUMNS = """
    i AS id,
    'customer-' || (hash(i) % 2000000) AS customer,
    CASE WHEN hash(i, 1) % 50 > 0 THEN (18 + hash(i, 2) % 63 + (hash(i, 9) % 10000 = 0)::INT * 70)::INT END AS age,
    round(exp(3 + sqrt(-2 * ln((1 + hash(i, 3) % 1000000) / 1000001.0)) * cos(i)), 2) AS amount,
    (hash(i, 4) % 1000003) / 1000003.0 AS score,
    'country-' || lpad(CASE WHEN i % 9973 = 0 THEN 29 ELSE hash(i, 5) % 29 END::VARCHAR, 2, '0') AS country,
    'user' || i || CASE WHEN hash(i, 6) % 10000 > 0 THEN '@example.com' ELSE ' at example.com' END AS email,
    hash(i, 7) % 3 = 0 AS active,
    TIMESTAMP '2024-01-01' + to_seconds(i) AS seen,
    DATE '2020-01-01' + (hash(i, 8) % 1500)::INTEGER AS signup
"""
EXPECTED: Mapping[str, dict[str, Any]] = {
    "id": {"min": 1, "max": ROWS, "maxNullPercent": 0},
    "customer": {"pattern": r"customer-[0-9]+", "maxNullPercent": 0},
    "age": {"min": 18, "max": 80, "maxNullPercent": 5},
    "amount": {"min": 0, "max": 1000, "maxNullPercent": 0},
    "score": {"min": 0, "max": 1, "maxNullPercent": 0},
    "country": {"allowed": COUNTRIES[:-1], "maxNullPercent": 0},
    "email": {"pattern": r"[^@ ]+@[^@ ]+", "maxNullPercent": 0},
    "active": {"maxNullPercent": 0},
    "seen": {"maxNullPercent": 0},
}
PANDERA = {"min": "ge", "max": "le", "allowed": "isin", "pattern": "str_matches"}


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A directory with the file; removed at the end."""
    path = tmp_path / "data" / "people.parquet"
    path.parent.mkdir()
    with duckdb.connect(config={"memory_limit": "2GiB"}) as database:
        database.execute(f"COPY (SELECT {COLUMNS} FROM range({ROWS}) t(i)) TO '{path}' (FORMAT parquet)")
    yield path
    path.unlink()


@pytest.fixture(scope="session")
def pandas_python() -> Path:
    """The Python of an environment that holds what `requirements/perf.lock` says, and nothing of Keelway's."""
    return python_of("perf")


def expectations() -> Expectations:
    """Those of EXPECTED: each number, list, pattern and percentage is one."""
    return Expectations.model_validate({"columns": [{"name": name, **wanted} for name, wanted in EXPECTED.items()]})


def in_pandera() -> str:
    """The same ones, for `pandas_checks`."""
    checks = {
        name: [
            {"check": PANDERA[part], "value": f"^(?:{value})$" if part == "pattern" else value}
            for part, value in wanted.items()
            if part != "maxNullPercent"
        ]
        + [{"check": "not_null"}] * (wanted.get("maxNullPercent") == 0)
        for name, wanted in EXPECTED.items()
    }
    return json.dumps(checks)


def describe_with_pandas(python: Path, path: Path, output: Path) -> Measured:
    """pandas and pandera on the same file."""
    return measure([str(python), str(Path(__file__).with_name("pandas_checks.py")), str(path), in_pandera()], output)


@pytest.mark.timeout(1800)
def test_profile_and_twenty_expectations_of_ten_million_rows(
    data: Path, runner: Runner, pandas_python: Path, note: Note, tmp_path: Path
) -> None:
    assert sum(map(len, EXPECTED.values())) == 20
    order = ObserveOrder(
        source=Source(location=Location(mount=str(data.parent))),
        checks=Checks(expectations=expectations()),
        memory_limit=MEMORY_LIMIT,
    )
    ran = runner("observe", order)
    worker, report = ran.measured, ObserveReport.model_validate_json(ran.report)
    with_pandas = describe_with_pandas(pandas_python, data, tmp_path / "pandas")
    found = json.loads(with_pandas.output.splitlines()[-1])

    time, memory = with_pandas.seconds / worker.seconds, with_pandas.peak_bytes / worker.peak_bytes
    note(
        file_mib=data.stat().st_size >> 20,
        seconds=round(worker.seconds, 2),
        mib=worker.peak_bytes >> 20,
        pandas_seconds=round(with_pandas.seconds, 2),
        pandas_mib=with_pandas.peak_bytes >> 20,
        less_time=round(time, 2),
        less_memory=round(memory, 2),
    )
    profile = Profile.model_validate_json(report.profile)
    assert (profile.rows, len(profile.columns)) == (found["rows"], found["described"]) == (ROWS, 10)
    violations = {one.check: one.violations for one in report.violations}
    assert sorted(violations.values()) == sorted(found["failures"].values()), (violations, found)
    assert len(violations) == 5
    assert worker.peak_bytes < MOST_BYTES
    assert time >= LESS_TIME
    assert memory >= LESS_MEMORY
