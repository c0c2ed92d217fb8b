"""Which files of a listing are the data."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from keelway.api.jobs import File, Location, Source
from keelway.worker.errors import WorkerError
from keelway.worker.selection import format_of, is_hidden, portion, select
from keelway.worker.storage import READ, open_storage
from tests.unit.worker.builders import Bucket, ListingServer, Observer, write_parquet

LISTING = ["a.csv", "b.parquet", "sub/a.csv", "sub/deep/c.csv", "my dir/ü 1.csv", "x[1].csv"]


def files(*paths: str) -> list[File]:
    return [File(path=path, size=1, etag="e") for path in paths]


@pytest.mark.parametrize(
    ("path", "hidden"),
    [
        ("_SUCCESS", True),
        (".part-0.crc", True),
        ("_temporary/0/part.csv", True),
        ("sub/.ipynb_checkpoints/a.csv", True),
        ("_delta_log/0.json", True),
        ("_year=2024/a.csv", False),
        ("a_b/c.d/e.csv", False),
    ],
)
def test_hidden_files(path: str, hidden: bool) -> None:
    assert is_hidden(path) is hidden


@pytest.mark.parametrize(
    ("include", "exclude", "chosen"),
    [
        ((), (), LISTING),
        (("*.csv",), (), ["a.csv", "x[1].csv"]),
        (("**/*.csv",), (), ["a.csv", "sub/a.csv", "sub/deep/c.csv", "my dir/ü 1.csv", "x[1].csv"]),
        (("sub/**",), (), ["sub/a.csv", "sub/deep/c.csv"]),
        (("sub/*",), (), ["sub/a.csv"]),
        (("my dir/ü ?.csv",), (), ["my dir/ü 1.csv"]),
        (("x[[]1].csv",), (), ["x[1].csv"]),
        (("*.{csv,parquet}",), (), ["a.csv", "b.parquet", "x[1].csv"]),
        (("a.csv", "b.*"), (), ["a.csv", "b.parquet"]),
        ((), ("**/a.csv",), ["b.parquet", "sub/deep/c.csv", "my dir/ü 1.csv", "x[1].csv"]),
        (("**/*.csv",), ("sub/**", "x*"), ["a.csv", "my dir/ü 1.csv"]),
    ],
)
def test_globs(include: tuple[str, ...], exclude: tuple[str, ...], chosen: list[str]) -> None:
    source = Source(location=Location(mount="/data"), include=include, exclude=exclude)
    assert [file.path for file in select(files(*LISTING), source)] == chosen


@pytest.mark.parametrize(
    ("asked", "paths", "found"),
    [
        ("Auto", ["a.csv", "b.CSV", "c.csv.gz", "d.tsv"], "CSV"),
        ("Auto", ["a.parquet", "b.pq"], "Parquet"),
        ("CSV", ["data.txt", "more"], "CSV"),
        ("Parquet", ["000000_0"], "Parquet"),
        ("Auto", ["a.jsonl", "b.ndjson.gz"], "JSONLines"),
        ("JSONLines", ["a.json"], "JSONLines"),
        ("Auto", ["cat/1.png", "dog/2.JPG"], "Images"),
        ("Files", ["a.csv", "b.parquet", "README"], "Files"),
    ],
)
def test_the_format(asked: str, paths: list[str], found: str) -> None:
    source = Source.model_validate({"location": {"mount": "/data"}, "format": asked})
    assert format_of(files(*paths), source) == found


@pytest.mark.parametrize(
    ("asked", "path", "allowed"),
    [("Auto", "a.csv", False), ("JSONLines", "a", False), ("Auto", "a.png", True), ("Files", "a.csv", True)],
)
def test_a_file_of_no_bytes_is_no_table(asked: str, path: str, allowed: bool) -> None:
    source = Source.model_validate({"location": {"mount": "/data"}, "format": asked})
    empty = [File(path=path, size=0, etag="e")]
    if allowed:
        assert format_of(empty, source)
        return
    with pytest.raises(WorkerError) as caught:
        format_of(empty, source)
    assert caught.value.message == f"{path} is empty (0 bytes): write it again, or exclude it"


def test_directory_markers_in_a_bucket_are_no_files(bucket: Bucket, listing_server: ListingServer) -> None:
    listing_server.list_keys({"data/": 0, "data/a.csv/": 0, "data/a.csv/1.csv": 5, "data/empty.csv": 0})
    location = bucket.location(endpoint=listing_server.endpoint)
    listed = asyncio.run(open_storage(location, READ).listing())
    assert [(file.path, file.size) for file in listed.files] == [("a.csv/1.csv", 5), ("empty.csv", 0)]


@pytest.mark.parametrize("signed", [True, False])
def test_requests_are_signed_when_there_is_a_secret(
    bucket: Bucket, listing_server: ListingServer, signed: bool
) -> None:
    listing_server.list_keys({"data/a.csv": 5})
    location = bucket.location(endpoint=listing_server.endpoint, **({} if signed else {"secret_dir": ""}))
    assert len(asyncio.run(open_storage(location, READ).listing()).files) == 1
    assert ("authorization" in listing_server.headers) is signed


def test_a_set_format_reads_files_without_suffix(volume: Path, observe: Observer) -> None:
    write_parquet(volume / "000000_0", "SELECT 1 AS x")
    assert observe(volume, format="Parquet").columns == {"x": "integer"}
    (volume / "000000_0").unlink()
    (volume / "people.txt").write_text("a|b\n1|2\n")
    assert observe(volume, format="CSV").columns == {"a": "bigint", "b": "bigint"}


def sized(*sizes: int) -> list[File]:
    return [File(path=f"{number}.csv", size=size) for number, size in enumerate(sizes)]


def test_all_files_are_described_as_long_as_they_are_small_enough() -> None:
    assert portion(sized(3, 4, 5), "12") == sized(3, 4, 5)
    assert portion(sized(1, 2**30), "1.1Gi") == sized(1, 2**30)


def test_beyond_that_the_same_files_are_described_in_each_version() -> None:
    many = sized(*[10] * 100)
    chosen = portion(many, "305")
    assert len(chosen) == 30
    assert portion(many[::-1], "305") == chosen[::-1]
    longer = [*many, File(path="one more.csv", size=10)]
    assert len({file.path for file in portion(longer, "305")} & {file.path for file in chosen}) >= 29


def test_a_file_that_does_not_fit_makes_room_for_smaller_ones() -> None:
    assert portion(sized(100, 10, 100), "50") == sized(100, 10, 100)[1:2]


def test_one_file_is_described_however_large_it_is() -> None:
    assert portion(sized(300, 200, 400), "1") == sized(300, 200)[1:]


def test_a_size_that_is_no_quantity() -> None:
    with pytest.raises(WorkerError) as caught:
        portion(sized(1), "ten")
    assert caught.value.reason == "SourceInvalid"
    assert "profile.maxBytes: 'ten' is not a quantity such as 512Mi" in caught.value.message
