"""`record`: what a derivation wrote is described and kept, whole and once, and nothing looks finished before it is."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from obstore.store import S3Store

from keelway.api.checks import Expectations, RowsExpectation
from keelway.api.digests import content_digest, sha256
from keelway.api.findings import FileChanges
from keelway.api.jobs import Checks, Location, RecordOrder, SplitRule, StageOrder
from keelway.worker import record, stage
from keelway.worker.errors import WorkerError
from keelway.worker.storage import KEEP
from tests.unit.worker.builders import (
    SECRET,
    Bucket,
    Observer,
    Seen,
    another_user,
    read_parquet,
    seen,
    stage_input,
    write_parquet,
)

MARKER = "_keelway.json"
PREFIX = "clean/0123456789ab/"
DERIVATION = "0123456789ab" * 5


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """What the derivation wrote: two files of 100 rows each."""
    directory = tmp_path / "output"
    write_parquet(directory / "part-0.parquet", "SELECT range AS id, range % 7 AS age FROM range(100)")
    write_parquet(directory / "part-1.parquet", "SELECT range AS id, range % 7 AS age FROM range(100, 200)")
    return directory


class Recorder:
    """Records what is in a directory."""

    def __init__(self, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._output = output
        self._capsys = capsys

    def __call__(self, destination: Location, **order: Any) -> Seen:
        told = {"derivation": DERIVATION, "format": "Parquet", "output_dir": str(self._output), **order}
        self._capsys.readouterr()
        verdict = record.record(RecordOrder(destination=destination, **told))
        self.printed = self._capsys.readouterr().out
        return seen(verdict, self.printed)

    def refused(self, destination: Location, **order: Any) -> WorkerError:
        with pytest.raises(WorkerError) as caught:
            self(destination, **order)
        assert caught.value.message
        assert SECRET not in caught.value.message
        return caught.value


@pytest.fixture
def recorder(output: Path, capsys: pytest.CaptureFixture[str]) -> Recorder:
    return Recorder(output, capsys)


def content(directory: Path) -> dict[str, bytes]:
    """Bytes by path."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in found}


def kept(bucket: Bucket) -> dict[str, bytes]:
    """What is at the destination, the marker apart."""
    return {path.removeprefix(PREFIX): bucket.read(path) for path in bucket.modified() if not path.endswith(MARKER)}


def marker(bucket: Bucket) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bucket.read(PREFIX + MARKER))
    return found


def is_finished(bucket: Bucket) -> bool:
    return PREFIX + MARKER in bucket.modified()


def test_what_was_written_is_kept_and_described(bucket: Bucket, output: Path, recorder: Recorder) -> None:
    rules = (SplitRule(name="train", percent=80), SplitRule(name="test", percent=20))
    found = recorder(bucket.location(PREFIX), splits=rules, split_key="id")
    assert kept(bucket) == content(output)
    verdict = found.verdict
    assert (verdict.outcome, verdict.rows, verdict.files) == ("Observed", 200, 2)
    assert verdict.bytes == sum(map(len, content(output).values()))
    assert verdict.digest == content_digest((p, len(data), sha256(data)) for p, data in content(output).items())
    assert found.columns == {"id": "bigint", "age": "bigint"}
    assert sum(found.rows.values()) == 200
    assert 130 < found.rows["train"] < 190
    assert found.report
    assert found.report.format == "Parquet"
    assert '"id"' in found.report.profile
    assert verdict.newest.endswith("Z")


def test_the_manifest_names_every_file_by_its_bytes_and_by_what_the_store_calls_it(
    bucket: Bucket, output: Path, recorder: Recorder
) -> None:
    found = recorder(bucket.location(PREFIX))
    assert {path: file.sha256 for path, file in found.files.items()} == {
        path: sha256(data) for path, data in content(output).items()
    }
    listed = {meta["path"]: meta["e_tag"] for meta in bucket.store.list(PREFIX).collect()}
    assert {PREFIX + path: file.etag for path, file in found.files.items()} == {
        path: etag for path, etag in listed.items() if not path.endswith(MARKER)
    }


def test_whoever_looks_there_later_finds_just_this(
    bucket: Bucket, recorder: Recorder, observe: Observer, tmp_path: Path
) -> None:
    location = bucket.location(PREFIX)
    found = recorder(location)
    again = observe(location, order={"identity": "Content"})
    assert (again.verdict.digest, again.verdict.listing) == (found.verdict.digest, found.verdict.listing)
    assert observe(location, order={"known": found.known(tmp_path)}).verdict.outcome == "Unchanged"


def test_what_was_kept_can_be_staged(bucket: Bucket, output: Path, recorder: Recorder, tmp_path: Path) -> None:
    location = bucket.location(PREFIX)
    given = stage_input(recorder(location), location, tmp_path)
    assert stage.run(StageOrder(inputs=(given,))).outcome == "Staged"
    assert content(Path(given.target)) == content(output)


def test_a_volume_keeps_it_too(tmp_path: Path, output: Path, recorder: Recorder) -> None:
    claim = tmp_path / "claim" / "clean"
    found = recorder(Location(mount=str(claim)))
    assert content(claim).keys() == {*content(output), MARKER}
    assert read_parquet(claim / "*.parquet", "count(*)") == [(200,)]
    given = stage_input(found, claim, tmp_path)
    assert stage.run(StageOrder(inputs=(given,))).outcome == "Staged"
    (claim / "part-9.parquet").write_bytes(b"stray")
    before = {path: path.stat().st_mtime_ns for path in claim.iterdir() if path.name != "part-9.parquet"}
    again = recorder(Location(mount=str(claim)))
    assert (again.verdict.digest, again.verdict.listing) == (found.verdict.digest, found.verdict.listing)
    after = {path: path.stat().st_mtime_ns for path in claim.iterdir()}
    assert after.keys() == before.keys()
    changed = {path.name for path in after if after[path] != before[path]}
    assert changed == {MARKER}, "no file was written again"


FORMATS: dict[str, dict[str, bytes]] = {
    "CSV": {"a.csv": b"a,b\n1,x\n2,y\n"},
    "JSONLines": {"a.jsonl": b'{"a": 1}\n{"a": 2}\n'},
    "Files": {"deep/notes.txt": b"hello", "größe #1.bin": b"\0\1"},
}


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_job_may_write_any_format(bucket: Bucket, tmp_path: Path, capsys: Any, format_name: str) -> None:
    output = tmp_path / "written"
    for path, data in FORMATS[format_name].items():
        (output / path).parent.mkdir(parents=True, exist_ok=True)
        (output / path).write_bytes(data)
    found = Recorder(output, capsys)(bucket.location(PREFIX), format=format_name)
    assert kept(bucket) == FORMATS[format_name]
    assert found.files.keys() == FORMATS[format_name].keys()
    assert found.report
    assert found.report.format == format_name


def test_the_marker_lists_what_belongs_together(bucket: Bucket, output: Path, recorder: Recorder) -> None:
    verdict = recorder(bucket.location(PREFIX)).verdict
    assert (marker(bucket)["derivation"], marker(bucket)["digest"]) == (DERIVATION, verdict.digest)
    assert {file["path"]: (file["size"], file["sha256"]) for file in marker(bucket)["files"]} == {
        path: (len(data), sha256(data)) for path, data in content(output).items()
    }


def test_expectations_are_judged_and_what_breaks_them_is_kept_for_people_to_look_at(
    bucket: Bucket, output: Path, recorder: Recorder
) -> None:
    checks = Checks(expectations=Expectations(rows=RowsExpectation(min=1000)))
    found = recorder(bucket.location(PREFIX), checks=checks)
    assert found.report
    assert [one.check for one in found.report.violations] == ["rows.min"]
    assert kept(bucket) == content(output)


def test_files_are_compared_with_those_of_the_baseline(
    bucket: Bucket, output: Path, recorder: Recorder, tmp_path: Path
) -> None:
    first = recorder(bucket.location("clean/before/"))
    write_parquet(output / "part-1.parquet", "SELECT range AS id, 1::bigint AS age FROM range(3)")
    write_parquet(output / "part-2.parquet", "SELECT range AS id, 1::bigint AS age FROM range(3)")
    found = recorder(bucket.location(PREFIX), checks=Checks(baseline=first.baseline(tmp_path)))
    assert found.report
    assert found.report.file_changes == FileChanges(added=1, removed=0, modified=1)


def test_hidden_files_are_left_out(bucket: Bucket, output: Path, recorder: Recorder) -> None:
    written = content(output)
    for path in ("_SUCCESS", ".part-0.parquet.crc", "_temporary/part-9.parquet"):
        (output / path).parent.mkdir(exist_ok=True)
        (output / path).write_bytes(b"x")
    recorder(bucket.location(PREFIX))
    assert kept(bucket) == written


@pytest.mark.parametrize(
    ("written", "words"),
    [([], "holds no files"), (["empty/"], "holds no files"), (["_SUCCESS", ".hidden/a.parquet"], "only hidden files")],
)
def test_nothing_was_written(bucket: Bucket, tmp_path: Path, capsys: Any, written: list[str], words: str) -> None:
    output = tmp_path / "nothing"
    output.mkdir()
    for path in written:
        (output / path).parent.mkdir(parents=True, exist_ok=True)
        (output / path).mkdir() if path.endswith("/") else (output / path).write_bytes(b"x")
    error = Recorder(output, capsys).refused(bucket.location(PREFIX))
    assert error.reason == "OutputMissing"
    assert words in error.message
    assert "write the data into it" in error.message
    assert bucket.modified() == {}


# again


def test_the_same_is_not_sent_again(bucket: Bucket, recorder: Recorder) -> None:
    first = recorder(bucket.location(PREFIX))
    os.utime(bucket.server.root / bucket.name / PREFIX / MARKER, (2**31, 2**31))
    before = bucket.modified()
    assert recorder(bucket.location(PREFIX)) == first, "the age of the marker is not that of the data"
    assert "sending 0 of 2 files" in recorder.printed
    assert bucket.modified() == before


def test_what_is_there_without_a_marker_is_not_trusted(bucket: Bucket, output: Path, recorder: Recorder) -> None:
    """As an upload leaves it that was cut off: a file of the right size, and one that belongs to nobody."""
    size = (output / "part-0.parquet").stat().st_size
    bucket.put(f"{PREFIX}part-0.parquet", b"x" * size)
    bucket.put(f"{PREFIX}part-0-of-another-try.parquet", b"x")
    bucket.put("clean/another/part-0.parquet", b"not ours")
    recorder(bucket.location(PREFIX))
    assert "sending 2 of 2 files" in recorder.printed
    assert {path for path in bucket.modified() if path.startswith(PREFIX)} == {
        f"{PREFIX}part-0.parquet",
        f"{PREFIX}part-1.parquet",
        PREFIX + MARKER,
    }
    assert bucket.read(f"{PREFIX}part-0.parquet") == (output / "part-0.parquet").read_bytes()
    assert bucket.read("clean/another/part-0.parquet") == b"not ours"


def test_only_what_differs_is_sent_again(bucket: Bucket, output: Path, recorder: Recorder) -> None:
    recorder(bucket.location(PREFIX))
    before = bucket.modified()
    (output / "part-1.parquet").unlink()
    write_parquet(output / "part-2.parquet", "SELECT range AS id, 1::bigint AS age FROM range(3)")
    found = recorder(bucket.location(PREFIX))
    assert "sending 1 of 2 files" in recorder.printed
    assert kept(bucket) == content(output), "what is no longer part of it has gone"
    assert bucket.modified()[f"{PREFIX}part-0.parquet"] == before[f"{PREFIX}part-0.parquet"]
    assert marker(bucket)["digest"] == found.verdict.digest


def test_a_file_that_somebody_has_changed_since_is_sent_again(bucket: Bucket, output: Path, recorder: Recorder) -> None:
    recorder(bucket.location(PREFIX))
    bucket.put(f"{PREFIX}part-0.parquet", b"x" * (output / "part-0.parquet").stat().st_size)
    recorder(bucket.location(PREFIX))
    assert "sending 1 of 2 files" in recorder.printed
    assert kept(bucket) == content(output)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"derivation": 1}', b"\xff\xfe"])
def test_a_marker_that_cannot_be_read_counts_for_nothing(bucket: Bucket, recorder: Recorder, text: bytes) -> None:
    recorder(bucket.location(PREFIX))
    bucket.put(PREFIX + MARKER, text)
    verdict = recorder(bucket.location(PREFIX)).verdict
    assert "sending 2 of 2 files" in recorder.printed
    assert marker(bucket)["digest"] == verdict.digest


def test_a_marker_of_another_derivation_counts_for_nothing(bucket: Bucket, recorder: Recorder) -> None:
    recorder(bucket.location(PREFIX), derivation="f" * 60)
    recorder(bucket.location(PREFIX))
    assert "sending 2 of 2 files" in recorder.printed
    assert marker(bucket)["derivation"] == DERIVATION


class Crash(BaseException):
    """The process is killed."""


def _dies_at(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = S3Store.put_async

    async def put(store: S3Store, name: str, file: Path, **options: Any) -> Any:
        if name == path:
            raise Crash
        return await real(store, name, file, **options)

    monkeypatch.setattr(S3Store, "put_async", put)


@pytest.mark.parametrize("path", ["part-0.parquet", "part-1.parquet", MARKER])
@pytest.mark.parametrize("before", ["nothing", "finished"])
def test_a_crash_leaves_nothing_that_looks_finished(
    bucket: Bucket, output: Path, recorder: Recorder, path: str, before: str
) -> None:
    if before == "finished":
        recorder(bucket.location(PREFIX))
        for number in range(2):
            write_parquet(output / f"part-{number}.parquet", f"SELECT {number}::bigint AS id, 1::bigint AS age")
    with pytest.MonkeyPatch.context() as monkeypatch:
        _dies_at(path, monkeypatch)
        with pytest.raises(Crash):
            recorder(bucket.location(PREFIX))
    assert not is_finished(bucket)
    recorder(bucket.location(PREFIX))
    assert is_finished(bucket)
    assert kept(bucket) == content(output)


def test_data_that_cannot_be_read_leave_nothing_that_looks_finished(
    bucket: Bucket, output: Path, recorder: Recorder
) -> None:
    (output / "part-1.parquet").write_bytes(b"PAR1 is all there is of it")
    error = recorder.refused(bucket.location(PREFIX))
    assert error.reason == "SourceInvalid"
    assert "part-1.parquet" in error.message
    assert not is_finished(bucket)


# what is not taken


@pytest.mark.parametrize(
    ("name", "words"),
    [("extra.csv", "extra.csv in KEELWAY_OUTPUT_DIR is no Parquet file"), ("empty.parquet", "empty (0 bytes)")],
)
def test_files_that_are_not_of_the_format(
    bucket: Bucket, output: Path, recorder: Recorder, name: str, words: str
) -> None:
    (output / name).write_bytes(b"a\n1\n" if name.endswith("csv") else b"")
    error = recorder.refused(bucket.location(PREFIX))
    assert error.reason == "SourceInvalid"
    assert words in error.message
    assert bucket.modified() == {}


def _link(target: str) -> Callable[[Path], Any]:
    return lambda output: (output / "trap.parquet").symlink_to(target)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(_link("/etc/hostname"), "link that leaves the volume", id="file outside"),
        pytest.param(_link("../secret/AWS_SECRET_ACCESS_KEY"), "link that leaves the volume", id="our secret"),
        pytest.param(_link("/etc"), "link that leaves the volume", id="directory outside"),
        pytest.param(lambda output: os.mkfifo(output / "trap.parquet"), "not a regular file", id="pipe"),
        pytest.param(
            lambda output: Path(os.fsdecode(bytes(output) + b"/caf\xe9.parquet")).write_bytes(b"x"),
            "not UTF-8",
            id="name",
        ),
    ],
)
def test_what_is_not_a_plain_file_is_refused(
    bucket: Bucket, output: Path, recorder: Recorder, make: Callable[[Path], Any], words: str
) -> None:
    make(output)
    error = recorder.refused(bucket.location(PREFIX))
    assert error.reason == "SourceInvalid"
    assert words in error.message
    assert bucket.modified() == {}


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_what_only_its_writer_may_read(open_directory: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(open_directory / "output" / "a.parquet", "SELECT 1 AS a").chmod(0o600)
    room, claim = open_directory / "scratch", open_directory / "claim"
    for directory in (room, claim):
        directory.mkdir()
        directory.chmod(0o777)
    monkeypatch.setenv("KEELWAY_SCRATCH", str(room))
    with another_user():
        error = Recorder(open_directory / "output", capsys).refused(Location(mount=str(claim)))
    assert error.reason == "SourceInvalid"
    assert "let all read it" in error.message
    assert list(claim.iterdir()) == []


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "KEEP", replace(KEEP, retries=1, answer_seconds=0.5))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        pytest.param({"endpoint": "http://127.0.0.1:1"}, "UploadFailed", "refuses connections", id="refused"),
        pytest.param({"uri": "s3://no-such-bucket/m/"}, "UploadFailed", "does not exist", id="no bucket"),
        pytest.param({"secret_dir": ""}, "AccessDenied", "", id="no credentials"),
        pytest.param({"secret_dir": "/nonexistent"}, "SecretMissing", "the Secret 'lake'", id="no secret"),
    ],
)
def test_a_destination_that_does_not_take_it(
    bucket: Bucket, recorder: Recorder, changes: dict[str, Any], reason: str, words: str
) -> None:
    error = recorder.refused(bucket.location(PREFIX, **changes))
    assert error.reason == reason
    assert words in error.message


@pytest.mark.usefixtures("impatient")
def test_a_server_that_never_answers(bucket: Bucket, recorder: Recorder, silent_server: socket.socket) -> None:
    endpoint = f"http://127.0.0.1:{silent_server.getsockname()[1]}"
    assert recorder.refused(bucket.location(PREFIX, endpoint=endpoint)).reason == "UploadFailed"


def test_nothing_of_it_stays_in_the_scratch_space(bucket: Bucket, recorder: Recorder, scratch: Path) -> None:
    recorder(bucket.location(PREFIX))
    assert list(scratch.iterdir()) == []
