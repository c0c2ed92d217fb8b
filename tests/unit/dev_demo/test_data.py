"""The demo's data: real, complete, the same in every format, and the same bytes each time."""

from pathlib import Path

import duckdb
import obstore
from obstore.store import MemoryStore

from dev.demo.data import LABEL, as_csv, as_parquet, columns, remove, tumours, upload


def test_it_is_the_whole_data_set() -> None:
    assert len(tumours()) == 569
    assert len(columns()) == 31
    assert [int(row[-1]) for row in tumours()].count(0) == 212
    assert all(" " not in name for name in columns())


def test_csv_and_parquet_hold_the_same_table(tmp_path: Path) -> None:
    rows = tumours()[:50]
    (tmp_path / "a.csv").write_bytes(as_csv(rows))
    (tmp_path / "a.parquet").write_bytes(as_parquet(rows))
    described, read = zip(*(table(tmp_path / f"a.{kind}") for kind in ("csv", "parquet")), strict=True)
    assert described[0] == described[1]
    assert [column[0] for column in described[0]] == list(columns())
    assert read[0] == read[1]
    assert {row[columns().index(LABEL)] for row in read[0]} == {0, 1}


def table(file: Path) -> tuple[list[tuple[str, ...]], list[tuple[float, ...]]]:
    """Columns with their types, and rows, as DuckDB reads a file."""
    described = duckdb.execute(f"DESCRIBE SELECT * FROM '{file}'").fetchall()
    return described, duckdb.execute(f"SELECT * FROM '{file}'").fetchall()


def test_uploading_again_changes_no_object() -> None:
    store, files = MemoryStore(), {"a.csv": as_csv(tumours()[:5])}
    for _ in range(2):
        upload(store, "tumours", files)
        assert bytes(obstore.get(store, "tumours/a.csv").bytes()) == files["a.csv"]


def test_files_that_are_removed_are_gone_and_others_stay() -> None:
    store = MemoryStore()
    upload(store, "tumours", {"a.csv": b"a", "b.csv": b"b"})
    remove(store, "tumours", ["a.csv"])
    assert [entry["path"] for page in obstore.list(store) for entry in page] == ["tumours/b.csv"]
