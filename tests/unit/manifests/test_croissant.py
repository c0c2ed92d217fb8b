"""A version as Croissant: valid for mlcroissant, readable with it, and nothing in it but what the record says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import mlcroissant
import pytest

from keelway.api.dataset_version import DatasetVersion
from keelway.api.digests import canonical_json
from keelway.api.jobs import File
from keelway.manifests.croissant import MOST_FILES, croissant

Columns = Sequence[tuple[str, str]]

SHA256 = "d" * 64
TYPES = ("bigint", "double", "varchar", "decimal(18,3)", "timestamp with time zone", "double[]")
RECOMMENDED_AND_UNKNOWN = {"license", "citeAs"}
"""A record knows no licence and no citation, so nothing is said of them."""


def version(*, format: str = "CSV", columns: Columns = (), files: int = 1, **spec: Any) -> DatasetVersion:
    """Version 7 of `churn`, in s3://lake/churn/."""
    return DatasetVersion.model_validate(
        {
            "metadata": {"name": "churn-v7-0123abcd", "creationTimestamp": "2026-11-24T10:00:00Z"},
            "spec": {
                "dataset": {"name": "churn", "uid": "1"},
                "version": 7,
                "digest": "listing:sha256:" + "a" * 64,
                "source": {"uri": "s3://lake/churn/", "format": format},
                "manifest": {"files": files, "bytes": 3000, "ref": {"configMap": "files"}, "sha256": SHA256},
                "schema": {
                    "digest": "sha256:" + "b" * 64,
                    "columns": [{"name": name, "type": type_} for name, type_ in columns],
                    "total": len(columns),
                },
                "rows": 12,
                **spec,
            },
        }
    )


def listed(*paths: str, sha256: str = SHA256) -> list[File]:
    return [File(path=path, size=3, etag="e", sha256=sha256) for path in paths]


def validated(document: dict[str, Any]) -> mlcroissant.Metadata:
    """What mlcroissant makes of a document that has travelled as JSON; it raises on errors."""
    metadata = mlcroissant.Dataset(jsonld=json.loads(json.dumps(document))).metadata
    issues = metadata.ctx.issues
    assert issues.errors == set()
    assert all(any(name in warning for name in RECOMMENDED_AND_UNKNOWN) for warning in issues.warnings)
    assert metadata.ctx.is_v1_1()
    return metadata


@pytest.mark.parametrize(
    ("format", "paths"),
    [
        ("CSV", ["part-1.csv", "part-2.csv"]),
        ("CSV", ["Größen & Maße.csv", 'a "quoted" name.csv', "it's [1].csv", "日本.csv"]),
        ("Parquet", ["year=2024/part-1.parquet"]),
        ("JSONLines", ["events.jsonl.gz"]),
        ("Images", ["cats/1.png", "dogs/2.jpg"]),
        ("Files", ["notes.txt", "model.bin"]),
    ],
)
def test_every_format_is_valid(format: str, paths: list[str]) -> None:
    columns = [("age", "bigint")] if format in ("CSV", "Parquet", "JSONLines") else []
    metadata = validated(croissant(version(format=format, columns=columns, files=len(paths)), "churn", listed(*paths)))
    files = [node for node in metadata.distribution if isinstance(node, mlcroissant.FileObject)]
    assert [file.content_url for file in files] == [f"s3://lake/churn/{path}" for path in paths]
    assert {file.sha256 for file in files} == {SHA256}
    assert metadata.version == "7.0.0"


def test_every_column_is_a_field_with_its_type() -> None:
    names = ["age", 'a "quoted" name', "Größe", "two words", "back\\slash", "~1"]
    columns = list(zip(names, TYPES, strict=True))
    (rows,) = validated(croissant(version(columns=columns), "churn", listed("a.csv"))).record_sets
    assert [field.name for field in rows.fields] == names
    assert [field.source.extract.column for field in rows.fields] == names
    assert len({field.id for field in rows.fields}) == len(names)
    assert [str(field.data_types[0]).rpartition("/")[2] for field in rows.fields] == [
        "Int64",
        "Float64",
        "Text",
        "Float",
        "DateTime",
        "Text",
    ]


def test_a_column_without_a_name_is_left_out_and_counted() -> None:
    made = version(columns=[("", "bigint"), ("age", "bigint")])
    (rows,) = validated(croissant(made, "churn", listed("a.csv"))).record_sets
    assert [field.name for field in rows.fields] == ["age"]
    assert rows.description == "12 rows of 2 columns, of which 1 are described here"


def test_splits_are_a_record_set_of_their_own() -> None:
    rules = [{"name": "train", "percent": 80}, {"name": "holdout", "percent": 20}]
    shares = [{"name": "train", "rows": 9}, {"name": "holdout", "rows": 3}]
    made = version(columns=[("age", "bigint")], splits=shares, splitRule={"key": "customer", "rules": rules})
    _, splits = validated(croissant(made, "churn", listed("a.csv"))).record_sets
    assert [(row["splits/name"], row["splits/rows"], row["splits/percent"]) for row in splits.data] == [
        ("train", 9, 80),
        ("holdout", 3, 20),
    ]


def test_a_file_without_its_sha256_may_change() -> None:
    files = [*listed("a.csv"), *listed("b.csv", sha256="")]
    assert croissant(version(files=2), "churn", files)["isLiveDataset"] is True
    assert croissant(version(files=2), "churn", listed("a.csv", "b.csv"))["isLiveDataset"] is False
    validated(croissant(version(files=2), "churn", files))


def test_more_files_than_can_be_listed_are_a_glob() -> None:
    files = listed(*(f"part-{number:03}.csv" for number in range(MOST_FILES)))
    document = croissant(version(columns=[("age", "bigint")], files=MOST_FILES + 1), "churn", files)
    (described,) = validated(document).distribution
    assert described.includes == [
        f"{depth}{end}" for end in (".csv", ".csv.gz", ".tsv", ".tsv.gz") for depth in ("*", "**/*")
    ]
    chosen = {"uri": "s3://lake/churn/", "format": "CSV", "include": ["2024/*.csv"], "exclude": ["*bad*"]}
    (described,) = validated(croissant(version(files=MOST_FILES + 1, source=chosen), "churn", files)).distribution
    assert (described.includes, described.excludes) == (["2024/*.csv"], ["*bad*"])


def test_500_columns_of_the_longest_names_fit_beside_a_profile() -> None:
    columns = [(f"{number:03}" + "ü" * 250, "double") for number in range(500)]
    files = listed(*("ß" * 500 + f"{number}.csv" for number in range(MOST_FILES)))
    document = croissant(version(columns=columns, files=len(files)), "churn", files)
    assert len(canonical_json(document)) < 300_000
    (rows,) = validated(document).record_sets
    assert 100 < len(rows.fields) < 500
    assert f"of which {len(rows.fields)} are described" in rows.description


def test_500_columns_of_usual_names_are_all_there() -> None:
    columns = [(f"measure_{number}", "double") for number in range(500)]
    (rows,) = validated(croissant(version(columns=columns), "churn", listed("a.csv"))).record_sets
    assert len(rows.fields) == 500


@pytest.mark.parametrize(
    ("source", "path", "url"),
    [
        ({"uri": "pvc://claim/data"}, "a b.csv", "pvc://claim/data/a b.csv"),
        ({"uri": "https://data.example.com/all.csv"}, "all.csv", "https://data.example.com/all.csv"),
        ({"uri": "https://data.example.com/a%20b.csv?v=1"}, "a b.csv", "https://data.example.com/a%20b.csv?v=1"),
        ({"uri": "https://data.example.com/manifest.json"}, "x/a b:c.csv", "https://data.example.com/x/a%20b%3Ac.csv"),
        ({"uri": "hf://datasets/ann/iris", "revision": "c0ffee"}, "a.csv", "hf://datasets/ann/iris@c0ffee/a.csv"),
        ({"uri": "hf://datasets/ann/iris/raw/", "revision": "c0"}, "a.csv", "hf://datasets/ann/iris@c0/raw/a.csv"),
    ],
)
def test_a_file_is_where_its_source_has_it(source: dict[str, str], path: str, url: str) -> None:
    document = croissant(version(source={**source, "format": "CSV"}), "churn", listed(path))
    assert document["distribution"][0]["contentUrl"] == url


def test_the_inputs_of_a_derived_version_are_named() -> None:
    raw = {
        "name": "raw",
        "dataset": "churn-raw",
        "datasetVersion": "churn-raw-v3-ab",
        "digest": "listing:sha256:" + "c" * 64,
    }
    document = croissant(version(derivedFrom=[raw]), "churn", listed("a.csv"))
    assert document["isBasedOn"] == [f"churn-raw: churn-raw-v3-ab, listing:sha256:{'c' * 64}"]
    validated(document)


@pytest.mark.parametrize("format", ["CSV", "JSONLines"])
def test_mlcroissant_reads_the_rows_of_staged_files(format: str, tmp_path: Path) -> None:
    suffix, kind = {"CSV": ("csv", "csv"), "JSONLines": ("jsonl", "json")}[format]
    names = [f"part 1.{suffix}", f"sub/größe [2].{suffix}"]
    (tmp_path / "sub").mkdir()
    for number, name in enumerate(names):
        rows = f"SELECT {number}::BIGINT AS id, 'k{number}' AS \"two words\""
        duckdb.execute(f"COPY ({rows}) TO '{tmp_path / name}' (FORMAT {kind})")
    (tmp_path / "not-of-it.csv").write_text("id,two words\n9,k9\n")
    made = version(format=format, columns=[("id", "bigint"), ("two words", "varchar")], files=2)
    (tmp_path / "croissant.json").write_text(json.dumps(croissant(made, "churn", listed(*names))))
    assert sorted(read(tmp_path / "croissant.json")) == [(0, b"k0"), (1, b"k1")]


def read(document: Path) -> Iterator[tuple[int, bytes]]:
    for row in mlcroissant.Dataset(jsonld=str(document)).records("rows"):
        yield row["rows/id"], row["rows/~1"]
