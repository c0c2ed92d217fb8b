"""`observe` when it knows a version: what is read again, what is called new, and what a changed listing costs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keelway.api.digests import content_digest, sha256
from keelway.api.findings import FileChanges
from keelway.api.jobs import KnownVersion
from tests.unit.worker.builders import PEOPLE, Bucket, Observer, write_csv

LARGE = "a,b\n" + "".join(f"{number},{'x' * 90}\n" for number in range(80_000))
PART = 5 * 1024 * 1024


def test_the_same_listing_is_unchanged_and_no_byte_is_read(
    bucket: Bucket, observe: Observer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("data/people.csv", PEOPLE)
    first = observe(bucket.location())
    reads = bucket.reads
    monkeypatch.setenv("KEELWAY_SCRATCH", "/nonexistent")  # nowhere to put bytes
    second = observe(bucket.location(), order={"known": first.known(tmp_path)})
    assert second.verdict.model_dump() == {
        **first.verdict.model_dump(),
        "outcome": "Unchanged",
        "rows": 0,
        "report_sha256": "",
    }
    assert second.report is None
    assert bucket.reads == reads == ["data/people.csv"]


@pytest.mark.parametrize(
    ("path", "data"),
    [
        pytest.param("people.csv", PEOPLE.replace("Ann", "Amy"), id="other bytes of the same length"),
        pytest.param("more.csv", PEOPLE, id="one more file"),
    ],
)
def test_a_changed_source_has_another_digest(
    bucket: Bucket, observe: Observer, tmp_path: Path, path: str, data: str
) -> None:
    bucket.put("data/people.csv", PEOPLE)
    first = observe(bucket.location())
    bucket.put(f"data/{path}", data)
    seen = observe(bucket.location(), order={"known": first.known(tmp_path)}).verdict
    assert seen.outcome == "Observed"
    assert seen.digest == seen.listing != first.verdict.digest


@pytest.mark.parametrize("identity", ["Auto", "Content"])
def test_the_same_bytes_uploaded_in_parts_are_unchanged(
    bucket: Bucket, observe: Observer, tmp_path: Path, identity: str
) -> None:
    bucket.put("data/small.csv", "a,b\n1,x\n")
    bucket.put("data/large.csv", LARGE)
    first = observe(bucket.location(), order={"identity": identity})
    bucket.put("data/large.csv", LARGE, parts_of=PART)
    known = first.known(tmp_path)
    again = observe(bucket.location(), order={"identity": identity, "known": known})
    assert (again.verdict.outcome, again.report) == ("Unchanged", None)
    assert again.verdict.digest == first.verdict.digest
    assert again.verdict.listing != first.verdict.listing
    assert bucket.reads[2:] == ["data/large.csv"]
    listed = KnownVersion(digest=known.digest, listing=again.verdict.listing, manifest=known.manifest)
    assert observe(bucket.location(), order={"identity": identity, "known": listed}).verdict.outcome == "Unchanged"
    assert bucket.reads[3:] == []


def test_a_listing_is_all_that_counts_where_it_is_asked_for(bucket: Bucket, observe: Observer, tmp_path: Path) -> None:
    bucket.put("data/large.csv", LARGE)
    first = observe(bucket.location(), order={"identity": "Listing"})
    bucket.put("data/large.csv", LARGE, parts_of=PART)
    again = observe(bucket.location(), order={"identity": "Listing", "known": first.known(tmp_path)})
    assert again.verdict.outcome == "Observed"
    assert again.verdict.digest == again.verdict.listing != first.verdict.digest
    assert again.files["large.csv"].sha256 == first.files["large.csv"].sha256


def test_content_is_the_same_wherever_the_bytes_lie(bucket: Bucket, volume: Path, observe: Observer) -> None:
    bucket.put("data/people.csv", PEOPLE)
    (volume / "people.csv").write_text(PEOPLE)
    expected = content_digest([("people.csv", len(PEOPLE), sha256(PEOPLE.encode()))])
    assert observe(bucket.location(), order={"identity": "Content"}).verdict.digest == expected
    assert observe(volume).verdict.digest == expected


def test_a_version_under_another_kind_of_name_is_not_the_same(
    bucket: Bucket, observe: Observer, tmp_path: Path
) -> None:
    bucket.put("data/people.csv", PEOPLE)
    first = observe(bucket.location())
    asked = {"identity": "Content", "known": first.known(tmp_path)}
    second = observe(bucket.location(), order=asked).verdict
    assert second.outcome == "Observed"
    assert second.digest.startswith("content:sha256:")


def test_touched_files_on_a_volume_are_unchanged(volume: Path, observe: Observer, tmp_path: Path) -> None:
    path = write_csv(volume / "a.csv", [["a"], [1]])
    first = observe(volume)
    os.utime(path, (1, 1))
    again = observe(volume, order={"known": first.known(tmp_path)}).verdict
    assert (again.outcome, again.digest) == ("Unchanged", first.verdict.digest)
    assert again.listing != first.verdict.listing
    path.write_text("a\n2\n")
    assert observe(volume, order={"known": first.known(tmp_path)}).verdict.outcome == "Observed"


def test_what_changed_is_read_first_and_nothing_twice(bucket: Bucket, observe: Observer, tmp_path: Path) -> None:
    for number in range(20):
        bucket.put(f"data/{number:02}.csv", f"a\n{number}\n")
    first = observe(bucket.location())
    bucket.put("data/07.csv", "a\n5\n")
    before = len(bucket.reads)
    assert observe(bucket.location(), order={"known": first.known(tmp_path)}).verdict.outcome == "Observed"
    reads = bucket.reads[before:]
    assert reads[0] == "data/07.csv"
    assert sorted(reads) == [f"data/{number:02}.csv" for number in range(20)]


def test_a_server_without_etags_is_read_each_time(bucket: Bucket, observe: Observer, tmp_path: Path) -> None:
    bucket.put_without_etag("data/a.csv", "a\n1\n")
    first = observe(bucket.location())
    again = observe(bucket.location(), order={"known": first.known(tmp_path)}).verdict
    assert (again.outcome, again.digest) == ("Unchanged", first.verdict.digest)
    bucket.put_without_etag("data/a.csv", "a\n2\n")
    changed = observe(bucket.location(), order={"known": first.known(tmp_path)}).verdict
    assert changed.listing == first.verdict.listing
    assert (changed.outcome, changed.digest != first.verdict.digest) == ("Observed", True)


def test_a_lost_manifest_costs_only_time(bucket: Bucket, observe: Observer, tmp_path: Path) -> None:
    bucket.put("data/a.csv", "a\n1\n")
    first = observe(bucket.location())
    known = first.known(tmp_path)
    (Path(known.manifest.directory) / "part-000").unlink()
    assert observe(bucket.location(), order={"known": known}).verdict.outcome == "Unchanged"
    bucket.put("data/b.csv", "a\n2\n")
    seen = observe(bucket.location(), order={"known": known, "checks": {"baseline": first.baseline(tmp_path / "b")}})
    assert seen.verdict.rows == 2
    assert seen.report
    assert seen.report.file_changes == FileChanges(added=1)


def test_files_are_compared_with_the_last_good_version(volume: Path, observe: Observer, tmp_path: Path) -> None:
    for name in ("same", "gone", "other", "touched"):
        write_csv(volume / f"{name}.csv", [["a"], [1]])
    first = observe(volume)
    assert first.report
    assert first.report.file_changes is None
    (volume / "gone.csv").unlink()
    write_csv(volume / "new.csv", [["a"], [1]])
    write_csv(volume / "other.csv", [["a"], [2]])
    os.utime(volume / "touched.csv", (1, 1))
    seen = observe(volume, order={"checks": {"baseline": first.baseline(tmp_path)}})
    assert seen.report
    assert seen.report.file_changes == FileChanges(added=1, removed=1, modified=1)


def portion(bytes_: int) -> dict[str, object]:
    return {"profile": {"max_bytes": str(bytes_)}}


def test_a_part_of_the_files_is_described_and_coverage_says_how_much(
    bucket: Bucket, observe: Observer, tmp_path: Path
) -> None:
    for number in range(10):
        bucket.put(f"data/{number}.csv", f"a\n{number}\n")
    seen = observe(bucket.location(), order={"checks": portion(13)})
    assert seen.report
    assert (seen.verdict.files, seen.verdict.bytes, seen.verdict.rows) == (10, 40, 3)
    assert seen.report.coverage == pytest.approx(0.3)
    read = {path for path, file in seen.files.items() if file.sha256}
    assert {f"data/{path}" for path in read} == set(bucket.reads)
    assert len(read) == 3
    bucket.put("data/x.csv", "a\n10\n")
    again = observe(bucket.location(), order={"checks": portion(13), "known": seen.known(tmp_path)})
    assert again.verdict.digest == again.verdict.listing
    assert len(read & {path for path, file in again.files.items() if file.sha256}) >= 2


def test_every_byte_is_hashed_where_content_counts_but_only_a_part_is_stored(
    volume: Path, observe: Observer, tmp_path: Path
) -> None:
    for number in range(10):
        write_csv(volume / f"{number}.csv", [["a"], [number]])
    seen = observe(volume, order={"checks": portion(13)})
    assert seen.verdict.rows == 3
    assert seen.verdict.digest == observe(volume).verdict.digest
    assert all(file.sha256 for file in seen.files.values())
    for number in range(10):
        os.utime(volume / f"{number}.csv", (1, 1))
    again = observe(volume, order={"checks": portion(13), "known": seen.known(tmp_path)})
    assert again.verdict.outcome == "Unchanged"


def test_a_store_that_gives_other_bytes_under_the_same_etag(bucket: Bucket, observe: Observer, tmp_path: Path) -> None:
    bucket.put("data/a.csv", "a\n1\n")
    bucket.put("data/b.csv", "a\n1\n")
    first = observe(bucket.location())
    bucket.rot("data/a.csv", b"a\n7\n")
    bucket.put("data/b.csv", "a\n2\n")
    error = observe.refused(bucket.location(), order={"known": first.known(tmp_path)})
    assert error.reason == "SourceInvalid"
    assert error.message.startswith("a.csv at s3://")
    assert "other bytes than its recorded sha256" in error.message
