"""Data at s3: what every look and every reading of a bucket rely on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keelway.api.jobs import File, Location
from keelway.worker.storage import KEEP, ChangedError, open_storage
from tests.unit.worker.builders import Bucket, ListingServer
from tests.unit.worker.source_servers import list_and_read, list_at, read_at, refused

FILES = {"a.csv": b"id\n1\n", "b c/ü #1?%.csv": b"id\n22\n", "x/y/z+&=.csv": b"id\n333\n"}


def fill(bucket: Bucket) -> None:
    for path, data in FILES.items():
        bucket.put(f"data/{path}", data)


def test_a_bucket_is_listed_and_read(bucket: Bucket) -> None:
    fill(bucket)
    bucket.put("database/c.csv", b"id\n")
    listing = list_at(bucket.location())
    assert [(file.path, file.size) for file in listing.files] == [(path, len(data)) for path, data in FILES.items()]
    assert all(file.etag.startswith('"') for file in listing.files)
    assert (listing.revision, listing.native) == ("", "")
    assert listing.newest is not None
    assert timedelta(0) <= datetime.now(UTC) - listing.newest < timedelta(minutes=5)
    assert list_and_read(bucket.location()) == FILES
    assert [file.path for file in list_at(bucket.location(), "x/y").files] == ["x/y/z+&=.csv"]


def test_an_empty_bucket(bucket: Bucket) -> None:
    listing = list_at(bucket.location())
    assert (listing.files, listing.newest) == ([], None)


def test_another_object_than_was_listed(bucket: Bucket) -> None:
    fill(bucket)
    (file, *_) = list_at(bucket.location()).files
    bucket.put("data/a.csv", b"id\n7\n")
    with pytest.raises(ChangedError, match=r"a\.csv"):
        read_at(bucket.location(), file)
    assert read_at(bucket.location(), file, only_if_same=False) == b"id\n7\n"
    with pytest.raises(ChangedError):
        read_at(bucket.location(), file.model_copy(update={"etag": "", "size": 6}))
    with pytest.raises(ChangedError):
        read_at(bucket.location(), File(path="absent.csv", size=3), only_if_same=False)


def test_directory_markers_are_no_files(bucket: Bucket, listing_server: ListingServer) -> None:
    listing_server.list_keys(
        {"data/": 0, "data/a/": 0, "data/a/b.csv": 3, "data/a": 0, "data/a-b.csv": 0, "data/a!": 3}
    )
    listing = list_at(bucket.location(endpoint=listing_server.endpoint))
    assert [file.path for file in listing.files] == ["a!", "a-b.csv", "a/b.csv"]


BAD_KEYS = {
    "data/a//b.csv": "an empty, '.' or '..' part",
    "data/../b.csv": "an empty, '.' or '..' part",
    "data/./b.csv": "an empty, '.' or '..' part",
    "data/a\tb.csv": "a control character",
    "data/a\nb.csv": "a control character",
    "data/a\x7fb.csv": "a control character",
    "data/a\u0085b.csv": "a control character",
    f"data/{'x' * 256}": "a part of more than 255 bytes",
}


def test_keys_that_are_no_paths(bucket: Bucket, listing_server: ListingServer) -> None:
    for key, problem in BAD_KEYS.items():
        written = "".join(f"&#{ord(character)};" if ord(character) < 32 else character for character in key)
        listing_server.list_keys({"data/ok.csv": 3, written: 3})
        error = refused(bucket.location(endpoint=listing_server.endpoint))
        assert error.reason == "SourceInvalid"
        assert ascii(key.removeprefix("data/"))[1:100] in error.message or ascii(key) in error.message
        assert f"has {problem}: rename the object" in error.message
        assert error.message.isprintable()


def test_an_upload_is_given_as_the_store_has_it(bucket: Bucket, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"id\n1\n")

    async def upload() -> list[File | None]:
        storage = open_storage(bucket.location(), KEEP)
        before = await storage.head("b c/ü.csv")
        return [before, await storage.put("b c/ü.csv", source), await storage.head("b c/ü.csv")]

    before, put, after = asyncio.run(upload())
    assert before is None
    assert [put] == [after] == list_at(bucket.location()).files
    assert bucket.read("data/b c/ü.csv") == b"id\n1\n"


def test_a_scheme_that_nobody_speaks() -> None:
    for uri in ("ftp://host/a.csv", "lake/data", "s3:/lake/data", ""):
        error = refused(Location(uri=uri))
        assert error.reason == "SourceInvalid"
        assert "use one of s3, gs, az, https, http, hf or pvc" in error.message


@pytest.mark.parametrize("endpoint", ["minio:9000", "ftp://host", "http://"])
@pytest.mark.parametrize("uri", ["s3://b/", "gs://b/", "az://b/", "hf://datasets/a/b"])
def test_an_endpoint_that_is_no_url(uri: str, endpoint: str) -> None:
    error = refused(Location(uri=uri, endpoint=endpoint))
    assert (error.reason, "must begin with http:// or https://" in error.message) == ("SourceInvalid", True)
