"""`observe` and `stage` at sources that vouch for their bytes in other ways than a bucket: servers of files, hubs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from keelway.api.digests import content_digest, sha256
from keelway.api.jobs import Location, StageOrder
from keelway.worker import stage
from tests.unit.worker.builders import Bucket, Observer, stage_input
from tests.unit.worker.hub_server import NEW, OLD, Hub
from tests.unit.worker.source_servers import Page, WebServer, web_server

DATA, OTHER = b"id,name\n1,Ann\n", b"id,name\n2,Bob\n"
EARLY, LATE = "2026-01-05T10:00:00.000Z", "2026-01-06T10:00:00.000Z"


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        yield server


@pytest.fixture
def hub(web: WebServer) -> Iterator[Hub]:
    with web_server() as elsewhere:
        yield Hub(web, elsewhere)


def publish(web: WebServer, checksums: Mapping[str, str], **pages: bytes) -> Location:
    """Files, and a manifest that says these sha256 of them."""
    entries = [
        {"path": f"{name}.csv", "size": len(data), "sha256": checksums.get(name, sha256(data))}
        for name, data in pages.items()
    ]
    web.pages["data/manifest.json"] = Page(json.dumps({"files": entries}).encode())
    web.pages.update({f"data/{name}.csv": Page(data) for name, data in pages.items()})
    return Location(uri=web.url("data/manifest.json"))


@pytest.mark.parametrize(("etag", "kind"), [('"one"', "listing"), ('W/"one"', "content"), ("", "content")])
def test_a_file_of_a_web_server_is_named_by_what_the_server_says(
    web: WebServer, observe: Observer, etag: str, kind: str
) -> None:
    web.pages["people.csv"] = Page(DATA, etag=etag)
    verdict = observe(Location(uri=web.url("people.csv"))).verdict
    assert verdict.digest.startswith(f"{kind}:sha256:")
    assert verdict.rows == 1


def test_a_server_that_says_nothing_is_read_each_time(web: WebServer, observe: Observer, tmp_path: Path) -> None:
    location = Location(uri=web.url("people.csv"))
    web.pages["people.csv"] = Page(DATA)
    first = observe(location)
    assert first.verdict.digest == content_digest([("people.csv", len(DATA), sha256(DATA))])
    again = observe(location, order={"known": first.known(tmp_path)}).verdict
    assert (again.outcome, again.digest) == ("Unchanged", first.verdict.digest)
    web.pages["people.csv"] = Page(OTHER)
    changed = observe(location, order={"known": first.known(tmp_path)}).verdict
    assert (changed.outcome, changed.listing) == ("Observed", first.verdict.listing)


def test_a_published_sha256_saves_the_reading_unless_every_byte_counts(
    web: WebServer, observe: Observer, tmp_path: Path
) -> None:
    first = observe(publish(web, {}, a=DATA, b=OTHER))
    web.asked.clear()
    location = publish(web, {}, a=DATA, b=OTHER)
    assert observe(location, order={"known": first.known(tmp_path)}).verdict.outcome == "Unchanged"
    assert web.methods("data/a.csv") == []
    changed = observe(publish(web, {}, a=DATA, b=DATA), order={"known": first.known(tmp_path)})
    assert changed.verdict.digest == content_digest(
        [("a.csv", len(DATA), sha256(DATA)), ("b.csv", len(DATA), sha256(DATA))]
    )


@pytest.mark.parametrize("identity", ["Auto", "Content"])
def test_a_published_sha256_that_is_not_of_the_bytes(web: WebServer, observe: Observer, identity: str) -> None:
    location = publish(web, {"b": sha256(DATA)}, a=DATA, b=OTHER)
    error = observe.refused(location, order={"identity": identity})
    assert error.reason == "SourceInvalid"
    assert error.message.startswith("b.csv at http://127.0.0.1:")
    assert "other bytes than its recorded sha256 says" in error.message


def test_what_is_published_counts_for_a_file_that_is_not_described_unless_every_byte_does(
    web: WebServer, observe: Observer
) -> None:
    location = publish(web, {"b": sha256(DATA)}, a=DATA, b=OTHER)
    only_a = {"profile": {"maxBytes": "1"}}
    seen = observe(location, order={"checks": only_a})
    assert seen.verdict.digest == content_digest(
        [("a.csv", len(DATA), sha256(DATA)), ("b.csv", len(DATA), sha256(DATA))]
    )
    assert web.methods("data/b.csv") == []
    error = observe.refused(location, order={"checks": only_a, "identity": "Content"})
    assert error.message.startswith("b.csv at ")


def test_a_manifest_that_is_published_a_little_late(web: WebServer, observe: Observer) -> None:
    location = publish(web, {"b": sha256(DATA)}, a=DATA, b=OTHER)

    def correct() -> None:
        publish(web, {}, a=DATA, b=OTHER)

    web.pages["data/b.csv"].during = correct
    assert observe(location).verdict.rows == 2


def test_a_commit_of_a_hub_names_a_version(hub: Hub, observe: Observer, tmp_path: Path) -> None:
    hub.commit(OLD, {"people.csv": DATA, "README.md": b"old"}, date=EARLY)
    first = observe(hub.location(), include=("*.csv",))
    assert first.report
    assert (first.verdict.digest, first.report.revision) == (f"native:hf:{OLD}", OLD)
    assert first.verdict.newest == "2026-01-05T10:00:00Z"
    known = {"known": first.known(tmp_path)}
    hub.commit(NEW, {"people.csv": DATA, "README.md": b"new"}, date=LATE)
    again = observe(hub.location(), include=("*.csv",), order=known).verdict
    assert (again.outcome, again.digest) == ("Unchanged", f"native:hf:{OLD}")
    hub.commit(NEW, {"people.csv": OTHER, "README.md": b"new"}, date=LATE)
    changed = observe(hub.location(), include=("*.csv",), order=known).verdict
    assert (changed.outcome, changed.digest) == ("Observed", f"native:hf:{NEW}")


def test_a_version_of_a_hub_is_staged_at_its_commit(hub: Hub, observe: Observer, tmp_path: Path) -> None:
    hub.commit(OLD, {"people.csv": DATA}, date=EARLY)
    seen = observe(hub.location())
    assert seen.report
    hub.commit(NEW, {"people.csv": OTHER}, date=LATE)
    given = stage_input(seen, hub.location(revision=seen.report.revision), tmp_path)
    stage.run(StageOrder(inputs=(given,)))
    assert (Path(given.target) / "people.csv").read_bytes() == DATA


def test_a_bucket_has_no_identity_of_its_own(bucket: Bucket, observe: Observer) -> None:
    bucket.put("data/a.csv", DATA)
    error = observe.refused(bucket.location(), order={"identity": "Native"})
    assert error.reason == "SourceInvalid"
    assert "has no identity of its own: set version.identity to Listing, Content or Auto" in error.message


def test_listings_of_a_server_that_does_not_tell_versions_apart(web: WebServer, observe: Observer) -> None:
    web.pages["people.csv"] = Page(DATA)
    error = observe.refused(Location(uri=web.url("people.csv")), order={"identity": "Listing"})
    assert error.reason == "SourceInvalid"
    assert "1 of 1 files" in error.message
