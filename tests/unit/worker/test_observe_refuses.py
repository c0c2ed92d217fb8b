"""`observe` on sources that cannot be used: each ends with a reason, and a message that says what to do."""

from __future__ import annotations

import gzip
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from keelway.api.jobs import Location
from keelway.worker import observe as program
from keelway.worker.storage import READ, Listing
from keelway.worker.stores.objects import ObjectStorage
from tests.unit.worker.builders import (
    ACCESS,
    PEOPLE,
    Bucket,
    ListingServer,
    Observer,
    write_csv,
    write_parquet,
    write_secret,
)


def test_a_refused_connection(bucket: Bucket, observe: Observer) -> None:
    error = observe.refused(bucket.location(endpoint="http://127.0.0.1:1"))
    assert (error.reason, error.message) == (
        "SourceUnreachable",
        "http://127.0.0.1:1 refuses connections: start the server, or correct access.endpoint",
    )


def test_a_host_name_that_does_not_resolve(bucket: Bucket, observe: Observer) -> None:
    error = observe.refused(bucket.location(endpoint="http://minio.invalid:9000"))
    assert error.reason == "SourceUnreachable"
    assert "host name of http://minio.invalid:9000 does not resolve" in error.message


def test_a_server_that_never_answers(
    bucket: Bucket, observe: Observer, silent_server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert READ.answer_seconds <= 10
    monkeypatch.setattr(program, "READ", replace(READ, answer_seconds=0.3))
    begin = time.monotonic()
    error = observe.refused(bucket.location(endpoint=f"http://127.0.0.1:{silent_server.getsockname()[1]}"))
    assert time.monotonic() - begin < 5
    assert error.reason == "SourceUnreachable"
    assert "does not answer" in error.message


def test_http_where_https_is_expected(bucket: Bucket, observe: Observer) -> None:
    error = observe.refused(bucket.location(endpoint=bucket.server.endpoint.replace("http:", "https:")))
    assert error.reason == "SourceUnreachable"
    assert "does not speak TLS" in error.message


def test_a_bucket_that_does_not_exist(bucket: Bucket, observe: Observer) -> None:
    error = observe.refused(bucket.location(uri="s3://no-such-bucket/data/"))
    assert error.reason == "SourceUnreachable"
    assert "bucket of s3://no-such-bucket/data/ does not exist" in error.message


@pytest.mark.parametrize("values", [{"AWS_ACCESS_KEY_ID": "nobody"}, {"AWS_SECRET_ACCESS_KEY": "wrong"}])
def test_credentials_that_the_server_does_not_take(bucket: Bucket, observe: Observer, values: dict[str, str]) -> None:
    write_secret(bucket.secret_dir, **values)
    error = observe.refused(bucket.location())
    assert error.reason == "AccessDenied"
    assert "check the credentials" in error.message


def test_no_credentials_at_all(bucket: Bucket, observe: Observer) -> None:
    error = observe.refused(bucket.location(secret_dir=""))
    assert (error.reason, error.message) == (
        "AccessDenied",
        f"s3://{bucket.name}/data/ denies access: check the credentials and what they allow",
    )


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (403, "AccessDenied", "denies access"),
        (401, "AccessDenied", "denies access"),
        (500, "SourceUnreachable", "does not answer as an object store does"),
        (200, "SourceUnreachable", "does not answer as an object store does"),
        (301, "SourceUnreachable", "is in another region: set access.region"),
    ],
)
def test_a_server_that_answers_otherwise(
    bucket: Bucket, observe: Observer, listing_server: ListingServer, status: int, reason: str, words: str
) -> None:
    listing_server.answer = (status, b"welcome")
    error = observe.refused(bucket.location(endpoint=listing_server.endpoint))
    assert error.reason == reason
    assert words in error.message


@pytest.mark.parametrize("key", ["data/a//b.csv", "data/../b.csv", "data/./b.csv"])
def test_keys_that_are_no_paths(bucket: Bucket, observe: Observer, listing_server: ListingServer, key: str) -> None:
    listing_server.list_keys({key: 3})
    error = observe.refused(bucket.location(endpoint=listing_server.endpoint))
    assert error.reason == "SourceInvalid"
    assert "has an empty, '.' or '..' part: rename the object" in error.message


def test_no_credentials_and_no_endpoint(observe: Observer) -> None:
    error = observe.refused(Location(uri="s3://lake/data/"))
    assert error.reason == "AccessDenied"
    assert "access.secretRef" in error.message


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        pytest.param({}, "does not exist or is empty", id="empty"),
        pytest.param({"AWS_ACCESS_KEY_ID": ACCESS}, "has no AWS_SECRET_ACCESS_KEY", id="one key"),
        pytest.param({"key": "x"}, "has no AWS_ACCESS_KEY_ID and no AWS_SECRET_ACCESS_KEY", id="other keys"),
        pytest.param(
            {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": "\n"}, "has no AWS_SECRET_ACCESS_KEY", id="blank"
        ),
    ],
)
def test_a_secret_that_is_not_complete(
    bucket: Bucket, observe: Observer, tmp_path: Path, values: dict[str, str], problem: str
) -> None:
    directory = write_secret(tmp_path / "other", **values)
    error = observe.refused(bucket.location(secret_dir=str(directory)))
    assert error.reason == "SecretMissing"
    assert error.message == (
        f"the Secret 'lake' {problem}: create it in this namespace with the keys "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )


def test_a_secret_that_is_not_mounted(bucket: Bucket, observe: Observer) -> None:
    assert observe.refused(bucket.location(secret_dir="/nonexistent")).reason == "SecretMissing"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"uri": "lake/data"}, "no scheme that is known"),
        ({"uri": "s3://"}, "s3://bucket/prefix/"),
        ({"endpoint": "minio:9000"}, "must begin with http:// or https://"),
    ],
)
def test_a_location_that_does_not_parse(bucket: Bucket, observe: Observer, changes: dict[str, str], words: str) -> None:
    error = observe.refused(bucket.location(**changes))
    assert error.reason == "SourceInvalid"
    assert words in error.message


def test_nothing_below_the_prefix(bucket: Bucket, observe: Observer) -> None:
    error = observe.refused(bucket.location("data/people.csv"))
    assert error.reason == "SourceEmpty"
    assert "a directory, not a file" in error.message


def test_a_directory_that_is_not_on_the_volume(volume: Path, observe: Observer) -> None:
    assert observe.refused(volume / "absent").reason == "SourceEmpty"


def test_only_hidden_files(volume: Path, observe: Observer) -> None:
    write_csv(volume / "_temporary" / "a.csv", [["a"], [1]])
    error = observe.refused(volume)
    assert error.reason == "SourceEmpty"
    assert "only hidden files" in error.message


def test_globs_that_match_nothing(volume: Path, observe: Observer) -> None:
    write_csv(volume / "a.csv", [["a"], [1]])
    error = observe.refused(volume, include=("*.parquet",))
    assert error.reason == "SourceEmpty"
    assert "none of the 1 files" in error.message


def test_files_of_several_formats(volume: Path, observe: Observer) -> None:
    write_csv(volume / "a.csv", [["a"], [1]])
    write_csv(volume / "b.csv", [["a"], [1]])
    write_parquet(volume / "c.parquet", "SELECT 1 AS a")
    (volume / "README").write_text("hello")
    error = observe.refused(volume)
    assert error.reason == "SourceInvalid"
    assert "found 2 .csv, 1 .parquet, 1 without suffix" in error.message


def test_a_file_of_another_format_than_the_one_that_is_set(volume: Path, observe: Observer) -> None:
    write_csv(volume / "a.csv", [["a"], [1]])
    assert observe.refused(volume, format="Parquet").reason == "SourceInvalid"


def test_a_file_of_no_bytes(bucket: Bucket, observe: Observer) -> None:
    bucket.put("data/people.csv", PEOPLE)
    bucket.put("data/empty.csv", "")
    error = observe.refused(bucket.location())
    assert error.reason == "SourceInvalid"
    assert error.message.startswith("empty.csv is empty (0 bytes)")


@pytest.mark.parametrize(
    ("data", "where"),
    [
        pytest.param(b"a,b\n1,2\n3,4,5\n6,7\n", "line 3 has more fields than the first line", id="more fields"),
        pytest.param(b"a,b\n1,2\n3,4\n5\n", "line 4 has fewer fields than the first line", id="fewer fields"),
        pytest.param(b"a\n1\n2,3\n", "line 3 has more fields than the first line", id="more fields than one"),
        pytest.param(b'a,b\n1,"x\n3,y\n6,z\n', "line 2 has a quote that is not closed", id="open quote"),
        pytest.param(b'a,b\n1,"x"y"z"\n', "line 2 has a quote that is not closed, or not doubled", id="stray quote"),
        pytest.param(b"a,b\n1,x\n2,caf\xe9\n", "line 3 is not UTF-8", id="Latin-1"),
        pytest.param(
            b"a,b\n" + b"".join(b"%d,x\n" % n for n in range(50_000)) + b"1,2,3\n",
            "line 50002 has more fields than the first line",
            id="far down",
        ),
    ],
)
def test_a_csv_with_a_broken_line(bucket: Bucket, observe: Observer, data: bytes, where: str) -> None:
    bucket.put("data/good.csv", "a,b\n1,\n")
    bucket.put("data/sub/bad.csv", data)
    error = observe.refused(bucket.location())
    assert error.reason == "SourceInvalid"
    assert error.message.startswith(f"sub/bad.csv {where}")
    assert error.message.endswith("mend it, or exclude the file")


def test_messages_hold_no_data_values(volume: Path, observe: Observer) -> None:
    (volume / "a.csv").write_text("name,n\nAnn,1\nPeter-Pan,2,secret-street\n")
    assert "secret-street" not in observe.refused(volume).message
    write_csv(volume / "a.csv", [["n"], [1]])
    write_csv(volume / "b.csv", [["n"], ["Peter-Pan"]])
    assert "Peter-Pan" not in observe.refused(volume).message


@pytest.mark.parametrize("data", [b"not gzip", gzip.compress(PEOPLE.encode() * 9999)[:-3000]], ids=["no gzip", "cut"])
def test_a_broken_gzip_file(volume: Path, observe: Observer, data: bytes) -> None:
    (volume / "a.csv.gz").write_bytes(data)
    error = observe.refused(volume)
    assert error.reason == "SourceInvalid"
    assert error.message.startswith("a.csv.gz ")


def no_footer(data: bytes) -> bytes:
    return data[:-20]


def broken_page(data: bytes) -> bytes:
    return data[:8] + b"\xff" * 200 + data[208:]


@pytest.mark.parametrize("damage", [no_footer, broken_page])
def test_a_broken_parquet_file(volume: Path, observe: Observer, damage: Callable[[bytes], bytes]) -> None:
    for name in ("a", "b", "c"):
        write_parquet(volume / f"{name}.parquet", "SELECT md5(i::VARCHAR) AS x FROM range(5000) t(i)")
    (volume / "b.parquet").write_bytes(damage((volume / "b.parquet").read_bytes()))
    error = observe.refused(volume)
    assert error.reason == "SourceInvalid"
    assert error.message.startswith("b.parquet ")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("1", "x", id="number and text"),
        pytest.param("2024-01-01", "x", id="date and text"),
        pytest.param("true", "1", id="truth and number"),
    ],
)
def test_csv_files_that_disagree_on_a_type(volume: Path, observe: Observer, one: str, other: str) -> None:
    write_csv(volume / "1.csv", [["id", "age"], [1, one]])
    write_csv(volume / "2.csv", [["id", "age"], [1, None]])
    write_csv(volume / "3.csv", [["age", "id"], [other, 1]])
    error = observe.refused(volume)
    assert error.reason == "SchemaMismatch"
    assert "column 'age'" in error.message
    assert "3.csv" in error.message
    assert "1.csv" in error.message


def test_parquet_files_that_disagree_on_a_type(bucket: Bucket, observe: Observer, tmp_path: Path) -> None:
    bucket.put("data/1.parquet", write_parquet(tmp_path / "1", "SELECT 1 AS age").read_bytes())
    bucket.put("data/2.parquet", write_parquet(tmp_path / "2", "SELECT 'old' AS Age").read_bytes())
    error = observe.refused(bucket.location())
    assert (error.reason, error.message) == (
        "SchemaMismatch",
        "column 'Age' is varchar in 2.parquet but integer in 1.parquet: "
        "write it with one type, or exclude one of the files",
    )


def test_a_file_that_changes_once_while_it_is_read(
    bucket: Bucket, observe: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings = overwrite_after_listing(bucket, monkeypatch, times=1)
    assert observe(bucket.location()).verdict.rows == 1
    assert len(listings) == 2


def test_a_file_that_changes_all_the_time(bucket: Bucket, observe: Observer, monkeypatch: pytest.MonkeyPatch) -> None:
    listings = overwrite_after_listing(bucket, monkeypatch, times=99)
    error = observe.refused(bucket.location())
    assert error.reason == "SourceChanging"
    assert error.message.startswith("moving.csv changed each of 3 times")
    assert len(listings) == 3


def overwrite_after_listing(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, *, times: int) -> list[int]:
    """Somebody else writes between our listing and our reading; returns what counts the listings."""
    bucket.put("data/moving.csv", "a\n0\n")
    seen: list[int] = []
    list_only = ObjectStorage.listing

    async def list_then_overwrite(storage: ObjectStorage, prefix: str = "") -> Listing:
        listing = await list_only(storage, prefix)
        seen.append(len(listing.files))
        if len(seen) <= times:
            bucket.put("data/moving.csv", f"a\n{len(seen)}\n")
        return listing

    monkeypatch.setattr(ObjectStorage, "listing", list_then_overwrite)
    return seen


def test_a_link_that_leaves_the_volume(volume: Path, observe: Observer, secret_dir: Path) -> None:
    write_csv(volume / "real.csv", [["a"], [1]])
    (volume / "inside.csv").symlink_to(volume / "real.csv")
    assert observe(volume).verdict.files == 2
    (volume / "outside.csv").symlink_to(secret_dir / "AWS_SECRET_ACCESS_KEY")
    error = observe.refused(volume)
    assert error.reason == "SourceInvalid"
    assert "'outside.csv' is a link that leaves the volume" in error.message
    assert observe(volume, exclude=("outside.*",)).verdict.files == 2


def test_too_little_memory(volume: Path, observe: Observer) -> None:
    write_parquet(volume / "a.parquet", "SELECT i, repeat('x', 2000) || i AS t FROM range(20000) t(i)")
    error = observe.refused(volume, order={"memory_limit": "2MiB"})
    assert error.reason == "OutOfSpace"
    assert "give the Job more" in error.message


def test_percents_above_a_hundred(volume: Path, observe: Observer) -> None:
    write_csv(volume / "a.csv", [["a"], [1]])
    error = observe.refused(
        volume, order={"splits": [{"name": "train", "percent": 80}, {"name": "holdout", "percent": 20.5}]}
    )
    assert (error.reason, error.message) == (
        "SourceInvalid",
        "the splits add up to 100.5 percent: at most 100 is possible",
    )


def test_a_split_key_that_is_not_a_column(volume: Path, observe: Observer) -> None:
    write_csv(volume / "a.csv", [["a", "b"], [1, 2]])
    error = observe.refused(volume, order={"splits": [{"name": "train", "percent": 80}], "split_key": "c"})
    assert error.reason == "SourceInvalid"
    assert "'c' is not a column; the columns are a, b" in error.message
