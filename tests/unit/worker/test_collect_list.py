"""`collect`: nothing looks finished before it is, and what is there whole is not sent again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keelway.api.digests import canonical_json, sha256, short, tree_digest
from keelway.api.jobs import CollectOrder, CollectVerdict, Location, list_beside
from keelway.worker import collect, transfer
from keelway.worker.errors import WorkerError
from keelway.worker.storage import Storage
from keelway.worker.stores.objects import ObjectStorage
from keelway.worker.stores.volume import UNFINISHED, VolumeStorage
from tests.unit.worker.builders import Bucket, write_metrics

FILES = {f"part-{number}.bin": bytes([number]) * 100 for number in range(5)}
DIGEST = tree_digest((path, len(data), sha256(data)) for path, data in FILES.items())
DIRECTORY, LIST = short(DIGEST), f"files-{short(DIGEST)}.json"


class Killed(BaseException):
    """The pod is gone in the middle of what it did."""


class Trial:
    """One trial's model, collected again and again."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.model = directory / "model"
        self.model.mkdir()
        for path, data in FILES.items():
            (self.model / path).write_bytes(data)
        self._metrics = write_metrics(directory / "metrics.jsonl", {"auc": 0.9})
        self._capsys = capsys

    def collect(self, destination: Location) -> CollectVerdict:
        self._capsys.readouterr()
        order = {"metrics_file": str(self._metrics), "model_dir": str(self.model), "objective": "auc"}
        return collect.collect(CollectOrder(destination=destination, **order))

    @property
    def sent(self) -> str:
        """What the last one said of itself."""
        return self._capsys.readouterr().out.partition("sent ")[2].partition(" files")[0]


@pytest.fixture
def trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Trial:
    return Trial(tmp_path, capsys)


@pytest.fixture(params=["bucket", "volume"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Destination:
    if request.param == "volume":
        return Destination(tmp_path / "claim", Location(mount=str(tmp_path / "claim")), VolumeStorage)
    bucket: Bucket = request.getfixturevalue("bucket")
    return Destination(bucket.server.root / bucket.name / "m", bucket.location("m/"), ObjectStorage)


class Destination:
    """Where the model goes, with the directory behind it to look into."""

    def __init__(self, root: Path, location: Location, kind: type[Storage]) -> None:
        self.root, self.location, self.kind = root, location, kind

    def content(self) -> dict[str, bytes]:
        files = (path for path in self.root.rglob("*") if path.is_file() and ".sgwtmp" not in path.parts)
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in files}

    def times(self) -> dict[str, int]:
        return {path: (self.root / path).stat().st_mtime_ns for path in self.content()}


def test_the_list_names_every_file_by_its_bytes_and_is_beside_the_directory(
    trial: Trial, destination: Destination
) -> None:
    verdict = trial.collect(destination.location)
    content = destination.content()
    assert content.pop(LIST) == canonical_json(json.loads(destination.content()[LIST]))
    assert content == {f"{DIRECTORY}/{path}": data for path, data in FILES.items()}
    assert json.loads(destination.content()[LIST]) == {
        "digest": verdict.digest,
        "files": [{"path": path, "size": 100, "sha256": sha256(data)} for path, data in FILES.items()],
    }


def test_a_reader_of_everything_that_begins_with_the_directorys_path_does_not_meet_the_list() -> None:
    """As KServe reads a bucket; its server of XGBoost models takes every file that ends with .json for one."""
    assert not list_beside(f"models/{DIRECTORY}").startswith(f"models/{DIRECTORY}")


@pytest.mark.parametrize("files", range(len(FILES) + 1))
def test_an_upload_that_was_cut_off_is_no_model_and_the_next_try_sends_only_the_rest(
    trial: Trial, destination: Destination, files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(destination.kind, "put", killed_after(files, destination.kind.put))
        patched.setattr(transfer.each, "__kwdefaults__", {"at_once": 1})
        with pytest.raises(Killed):
            trial.collect(destination.location)
    arrived, before = destination.content(), destination.times()
    assert LIST not in arrived
    assert len(arrived) == files
    trial.collect(destination.location)
    assert trial.sent == f"{len(FILES) - files} of {len(FILES)}"
    assert LIST in destination.content()
    assert {path: destination.times()[path] for path in before} == before


def killed_after(files: int, put: Callable[..., Any]) -> Callable[..., Any]:
    """An upload of so many files, and of no more."""
    left = [files]

    async def some(storage: Storage, path: str, source: Path) -> Any:
        if not left[0]:
            raise Killed
        left[0] -= 1
        return await put(storage, path, source)

    return some


def test_with_the_list_there_nothing_is_sent(trial: Trial, destination: Destination) -> None:
    first = trial.collect(destination.location)
    before = destination.times()
    assert trial.collect(destination.location) == first
    assert trial.sent == f"0 of {len(FILES)}"
    assert destination.times() == before


@pytest.mark.parametrize("data", [b"", b"{}", b'{"digest":"sha256:other","files":[]}', b"\xff"])
def test_another_list_is_written_anew(trial: Trial, destination: Destination, data: bytes) -> None:
    trial.collect(destination.location)
    whole = destination.content()
    (destination.root / LIST).write_bytes(data)
    trial.collect(destination.location)
    assert trial.sent == f"0 of {len(FILES)}"
    assert destination.content() == whole


def test_a_file_that_was_deleted_by_hand_comes_back_and_until_then_there_is_no_list(
    trial: Trial, destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial.collect(destination.location)
    (destination.root / DIRECTORY / "part-3.bin").unlink()
    real, seen = destination.kind.put, list[bool]()

    async def put(storage: Storage, path: str, source: Path) -> Any:
        seen.append((destination.root / LIST).exists())
        return await real(storage, path, source)

    monkeypatch.setattr(destination.kind, "put", put)
    trial.collect(destination.location)
    assert trial.sent == f"1 of {len(FILES)}"
    assert seen == [False, False]
    assert LIST in destination.content()


def test_what_an_upload_left_half_written_on_a_volume_goes(trial: Trial, tmp_path: Path) -> None:
    directory = tmp_path / "claim" / DIRECTORY
    directory.mkdir(parents=True)
    (directory / f".0123456789abcdef{UNFINISHED}").write_bytes(b"half")
    (directory / "part-1.bin").symlink_to(tmp_path / "elsewhere")
    trial.collect(Location(mount=str(tmp_path / "claim")))
    assert sorted(os.listdir(directory)) == sorted(FILES)
    assert not (directory / "part-1.bin").is_symlink()
    assert not (tmp_path / "elsewhere").exists()


def test_a_store_that_fails_at_the_last_file_leaves_no_list(
    trial: Trial, destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = destination.kind.put

    async def put(storage: Storage, path: str, source: Path) -> Any:
        if path.endswith("part-4.bin"):
            raise WorkerError("UploadFailed", "the bucket is down")
        return await real(storage, path, source)

    with monkeypatch.context() as patched:
        patched.setattr(destination.kind, "put", put)
        with pytest.raises(WorkerError, match="the bucket is down"):
            trial.collect(destination.location)
    assert LIST not in destination.content()
    assert trial.collect(destination.location).digest == DIGEST
