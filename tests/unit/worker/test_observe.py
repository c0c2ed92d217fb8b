"""`observe`: what a source holds, and whether it is what was seen before."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from keelway.api.digests import content_digest, listing_digest, sha256
from tests.unit.worker.builders import PEOPLE, Bucket, Observer, write_csv, write_parquet


def test_a_csv_in_a_bucket_is_described(bucket: Bucket, observe: Observer) -> None:
    bucket.put("data/people.csv", PEOPLE)
    seen = observe(bucket.location())
    assert seen.verdict.outcome == "Observed"
    assert (seen.verdict.files, seen.verdict.bytes, seen.verdict.rows) == (1, len(PEOPLE), 3)
    assert seen.columns == {"id": "bigint", "name": "varchar", "age": "bigint", "score": "double", "joined": "date"}
    assert seen.nullable == {"age"}


def test_the_manifest_lists_each_file_with_the_digest_of_its_bytes(bucket: Bucket, observe: Observer) -> None:
    bucket.put("data/b.csv", "x\n1\n")
    bucket.put("data/a/a.csv", "x\n22\n")
    seen = observe(bucket.location())
    assert seen.report
    assert [(file.path, file.size, file.sha256) for file in seen.files.values()] == [
        ("a/a.csv", 5, sha256(b"x\n22\n")),
        ("b.csv", 4, sha256(b"x\n1\n")),
    ]
    assert all(file.etag for file in seen.files.values())
    assert seen.report.manifest_sha256 == sha256(b"".join(seen.parts))


def test_a_bucket_is_named_by_its_listing(bucket: Bucket, observe: Observer) -> None:
    bucket.put("data/a.csv", "x\n1\n")
    seen = observe(bucket.location())
    assert seen.verdict.digest == listing_digest((file.path, file.size, file.etag) for file in seen.files.values())
    assert seen.verdict.listing == seen.verdict.digest


def test_a_volume_is_named_by_its_bytes(volume: Path, observe: Observer) -> None:
    write_csv(volume / "sub" / "a.csv", [["x"], [1]])
    seen = observe(volume)
    assert seen.verdict.digest == content_digest([("sub/a.csv", 4, sha256(b"x\n1\n"))])
    assert seen.verdict.listing.startswith("listing:sha256:")


def test_a_bucket_whose_server_has_no_etags_is_named_by_its_bytes(bucket: Bucket, observe: Observer) -> None:
    bucket.put_without_etag("data/a.csv", "x\n1\n")
    assert observe(bucket.location()).verdict.digest == content_digest([("a.csv", 4, sha256(b"x\n1\n"))])


def test_the_newest_file_says_when_data_was_written_last(volume: Path, observe: Observer) -> None:
    for name, seconds in (("old.csv", 1_700_000_000), ("new.csv", 1_700_086_400)):
        os.utime(write_csv(volume / name, [["x"], [1]]), (seconds, seconds))
    assert observe(volume).verdict.newest == "2023-11-15T22:13:20Z"


def test_what_is_not_read_makes_data_no_fresher(volume: Path, observe: Observer) -> None:
    for name, seconds in (("a.csv", 1_700_086_400), ("_SUCCESS", 1_800_000_000), ("b.tmp", 1_800_000_000)):
        os.utime(write_csv(volume / name, [["x"], [1]]), (seconds, seconds))
    assert observe(volume, exclude=["*.tmp"]).verdict.newest == "2023-11-15T22:13:20Z"


def test_neighbours_of_the_prefix_are_not_part_of_it(bucket: Bucket, observe: Observer) -> None:
    bucket.put("data/people.csv", PEOPLE)
    bucket.put("data-old/people.csv", "other\n1\n")
    assert observe(bucket.location("data")).verdict.files == 1


def test_a_whole_bucket_is_a_source(bucket: Bucket, observe: Observer) -> None:
    bucket.put("people.csv", PEOPLE)
    assert observe(bucket.location("")).verdict.rows == 3


NAMES = ["día 1%20.csv", "a#b?.csv", "x[1]*.csv", "sub dir/ü{q}~'\"\\.csv", "key=v[a]l*ue/日本.csv"]


def test_names_with_spaces_unicode_and_wildcards_in_a_bucket(bucket: Bucket, observe: Observer) -> None:
    for number, name in enumerate(NAMES):
        bucket.put(f"my data/ünï/{name}", f"x\n{number}\n")
    seen = observe(bucket.location("my data/ünï/"))
    assert (seen.verdict.files, seen.verdict.rows) == (len(NAMES), len(NAMES))


def test_names_with_spaces_unicode_and_wildcards_on_a_volume(volume: Path, observe: Observer) -> None:
    for number, name in enumerate(NAMES):
        write_csv(volume / name, [["x"], [number]])
    seen = observe(volume)
    assert (seen.verdict.files, seen.verdict.rows) == (len(NAMES), len(NAMES))


def test_parquet_files_are_united_by_name(volume: Path, observe: Observer) -> None:
    write_parquet(volume / "1.parquet", "SELECT 1::INTEGER AS id, 'x' AS name")
    write_parquet(volume / "2.parquet", "SELECT 2.5::DOUBLE AS score, 7::BIGINT AS ID")
    seen = observe(volume)
    assert seen.report
    assert seen.report.format == "Parquet"
    assert seen.columns == {"id": "bigint", "name": "varchar", "score": "double"}
    assert seen.nullable == {"name", "score"}
    assert seen.verdict.rows == 2


def test_parquet_declares_which_columns_lack_values(volume: Path, observe: Observer) -> None:
    select = "SELECT {'a': 1, 'b': [1, NULL]} AS nested, 1 AS id, i AS maybe FROM (VALUES (1), (NULL)) t(i)"
    write_parquet(volume / "1.parquet", select)
    seen = observe(volume)
    assert seen.nullable == {"maybe"}
    assert seen.columns["nested"] == "struct(a integer, b integer[])"


def test_csv_files_with_other_orders_of_columns_are_united_by_name(volume: Path, observe: Observer) -> None:
    write_csv(volume / "1.csv", [["a", "b"], [1, "x"]])
    write_csv(volume / "2.csv", [["b", "a", "c"], ["y", 2.5, "2024-01-01"]])
    seen = observe(volume)
    assert seen.columns == {"a": "double", "b": "varchar", "c": "date"}
    assert seen.nullable == {"c"}


def test_gzip_csv(bucket: Bucket, observe: Observer) -> None:
    bucket.put("data/people.csv.gz", gzip.compress(PEOPLE.encode()))
    bucket.put("data/more.csv", PEOPLE)
    seen = observe(bucket.location())
    assert seen.verdict.rows == 6
    assert seen.columns["joined"] == "date"


@pytest.mark.parametrize(
    ("name", "text", "columns"),
    [
        pytest.param("a.csv", "a;b\n1;2,5\n", {"a": "bigint", "b": "varchar"}, id="semicolons"),
        pytest.param("a.tsv", "a\tb,c\n1\t2\n", {"a": "bigint", "b,c": "bigint"}, id="tabs"),
        pytest.param("a.csv", "\ufeffa|b\r\n1|x\r\n", {"a": "bigint", "b": "varchar"}, id="byte order mark, CRLF"),
        pytest.param("a.csv", '"a;;;","b\nc"\n1,"x, ""y"""\n', {"a;;;": "bigint", "b\nc": "varchar"}, id="quotes"),
        pytest.param("a.csv", "only\n1\n2\n", {"only": "bigint"}, id="one column"),
        pytest.param("a.csv", "1,x\n2,y\n", {"column0": "bigint", "column1": "varchar"}, id="no header"),
        pytest.param("a.csv", "a,b\n", {"a": "varchar", "b": "varchar"}, id="no rows"),
        pytest.param("a.csv", "id,#x\n#1,#y\n", {"id": "varchar", "#x": "varchar"}, id="no comments"),
        pytest.param("a.csv", "d,t\n13/02/2024,13/02/2024 10:00:00\n", {"d": "varchar", "t": "varchar"}, id="not ISO"),
        pytest.param(
            "a.csv",
            "t,z\n2024-01-02 03:04:05,2024-01-02T03:04:05+02:00\n",
            {"t": "timestamp", "z": "timestamp with time zone"},
            id="timestamps",
        ),
        pytest.param("a.csv", "a,b\n1,2\n\n3,4\n", {"a": "bigint", "b": "bigint"}, id="blank line"),
    ],
)
def test_shapes_of_csv(volume: Path, observe: Observer, name: str, text: str, columns: dict[str, str]) -> None:
    (volume / name).write_text(text, newline="")
    assert observe(volume).columns == columns


def test_types_are_judged_by_all_lines(volume: Path, observe: Observer) -> None:
    write_csv(volume / "a.csv", [["code", "n"], *([number, 1] for number in range(30_000)), ["A1", 1]])
    seen = observe(volume)
    assert seen.columns == {"code": "varchar", "n": "bigint"}
    assert seen.verdict.rows == 30_001


def test_a_column_without_values_in_a_file_has_no_say_in_its_type(volume: Path, observe: Observer) -> None:
    write_csv(volume / "1.csv", [["a", "b"], [None, "x"]])
    write_csv(volume / "2.csv", [["a", "b"], [1, None]])
    write_csv(volume / "3.csv", [["a", "b"]])
    seen = observe(volume)
    assert seen.columns == {"a": "bigint", "b": "varchar"}
    assert seen.nullable == {"a", "b"}


def test_a_parquet_column_without_values_has_no_say_either(volume: Path, observe: Observer) -> None:
    write_parquet(volume / "1.parquet", "SELECT 1 AS id, NULL::INTEGER AS note")
    write_parquet(volume / "2.parquet", "SELECT 2 AS id, 'x' AS note")
    assert observe(volume).columns == {"id": "integer", "note": "varchar"}


def test_five_hundred_columns(volume: Path, observe: Observer) -> None:
    names = [f"größe \"{number}'" if number % 2 else f"c{number}" for number in range(500)]
    header = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    rows = "".join(",".join(str(row * column) for column in range(500)) + "\n" for row in range(40))
    (volume / "wide.csv").write_text(f"{header}\n{rows}")
    seen = observe(volume, order={"splits": [{"name": "train", "percent": 50}]})
    assert list(seen.columns) == names
    assert seen.verdict.rows == 40
    assert 0 < seen.rows["train"] < 40


def test_key_value_directories_are_columns(volume: Path, observe: Observer) -> None:
    for month, region in (("01", "eu west"), ("__HIVE_DEFAULT_PARTITION__", "a%2Fb[c]")):
        write_csv(volume / f"month={month}" / f"region={region}" / "a.csv", [["x"], [1]])
    seen = observe(volume)
    assert seen.columns == {"x": "bigint", "month": "bigint", "region": "varchar"}
    assert seen.nullable == {"month"}


def test_directories_that_only_some_files_have_are_not_columns(volume: Path, observe: Observer) -> None:
    write_parquet(volume / "day=2024-01-01" / "a.parquet", "SELECT 1 AS x")
    assert observe(volume).columns == {"x": "integer", "day": "date"}
    write_parquet(volume / "b.parquet", "SELECT 1 AS x")
    assert observe(volume).columns == {"x": "integer"}


def test_the_scratch_directory_is_left_empty(volume: Path, observe: Observer, scratch: Path) -> None:
    write_csv(volume / "1.csv", [["a"], [1]])
    observe(volume)
    assert list(scratch.iterdir()) == []
