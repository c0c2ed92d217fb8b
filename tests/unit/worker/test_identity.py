"""What names a version, and what its files say of another version's."""

from __future__ import annotations

from pathlib import Path

import pytest

from keelway.api.digests import content_digest, listing_digest, sha256
from keelway.api.findings import FileChanges
from keelway.api.jobs import File, Identity, Location
from keelway.worker import identity
from keelway.worker.errors import WorkerError
from keelway.worker.storage import READ, Listing, open_storage

STRONG = (File(path="a.csv", size=1, etag='"1"'), File(path="b.csv", size=2, etag='"2"'))
WEAK = (File(path="a.csv", size=1, etag='W/"1"'), File(path="b.csv", size=2, etag='"2"'))
NONE = (File(path="a.csv", size=1), File(path="b.csv", size=2, etag='"2"'))
VOUCHED = (File(path="a.csv", size=1, sha256="f" * 64), File(path="b.csv", size=2, etag='"2"'))


def choose(asked: Identity, files: tuple[File, ...], *, native: str = "", mount: Path | None = None) -> str:
    location = Location(mount=str(mount)) if mount else Location(uri="s3://lake/data/", endpoint="http://127.0.0.1:1")
    listing = Listing(files=list(files), newest=None, native=native)
    return identity.choose(open_storage(location, READ), asked, listing, files)


@pytest.mark.parametrize(
    ("files", "native", "kind"),
    [
        pytest.param(STRONG, "", "Listing", id="strong ETags"),
        pytest.param(WEAK, "", "Content", id="a weak ETag"),
        pytest.param(NONE, "", "Content", id="no ETag"),
        pytest.param(VOUCHED, "", "Content", id="a sha256 and no ETag"),
        pytest.param(NONE, "native:hf:abc", "Native", id="a commit"),
    ],
)
def test_auto_takes_the_strongest_that_the_source_vouches_for(files: tuple[File, ...], native: str, kind: str) -> None:
    assert choose("Auto", files, native=native) == kind


def test_auto_on_a_volume_is_content_for_anybody_can_set_a_time(tmp_path: Path) -> None:
    assert choose("Auto", STRONG, mount=tmp_path) == "Content"
    assert choose("Listing", STRONG, mount=tmp_path) == "Listing"


@pytest.mark.parametrize("asked", ["Listing", "Content"])
def test_what_is_asked_for_is_taken(asked: Identity) -> None:
    assert choose(asked, STRONG, native="native:hf:abc") == asked


def test_native_where_there_is_none() -> None:
    with pytest.raises(WorkerError) as caught:
        choose("Native", STRONG)
    assert (caught.value.reason, caught.value.message) == (
        "SourceInvalid",
        "s3://lake/data/ has no identity of its own: set version.identity to Listing, Content or Auto",
    )


def test_a_listing_that_does_not_tell_versions_apart() -> None:
    with pytest.raises(WorkerError) as caught:
        choose("Listing", NONE)
    assert caught.value.reason == "SourceInvalid"
    assert "1 of 2 files" in caught.value.message
    assert choose("Listing", VOUCHED) == "Listing"


def test_golden_digests() -> None:
    files = [File(path="b/ü.csv", size=2, etag="e2", sha256="22"), File(path="a.csv", size=1, etag="e1", sha256="11")]
    listing = Listing(files=files, newest=None, native="native:hf:abc")
    assert identity.digest_of("Native", listing, files) == "native:hf:abc"
    lines = "a.csv\x001\x00e1\nb/ü.csv\x002\x00e2\n"
    assert identity.digest_of("Listing", listing, files) == f"listing:sha256:{sha256(lines.encode())}"
    lines = "a.csv\x001\x0011\nb/ü.csv\x002\x0022\n"
    assert identity.digest_of("Content", listing, files) == f"content:sha256:{sha256(lines.encode())}"
    assert identity.listing_of(VOUCHED) == listing_digest([("a.csv", 1, "f" * 64), ("b.csv", 2, '"2"')])
    assert content_digest([]) != listing_digest([])


@pytest.mark.parametrize(
    ("digest", "asked", "does"),
    [
        ("listing:sha256:1", "Auto", True),
        ("native:hf:1", "Auto", True),
        ("listing:sha256:1", "Listing", True),
        ("listing:sha256:1", "Content", False),
        ("content:sha256:1", "Listing", False),
        ("native:hf:1", "Native", True),
    ],
)
def test_a_version_that_is_named_otherwise_does_not_answer(digest: str, asked: Identity, does: bool) -> None:
    assert identity.answers(digest, asked) is does


OLD = File(path="a.csv", size=1, etag="e", sha256="11")


@pytest.mark.parametrize(
    ("old", "new", "known"),
    [
        pytest.param(OLD, File(path="a.csv", size=1, etag="e"), True, id="the same"),
        pytest.param(OLD, File(path="a.csv", size=1, etag="f"), False, id="another ETag"),
        pytest.param(OLD, File(path="a.csv", size=2, etag="e"), False, id="another size"),
        pytest.param(OLD, File(path="b.csv", size=1, etag="e"), False, id="another path"),
        pytest.param(
            OLD.model_copy(update={"etag": ""}), File(path="a.csv", size=1), False, id="no ETag to know it by"
        ),
        pytest.param(
            OLD.model_copy(update={"sha256": ""}), File(path="a.csv", size=1, etag="e"), False, id="not read then"
        ),
    ],
)
def test_what_is_known_without_reading(old: File, new: File, known: bool) -> None:
    assert identity.known_checksums([new], [old]) == ({"a.csv": "11"} if known else {})


def test_files_that_differ_are_counted() -> None:
    before = [
        File(path="gone", size=1, etag="1", sha256="1"),
        File(path="moved", size=1, etag="1"),
        File(path="same", size=1, etag="1", sha256="1"),
        File(path="bytes", size=1, etag="1", sha256="1"),
        File(path="longer", size=1, etag="1", sha256="1"),
        File(path="unread", size=1, etag="1"),
    ]
    after = [
        File(path="new", size=1, etag="1"),
        File(path="newer", size=1, etag="1"),
        File(path="moved", size=1, etag="2", sha256="2"),
        File(path="same", size=1, etag="2", sha256="1"),
        File(path="bytes", size=1, etag="1", sha256="2"),
        File(path="longer", size=2, etag="1", sha256="1"),
        File(path="unread", size=1, etag="1", sha256="1"),
    ]
    assert identity.changes(after, before) == FileChanges(added=2, removed=1, modified=3)
    assert identity.changes(before, before) == FileChanges()


def test_a_long_manifest_leaves_out_what_an_etag_vouches_for() -> None:
    most = identity.LIST_SHA256
    files = [File(path=f"{number}", size=1, etag="e", sha256="1") for number in range(most)]
    weak = File(path="weak", size=1, etag="W/e", sha256="1")
    assert identity.to_record("Listing", files) == files
    assert {file.sha256 for file in identity.to_record("Listing", [*files, weak])[:-1]} == {""}
    assert identity.to_record("Listing", [*files, weak])[-1].sha256 == "1"
    assert {file.sha256 for file in identity.to_record("Content", [*files, weak])} == {"1"}
