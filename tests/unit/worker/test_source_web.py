"""Data at http and https: one file, or what a manifest lists, from a real server on loopback."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keelway.api.digests import sha256
from keelway.api.jobs import File, Location
from keelway.worker.errors import WorkerError
from keelway.worker.storage import KEEP, READ, ChangedError, open_storage
from tests.unit.worker.builders import write_secret
from tests.unit.worker.source_servers import (
    Page,
    WebServer,
    collected,
    list_and_read,
    list_at,
    read_at,
    refused,
    trusted_context,
    web_server,
)

MONDAY, TUESDAY = "Mon, 05 Jan 2026 10:00:00 GMT", "Tue, 06 Jan 2026 10:00:00 GMT"
DATA = b"id,name\n1,Ann\n"


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        yield server


def publish(web: WebServer, *files: dict[str, Any], modified: str = "") -> Location:
    """A manifest with these entries."""
    web.pages["data/manifest.json"] = Page(json.dumps({"files": files}).encode(), modified=modified)
    return Location(uri=web.url("data/manifest.json"))


def test_one_file(web: WebServer) -> None:
    web.pages["data/people.csv"] = Page(DATA, etag='"one"', modified=MONDAY)
    location = Location(uri=web.url("data/people.csv"))
    listing = list_at(location)
    assert listing.files == [File(path="people.csv", size=len(DATA), etag='"one"')]
    assert listing.newest == datetime(2026, 1, 5, 10, tzinfo=UTC)
    assert (listing.revision, listing.native) == ("", "")
    assert web.methods("data/people.csv") == ["HEAD"]
    assert read_at(location, listing.files[0]) == DATA


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("März 2026.csv", "März 2026.csv"),
        ("M%C3%A4rz%202026.csv", "März 2026.csv"),
        ("100%25%23%3F.csv", "100%#?.csv"),
        ("a+b;c=d.csv", "a+b;c=d.csv"),
    ],
)
def test_names_that_a_url_writes_otherwise(web: WebServer, written: str, name: str) -> None:
    web.pages[f"data/{name}"] = Page(DATA)
    assert list_and_read(Location(uri=web.url(f"data/{written}"))) == {name: DATA}


def test_a_signed_url(web: WebServer) -> None:
    web.pages["people.csv?signature=s3cret"] = Page(DATA)
    web.authorization = ""
    assert list_and_read(Location(uri=web.url("people.csv?signature=s3cret"))) == {"people.csv": DATA}
    web.pages.clear()
    assert "s3cret" not in refused(Location(uri=web.url("people.csv?signature=s3cret"))).message


def test_the_files_of_a_manifest(web: WebServer) -> None:
    names = ["a.csv", "über uns/b c.csv", "x:y/100%.csv", "#1/?.csv"]
    for number, name in enumerate(names):
        web.pages[f"data/{name}"] = Page(
            b"n\n%d\n" % number, etag=f'"{number}"', modified=(MONDAY, TUESDAY)[number % 2]
        )
    location = publish(web, *({"path": name} for name in names), modified="Wed, 07 Jan 2026 10:00:00 GMT")
    listing = list_at(location)
    assert [file.path for file in listing.files] == sorted(names)
    assert {file.size for file in listing.files} == {4}
    assert all(file.etag for file in listing.files)
    assert listing.newest == datetime(2026, 1, 6, 10, tzinfo=UTC)
    assert list_and_read(location) == {name: b"n\n%d\n" % number for number, name in enumerate(names)}
    assert [file.path for file in list_at(location, "über uns").files] == ["über uns/b c.csv"]


def test_a_manifest_that_vouches_for_its_files(web: WebServer) -> None:
    web.pages["data/a.csv"] = Page(DATA)
    location = publish(web, {"path": "a.csv", "size": len(DATA), "sha256": sha256(DATA)}, modified=MONDAY)
    listing = list_at(location)
    assert listing.files == [File(path="a.csv", size=len(DATA), sha256=sha256(DATA))]
    assert listing.newest == datetime(2026, 1, 5, 10, tzinfo=UTC)
    assert web.methods("data/a.csv") == []
    assert read_at(location, listing.files[0]) == DATA


def test_an_empty_manifest(web: WebServer) -> None:
    listing = list_at(publish(web, modified=MONDAY))
    assert (listing.files, listing.newest) == ([], None)


def test_a_server_that_says_neither_size_nor_etag(web: WebServer) -> None:
    web.pages["people.csv"] = Page(DATA, sized=False)
    location = Location(uri=web.url("people.csv"))
    listing = list_at(location)
    assert listing.files == [File(path="people.csv", size=len(DATA), sha256=sha256(DATA))]
    assert listing.newest is None
    assert list_and_read(location) == {"people.csv": DATA}


@pytest.mark.parametrize("status", [403, 405, 501])
def test_a_server_that_allows_no_head(web: WebServer, status: int) -> None:
    web.head_status = status
    web.pages["people.csv"] = Page(DATA, etag='"one"')
    location = Location(uri=web.url("people.csv"))
    assert list_at(location).files == [File(path="people.csv", size=len(DATA), etag='"one"')]
    assert list_and_read(location) == {"people.csv": DATA}


def test_a_server_that_packs_whatever_it_is_asked_for(web: WebServer) -> None:
    packed = gzip.compress(DATA * 100)
    web.pages["people.csv"] = Page(packed, headers={"Content-Encoding": "gzip"})
    location = Location(uri=web.url("people.csv"))
    assert list_at(location).files == [File(path="people.csv", size=len(DATA) * 100, sha256=sha256(DATA * 100))]
    assert list_and_read(location) == {"people.csv": DATA * 100}
    assert web.asked[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("modified", ["soon", "0", "Mon, 99 Foo 2026 10:00:00 GMT", "Mon, 05 Jan 2026"])
def test_a_time_that_is_none(web: WebServer, modified: str) -> None:
    web.pages["people.csv"] = Page(DATA, modified=modified)
    assert len(list_at(Location(uri=web.url("people.csv"))).files) == 1


@pytest.mark.parametrize("heeds_if_match", [True, False])
@pytest.mark.parametrize("etags", [('"one"', '"two"'), ('W/"one"', 'W/"two"')])
def test_another_file_by_its_etag(web: WebServer, etags: tuple[str, str], heeds_if_match: bool) -> None:
    web.heeds_if_match = heeds_if_match
    web.pages["people.csv"] = Page(DATA, etag=etags[0])
    location = Location(uri=web.url("people.csv"))
    (file,) = list_at(location).files
    assert read_at(location, file) == DATA
    web.pages["people.csv"] = Page(DATA.replace(b"Ann", b"Bob"), etag=etags[1])
    with pytest.raises(ChangedError, match=r"people\.csv"):
        read_at(location, file)
    assert read_at(location, file, only_if_same=False) == DATA.replace(b"Ann", b"Bob")


def test_another_file_by_its_time(web: WebServer) -> None:
    web.pages["people.csv"] = Page(DATA, modified=MONDAY)
    location = Location(uri=web.url("people.csv"))

    async def look() -> bytes:
        storage = open_storage(location, READ)
        (file,) = (await storage.listing()).files
        assert await collected(storage, file) == DATA
        web.pages["people.csv"] = Page(DATA, modified=TUESDAY)
        return await collected(storage, file)

    with pytest.raises(ChangedError):
        asyncio.run(look())


@pytest.mark.parametrize("sized", [True, False])
def test_another_file_by_its_size(web: WebServer, sized: bool) -> None:
    web.pages["people.csv"] = Page(DATA * 2, sized=sized)
    with pytest.raises(ChangedError):
        read_at(Location(uri=web.url("people.csv")), File(path="people.csv", size=len(DATA)))


@pytest.mark.parametrize(
    ("before", "after"), [({"etag": '"1"'}, {"etag": '"2"'}), ({"modified": MONDAY}, {"modified": TUESDAY})]
)
def test_a_file_that_is_written_over_while_it_is_sent(
    web: WebServer, before: dict[str, str], after: dict[str, str]
) -> None:
    location = Location(uri=web.url("people.csv"))
    web.pages["people.csv"] = Page(DATA, **before)  # type: ignore[arg-type]
    (file,) = list_at(location).files

    def write_over() -> None:
        web.pages["people.csv"] = Page(DATA, **after)  # type: ignore[arg-type]

    web.pages["people.csv"].during = write_over
    with pytest.raises(ChangedError):
        read_at(location, file)


def test_a_file_that_is_gone(web: WebServer) -> None:
    with pytest.raises(ChangedError):
        read_at(Location(uri=web.url("people.csv")), File(path="people.csv", size=3))


def test_a_body_that_breaks_off(web: WebServer) -> None:
    web.pages["people.csv"] = Page(DATA, headers={"Content-Length": "1000"})
    with pytest.raises(WorkerError) as caught:
        read_at(Location(uri=web.url("people.csv")), File(path="people.csv", size=1000))
    assert caught.value.reason == "SourceUnreachable"


@pytest.mark.parametrize(
    "path",
    ["../secret.csv", "a/../b.csv", "./a.csv", "a//b.csv", "/etc/passwd", "http://other/a.csv", "a\0b", "a\nb", "a/"],
)
def test_a_manifest_with_a_path_that_leads_elsewhere(web: WebServer, path: str) -> None:
    error = refused(publish(web, {"path": "ok.csv", "size": 1}, {"path": path, "size": 1}))
    assert error.reason == "SourceInvalid"
    assert ascii(path) in error.message
    assert web.methods("secret.csv") == []
    assert "\n" not in error.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "is not a listing"),
        ("[]", "is not a listing"),
        ('{"files": "a.csv"}', "files is wrong"),
        ('{"files": [{"size": 3}]}', "files.0.path is wrong"),
        ('{"files": [{"path": "a", "size": -1}]}', "files.0.size is wrong"),
        ('{"files": [{"path": "a", "size": "3"}]}', "files.0.size is wrong"),
        ('{"files": [{"path": "a", "sha256": "XYZ"}]}', "files.0.sha256 is wrong"),
        ('{"files": [{"path": "a", "size": 1}, {"path": "a", "size": 2}]}', "names a file twice"),
    ],
)
def test_a_manifest_that_is_none(web: WebServer, text: str, words: str) -> None:
    location = publish(web)
    web.pages["data/manifest.json"] = Page(text.encode())
    error = refused(location)
    assert error.reason == "SourceInvalid"
    assert words in error.message


def test_a_manifest_without_end(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keelway.worker.stores.web.MANIFEST_BYTES", 1000)
    error = refused(publish(web, *({"path": f"{number}.csv", "size": 1} for number in range(100))))
    assert (error.reason, "is larger than" in error.message) == ("SourceInvalid", True)


def test_a_manifest_that_is_older_than_its_files(web: WebServer) -> None:
    web.pages["data/a.csv"] = Page(DATA)
    error = refused(publish(web, {"path": "a.csv", "size": 3}))
    assert error.reason == "SourceChanging"
    assert f"gives 'a.csv' 3 bytes and the server {len(DATA)}" in error.message


def test_a_file_of_a_manifest_that_is_not_there(web: WebServer) -> None:
    error = refused(publish(web, {"path": "absent.csv"}))
    assert error.reason == "SourceEmpty"
    assert "('absent.csv')" in error.message


def test_redirects_are_followed(web: WebServer) -> None:
    web.pages["old.csv"] = Page(status=301, location="/new/people.csv")
    web.pages["new/people.csv"] = Page(DATA, etag='"one"')
    assert list_and_read(Location(uri=web.url("old.csv"))) == {"old.csv": DATA}


def test_redirects_in_a_circle(web: WebServer) -> None:
    web.pages["a.csv"] = Page(status=302, location="/b.csv")
    web.pages["b.csv"] = Page(status=302, location="/a.csv")
    error = refused(Location(uri=web.url("a.csv")))
    assert error.reason == "SourceUnreachable"
    assert "redirects more than 5 times" in error.message
    assert len(web.asked) == 6


def test_a_redirect_from_https_to_http(tmp_path: Path, web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    web.pages["people.csv"] = Page(DATA)
    with web_server(trusted_context(tmp_path, monkeypatch)) as safe:
        safe.pages["ok.csv"] = Page(DATA)
        safe.pages["down.csv"] = Page(status=302, location=web.url("people.csv"))
        web.pages["up.csv"] = Page(status=302, location=safe.url("ok.csv"))
        assert list_and_read(Location(uri=safe.url("ok.csv"))) == {"ok.csv": DATA}
        assert list_and_read(Location(uri=web.url("up.csv"))) == {"up.csv": DATA}
        error = refused(Location(uri=safe.url("down.csv")))
    assert error.reason == "SourceUnreachable"
    assert "redirects from https to http" in error.message
    assert web.methods("people.csv") == []


@pytest.mark.parametrize(
    ("keys", "header"),
    [
        ({"HTTP_BEARER_TOKEN": "t0ken\n"}, "Bearer t0ken"),
        ({"HTTP_USERNAME": "ann", "HTTP_PASSWORD": "pässword"}, "Basic YW5uOnDDpHNzd29yZA=="),
    ],
)
def test_credentials_of_the_secret(web: WebServer, tmp_path: Path, keys: dict[str, str], header: str) -> None:
    web.pages["people.csv"] = Page(DATA)
    web.authorization = header
    location = Location(
        uri=web.url("people.csv"), secret_dir=str(write_secret(tmp_path / "s", **keys)), secret_name="s"
    )
    assert list_and_read(location) == {"people.csv": DATA}
    error = refused(location.model_copy(update={"secret_dir": ""}))
    assert error.reason == "AccessDenied"
    assert "HTTP_BEARER_TOKEN or HTTP_USERNAME and HTTP_PASSWORD" in error.message


def test_credentials_stay_with_their_host(web: WebServer, tmp_path: Path) -> None:
    with web_server() as other:
        elsewhere = other.url("people.csv").replace("127.0.0.1", "localhost")
        for number, target in enumerate((elsewhere, other.url("people.csv"))):
            web.pages[f"{number}.csv"] = Page(status=302, location=target)
            other.pages["people.csv"] = Page(DATA)
            secret = str(write_secret(tmp_path / "s", HTTP_BEARER_TOKEN="t0ken"))
            list_and_read(Location(uri=web.url(f"{number}.csv"), secret_dir=secret, secret_name="s"))
        assert all(one.headers["Authorization"] == "Bearer t0ken" for one in web.asked)
        assert len(other.asked) >= 4
        assert not any(one.headers["Authorization"] for one in other.asked)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({}, "does not exist or is empty"),
        ({"HTTP_USERNAME": "ann"}, "has no HTTP_PASSWORD"),
        ({"x": "y"}, "has no HTTP_BEARER_TOKEN"),
    ],
)
def test_a_secret_that_is_not_complete(web: WebServer, tmp_path: Path, keys: dict[str, str], problem: str) -> None:
    secret = str(write_secret(tmp_path / "s", **keys))
    error = refused(Location(uri=web.url("a.csv"), secret_dir=secret, secret_name="site"))
    assert error.reason == "SecretMissing"
    assert error.message.startswith(f"the Secret 'site' {problem}")
    assert error.message.endswith("with the keys HTTP_BEARER_TOKEN, or HTTP_USERNAME and HTTP_PASSWORD")


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (401, "AccessDenied", "denies access"),
        (403, "AccessDenied", "denies access"),
        (404, "SourceEmpty", "there is nothing at"),
        (410, "SourceEmpty", "there is nothing at"),
        (418, "SourceUnreachable", "answers with status 418"),
    ],
)
def test_a_server_that_answers_otherwise(web: WebServer, status: int, reason: str, words: str) -> None:
    web.pages["people.csv"] = Page(status=status)
    error = refused(Location(uri=web.url("people.csv")))
    assert error.reason == reason
    assert words in error.message


def test_a_busy_server_is_asked_again(web: WebServer) -> None:
    web.pages["people.csv"] = Page(DATA)
    web.busy = READ.retries
    assert len(list_at(Location(uri=web.url("people.csv"))).files) == 1
    web.busy = 99
    error = refused(Location(uri=web.url("people.csv")))
    assert (error.reason, "answers with status 503" in error.message) == ("SourceUnreachable", True)


def test_a_server_that_never_answers(silent_server: socket.socket) -> None:
    begin = time.monotonic()
    uri = f"http://127.0.0.1:{silent_server.getsockname()[1]}/a.csv"
    error = refused(Location(uri=uri), purpose=replace(READ, answer_seconds=0.3))
    assert time.monotonic() - begin < 5
    assert error.reason == "SourceUnreachable"
    assert "does not answer: start the server" in error.message


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("http://127.0.0.1:1/a.csv", "http://127.0.0.1:1 refuses connections: start the server, or correct the URI"),
        ("https://data.invalid/a.csv", "the host name of https://data.invalid does not resolve: correct the URI"),
    ],
)
def test_a_server_that_is_not_there(uri: str, words: str) -> None:
    error = refused(Location(uri=uri))
    assert error.reason == "SourceUnreachable"
    assert words in error.message


def test_http_where_https_is_expected(web: WebServer) -> None:
    error = refused(Location(uri=web.url("a.csv").replace("http:", "https:")))
    assert error.reason == "SourceUnreachable"
    assert "does not speak TLS: write http:// in the URI" in error.message


def test_a_certificate_of_an_unknown_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context: ssl.SSLContext = trusted_context(tmp_path, monkeypatch)
    monkeypatch.delenv("SSL_CERT_FILE")
    with web_server(context) as server:
        error = refused(Location(uri=server.url("a.csv")))
    assert error.reason == "SourceUnreachable"
    assert "is not trusted" in error.message


@pytest.mark.parametrize(
    "uri",
    ["https://host", "https://host/", "https://host/data/", "https:///a.csv", "http://[::1/a"],
)
def test_a_uri_that_names_no_file(uri: str) -> None:
    error = refused(Location(uri=uri))
    assert error.reason == "SourceInvalid"
    assert "https://host/path/file.csv" in error.message


@pytest.mark.parametrize("name", ["%2e%2e", "a%2Fb.csv", "a%00.csv"])
def test_a_uri_whose_name_is_no_name(web: WebServer, name: str) -> None:
    assert refused(Location(uri=web.url(f"data/{name}"))).reason == "SourceInvalid"
    assert web.asked == []


def test_a_password_in_the_uri() -> None:
    error = refused(Location(uri="https://ann:s3cret@host/a.csv"))
    assert error.reason == "SourceInvalid"
    assert "HTTP_PASSWORD" in error.message
    assert "s3cret" not in error.message


def test_writing_is_refused(web: WebServer) -> None:
    with pytest.raises(WorkerError) as caught:
        open_storage(Location(uri=web.url("out/")), KEEP)
    assert caught.value.reason == "SourceInvalid"
    assert "can only be read" in caught.value.message
