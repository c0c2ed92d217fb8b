"""The demo's data: the Breast Cancer Wisconsin (Diagnostic) data set, 569 tumours with 30 measures each.

From W. N. Street, W. H. Wolberg, O. L. Mangasarian, "Nuclear feature extraction for breast tumor diagnosis", 1993; it
comes with scikit-learn. The column `target` is 1 for benign tumours and 0 for malignant ones.
"""

import csv
import io
import tempfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias

import duckdb
import obstore
from obstore.store import ObjectStore
from sklearn.datasets import load_breast_cancer

Row: TypeAlias = tuple[float, ...]

LABEL = "target"
HELD_BACK = 100
"""Rows that arrive later, when somebody asks for new data."""


@cache
def columns() -> tuple[str, ...]:
    """The names of the 30 measures, then the label's."""
    return (*(str(name).replace(" ", "_") for name in load_breast_cancer().feature_names), LABEL)


@cache
def tumours() -> tuple[Row, ...]:
    """All 569 rows: 30 measures and the label."""
    bunch = load_breast_cancer()
    return tuple((*map(float, x), float(y)) for x, y in zip(bunch.data, bunch.target, strict=True))


def as_csv(rows: Sequence[Row]) -> bytes:
    """Rows as CSV with a header; the label as a whole number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns())
    writer.writerows((*row[:-1], int(row[-1])) for row in rows)
    return text.getvalue().encode()


def as_parquet(rows: Sequence[Row]) -> bytes:
    """The same rows as Parquet."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "rows.csv"), Path(folder, "rows.parquet")
        source.write_bytes(as_csv(rows))
        duckdb.execute(f"COPY (SELECT * FROM read_csv('{source}')) TO '{target}' (FORMAT parquet)")
        return target.read_bytes()


def upload(store: ObjectStore, prefix: str, files: dict[str, bytes]) -> None:
    """Write files below a prefix of a bucket; the same content again changes no ETag."""
    for name, content in files.items():
        obstore.put(store, f"{prefix}/{name}", content)


def remove(store: ObjectStore, prefix: str, names: Iterable[str]) -> None:
    """Take files below a prefix away; those that are not there are no matter."""
    obstore.delete(store, [f"{prefix}/{name}" for name in names])


def empty(store: ObjectStore) -> None:
    """Take all files of a bucket away."""
    for page in obstore.list(store):
        obstore.delete(store, [entry["path"] for entry in page])


def paths(store: ObjectStore, prefix: str) -> set[str]:
    """The files below a prefix, by their paths there."""
    found = [entry["path"] for page in obstore.list(store, prefix) for entry in page]
    return {path.removeprefix(f"{prefix}/") for path in found}
