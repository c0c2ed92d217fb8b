"""Data sets of a hub. No hub is in reach of these tests: a small server on loopback speaks the calls that are used."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import pytest

from keelway.api.digests import sha256
from keelway.api.jobs import File, Location
from keelway.worker.errors import WorkerError
from keelway.worker.storage import KEEP, READ, ChangedError, open_storage
from keelway.worker.stores.hub import WAITS
from tests.unit.worker.builders import write_secret
from tests.unit.worker.hub_server import NEW, OLD, REPOSITORY, Hub, git_object, running_hub
from tests.unit.worker.source_servers import (
    Page,
    collected,
    list_and_read,
    list_at,
    read_at,
    refused,
)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as running:
        yield running


FILES = {
    "README.md": b"people",
    "data/a.csv": b"id\n1\n",
    "data/b c/ü #1.csv": b"id\n22\n",
    "data/large.csv": b"id\n" + b"3\n" * 1000,
}


def test_the_files_of_a_branch_are_those_of_its_commit(hub: Hub) -> None:
    hub.commit(OLD, FILES, date="2026-01-05T10:00:00.000Z")
    listing = list_at(hub.location())
    assert [(file.path, file.size) for file in listing.files] == [
        (path, len(data)) for path, data in sorted(FILES.items())
    ]
    assert (listing.revision, listing.native) == (OLD, f"native:hf:{OLD}")
    assert listing.newest == datetime(2026, 1, 5, 10, tzinfo=UTC)
    found = {file.path: file for file in listing.files}
    assert found["data/large.csv"].sha256 == sha256(FILES["data/large.csv"])
    assert (found["data/a.csv"].sha256, found["data/a.csv"].etag) == ("", git_object(FILES["data/a.csv"]))


def test_files_are_read_at_the_commit_that_was_listed(hub: Hub) -> None:
    hub.commit(OLD, FILES, date="2026-01-05T10:00:00.000Z")

    async def look() -> dict[str, bytes]:
        storage = open_storage(hub.location(), READ)
        listing = await storage.listing()
        hub.commit(NEW, {"data/a.csv": b"id\n9\n"}, date="2026-01-06T10:00:00.000Z")
        return {file.path: await collected(storage, file) for file in listing.files}

    assert asyncio.run(look()) == FILES
    assert list_at(hub.location()).revision == NEW


def test_a_pinned_commit_is_read_without_a_listing(hub: Hub) -> None:
    hub.commit(OLD, FILES, date="2026-01-05T10:00:00.000Z")
    files = list_at(hub.location(revision=OLD)).files
    hub.commit(NEW, {"data/a.csv": b"id\n9\n"}, date="2026-01-06T10:00:00.000Z")
    pinned = hub.location(revision=OLD)
    assert {file.path: read_at(pinned, file) for file in files} == FILES


@pytest.mark.parametrize("path", ["/data", "/data/"])
def test_a_directory_of_a_data_set(hub: Hub, path: str) -> None:
    hub.commit(OLD, FILES, date="2026-01-05T10:00:00.000Z")
    below = {name.removeprefix("data/"): data for name, data in FILES.items() if name.startswith("data/")}
    assert list_and_read(hub.location(path)) == below
    assert [file.path for file in list_at(hub.location(path), "b c").files] == ["b c/ü #1.csv"]


def test_a_branch_with_a_slash(hub: Hub) -> None:
    hub.commit(OLD, FILES, branch="refs/convert", date="2026-01-05T10:00:00.000Z")
    assert list_at(hub.location(revision="refs/convert")).revision == OLD


def test_an_empty_data_set(hub: Hub) -> None:
    hub.commit(OLD, {}, date="2026-01-05T10:00:00.000Z")
    listing = list_at(hub.location())
    assert (listing.files, listing.newest, listing.revision) == ([], None, OLD)


def test_a_token_goes_to_the_hub_alone(hub: Hub, tmp_path: Path) -> None:
    hub.commit(OLD, FILES, date="2026-01-05T10:00:00.000Z")
    hub.web.authorization = "Bearer t0ken"
    secret = str(write_secret(tmp_path / "secret", HF_TOKEN="t0ken"))
    assert list_and_read(hub.location(secret_dir=secret, secret_name="hub")) == FILES
    assert [one.headers["Authorization"] for one in hub.elsewhere.asked] == [None]


def test_no_token_of_this_machine_is_used(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "mine")
    hub.commit(OLD, FILES, date="2026-01-05T10:00:00.000Z")
    list_and_read(hub.location())
    assert {one.headers["Authorization"] for one in hub.web.asked} == {None}


def test_a_private_data_set(hub: Hub) -> None:
    hub.commit(OLD, FILES, date="2026-01-05T10:00:00.000Z")
    hub.web.authorization = "Bearer t0ken"
    error = refused(hub.location())
    assert error.reason == "AccessDenied"
    assert error.message.startswith(f"hf://datasets/{REPOSITORY} does not exist, or is private or gated")


@pytest.mark.parametrize(
    ("code", "status", "reason", "words"),
    [
        ("RepoNotFound", 404, "AccessDenied", "does not exist, or is private or gated"),
        ("GatedRepo", 403, "AccessDenied", "HF_TOKEN"),
        ("RevisionNotFound", 404, "SourceInvalid", "has no revision 'v9': correct source.revision"),
        ("", 418, "SourceUnreachable", "answers with status 418"),
    ],
)
def test_a_hub_that_refuses(hub: Hub, code: str, status: int, reason: str, words: str) -> None:
    answer = Page(b"{}", status=status, headers={"X-Error-Code": code})
    hub.web.pages[f"api/datasets/{REPOSITORY}/revision/v9"] = answer
    error = refused(hub.location(revision="v9"))
    assert error.reason == reason
    assert words in error.message


def test_a_directory_that_is_not_there(hub: Hub) -> None:
    hub.commit(OLD, FILES, date="2026-01-05T10:00:00.000Z")
    answer = Page(b"{}", status=404, headers={"X-Error-Code": "EntryNotFound"})
    hub.web.pages[f"api/datasets/{REPOSITORY}/tree/{OLD}/absent?recursive=true&expand=false"] = answer
    error = refused(hub.location("/absent"))
    assert error.reason == "SourceEmpty"
    assert "there is no directory at" in error.message


def test_a_hub_that_names_no_commit(hub: Hub) -> None:
    hub.web.pages[f"api/datasets/{REPOSITORY}/revision/main"] = Page(b'{"id": "ann/people", "sha": "../x"}')
    error = refused(hub.location())
    assert error.reason == "SourceUnreachable"
    assert "names no commit for 'main'" in error.message


@pytest.mark.parametrize("answer", ["<html>welcome</html>", '"text"', '{"sha": 7}', '[{"date": 7}]'])
@pytest.mark.parametrize("call", ["revision/main", f"tree/{OLD}?recursive=true&expand=false", f"commits/{OLD}"])
def test_answers_that_are_no_hubs(hub: Hub, call: str, answer: str) -> None:
    hub.commit(OLD, FILES, date="2026-01-05T10:00:00.000Z")
    hub.web.pages[f"api/datasets/{REPOSITORY}/{call}"] = Page(answer.encode())
    error = refused(hub.location())
    assert error.reason == "SourceUnreachable"
    assert "does not answer as a hub does" in error.message or "names no commit for 'main'" in error.message


@pytest.mark.parametrize("path", ["../secret", "a/../b", "a//b", "a\nb"])
def test_a_tree_with_a_path_that_leads_elsewhere(hub: Hub, path: str) -> None:
    hub.commit(OLD, {path: b"x"}, date="2026-01-05T10:00:00.000Z")
    error = refused(hub.location())
    assert error.reason == "SourceInvalid"
    assert ascii(path) in error.message


def test_other_bytes_than_the_commit_holds(hub: Hub) -> None:
    hub.commit(OLD, FILES, date="2026-01-05T10:00:00.000Z")
    hub.web.pages[f"datasets/{REPOSITORY}/resolve/{OLD}/data/a.csv"] = Page(b"id\n2\n")
    with pytest.raises(ChangedError, match=r"data/a\.csv"):
        list_and_read(hub.location())


def test_a_commit_that_is_gone(hub: Hub) -> None:
    with pytest.raises(ChangedError):
        read_at(hub.location(revision=OLD), File(path="a.csv", size=3))


def test_a_hub_that_never_answers(silent_server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WAITS, "read", 0.3)
    endpoint = f"http://127.0.0.1:{silent_server.getsockname()[1]}"
    error = refused(
        Location(uri=f"hf://datasets/{REPOSITORY}", endpoint=endpoint), purpose=replace(READ, answer_seconds=1)
    )
    assert error.reason == "SourceUnreachable"
    assert error.message.startswith(f"{endpoint} does not answer: start the server")


@pytest.mark.parametrize("call", [f"tree/{OLD}?recursive=true&expand=false", f"commits/{OLD}"])
def test_a_hub_that_stops_answering(hub: Hub, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    monkeypatch.setitem(WAITS, "read", 0.2)
    monkeypatch.setattr("time.sleep", lambda _: None)  # between the tries of the hub's own client
    hub.commit(OLD, FILES, date="2026-01-05T10:00:00.000Z")
    page, end = hub.web.pages[f"api/datasets/{REPOSITORY}/{call}"], Event()
    page.during = lambda: end.wait(30)
    begin = time.monotonic()
    try:
        error = refused(hub.location())
    finally:
        end.set()
    assert time.monotonic() - begin < 20
    assert (error.reason, "does not answer: start the server" in error.message) == ("SourceUnreachable", True)


def test_a_hub_that_is_not_there() -> None:
    error = refused(Location(uri=f"hf://datasets/{REPOSITORY}", endpoint="http://127.0.0.1:1"))
    assert error.reason == "SourceUnreachable"
    assert error.message == "http://127.0.0.1:1 refuses connections: start the server, or correct access.endpoint"


@pytest.mark.parametrize(
    "uri", ["hf://ann/people", "hf://datasets/people", "hf://models/ann/people", "hf://datasets/a b/c!"]
)
def test_a_uri_that_names_no_data_set(uri: str) -> None:
    error = refused(Location(uri=uri, endpoint="http://127.0.0.1:1"))
    assert error.reason == "SourceInvalid"
    assert "hf://datasets/OWNER/NAME" in error.message


def test_a_secret_without_a_token(hub: Hub, tmp_path: Path) -> None:
    error = refused(hub.location(secret_dir=str(write_secret(tmp_path / "s", x="y")), secret_name="hub"))
    assert error.reason == "SecretMissing"
    assert error.message.endswith("with the keys HF_TOKEN")


def test_writing_is_refused(hub: Hub) -> None:
    with pytest.raises(WorkerError) as caught:
        open_storage(hub.location(), KEEP)
    assert "can only be read" in caught.value.message
