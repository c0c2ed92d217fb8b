"""The raw data of the demo: deterministic, worth cleaning, and judged and made whole as the examples say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dev.demo.data import HELD_BACK, tumours
from dev.demo.examples import example
from dev.demo.raw import corrupted_files, deliveries, fails, first_raw_files
from keelway.api.checks import DriftSettings, Expectations
from keelway.api.digests import sha256
from keelway.api.jobs import Checks, File, StagedTable, TransformOrder
from keelway.worker import transform
from keelway.worker.describing import Description, describe
from keelway.worker.staging import SCRATCH_VARIABLE, scratch_files

Files = Mapping[str, bytes]

LATER = {name: content for files in deliveries() for name, content in files.items()}
FIRST = range(len(tumours()) - HELD_BACK)
ALL = range(len(tumours()))


def asked() -> Checks:
    """What the example expects."""
    spec = example("dataset", {})["spec"]
    return Checks(expectations=Expectations(**spec["expectations"]), drift=DriftSettings(**spec["drift"]))


def described(files: Files, scratch: Path, checks: Checks) -> Description:
    """What a look at the example's source finds when it holds these files."""
    staged = list(scratch_files([File(path=name, size=len(files[name])) for name in sorted(files)], scratch, "CSV"))
    for file in staged:
        file.local.parent.mkdir(parents=True, exist_ok=True)
        file.local.write_bytes(files[file.path])
    return describe(
        staged,
        format_name="CSV",
        rules=(),
        key="",
        checks=checks,
        coverage=1.0,
        memory_limit="512MiB",
        scratch=scratch,
    )


def cleaned(files: Files, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The rows that the example's query makes of these files, run as a derivation runs it."""
    raw, output = folder / "raw", folder / "output"
    raw.mkdir()
    for name, content in files.items():
        (raw / name).write_bytes(content)
    columns = described(files, folder, Checks()).columns
    monkeypatch.setenv(SCRATCH_VARIABLE, str(folder))
    query = example("dataset-clean", {})["spec"]["derive"]["sql"]
    given = StagedTable(name="raw", directory=str(raw), format="CSV", columns=columns)
    transform.run(TransformOrder(sql=query, inputs=(given,), output_dir=str(output)))
    return duckdb.execute(f"FROM '{output}/*.parquet'").fetchall()


def test_the_bytes_are_the_same_each_time() -> None:
    files = {**first_raw_files(), **LATER, **corrupted_files()}
    assert {name: sha256(content)[:12] for name, content in files.items()} == {
        "part-1.csv": "981ed9a04c3e",
        "part-2.csv": "6aa3a7590dac",
        "part-3.csv": "fcffbe760d68",
        "part-4.csv": "9d618d8cccfc",
        "part-5.csv": "ac0705fcfdb0",
    }


def test_cleaning_gives_every_good_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = sorted(tumours()[place] for place in ALL if not fails(place))
    assert cleaned(first_raw_files() | LATER, tmp_path, monkeypatch) == good
    assert len(good) == 554
    assert len([place for place in FIRST if not fails(place)]) == 457


@pytest.mark.parametrize(("files", "rows"), [(first_raw_files(), 488), (first_raw_files() | LATER, 592)])
def test_the_raw_data_meets_what_is_expected_of_it(files: Files, rows: int, tmp_path: Path) -> None:
    found = described(files, tmp_path, asked())
    assert (found.rows, found.violations) == (rows, ())


def test_the_corrupted_batch_breaks_what_is_expected(tmp_path: Path) -> None:
    found = described(first_raw_files() | corrupted_files(), tmp_path, asked())
    assert [(violation.check, violation.violations, violation.severity) for violation in found.violations] == [
        ("columns.sample_id.maxNullPercent", 6, "Fail"),
        ("columns.target.allowed", 15, "Fail"),
        ("rules.impossible-radius", 67, "Fail"),
    ]
