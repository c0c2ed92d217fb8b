"""`sweep`: what is not kept goes, what is elsewhere stays, and a model's list goes before its files."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keelway.api.digests import canonical_json
from keelway.api.jobs import CollectOrder, Location, SweepOrder, SweepVerdict, list_beside
from keelway.worker import collect, sweep, transfer
from keelway.worker.errors import WorkerError
from keelway.worker.storage import SWEEP, Storage, open_storage
from tests.unit.worker.builders import Bucket, another_user, write_metrics
from tests.unit.worker.destinations import Bucket as AnyBucket
from tests.unit.worker.destinations import Place, Volume

RUN = "churn/0123456789ab"
OTHERS = ["churn/0123456789ab.json", "churn/0123456789abc/1/x", "churn/other/1/x", "top", "files-0123456789ab.json"]


def swept(location: Location, *keep: str) -> int:
    verdict = sweep.run(SweepOrder(location=location, keep=keep))
    assert verdict.outcome == "Swept"
    return verdict.files


def refused(location: Location) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        sweep.run(SweepOrder(location=location))
    return caught.value


def fill(place: Place, *paths: str) -> None:
    for path in (*paths, *OTHERS):
        place.put(path)


def test_everything_of_a_run_goes_and_nothing_beside_it(place: Place) -> None:
    fill(place, *(f"{RUN}/{number}/ab/größe #{number}.bin" for number in range(12)), f"{RUN}/deep/a/b/c/d")
    assert swept(place.at(f"{RUN}/")) == 13
    assert sorted(place.content()) == sorted(OTHERS)


def test_what_is_kept_stays_with_all_below_it(place: Place) -> None:
    kept = [f"{RUN}/9/abc/model", f"{RUN}/9/abc/sub/x", f"{RUN}/9/files-abc.json"]
    fill(place, *kept, f"{RUN}/9/abcd/model", f"{RUN}/9/files-abcd.json", f"{RUN}/1/abc/model", f"{RUN}/9/x")
    assert swept(place.at(RUN), "9/abc", "9/files-abc.json") == 4
    assert sorted(place.content()) == sorted([*kept, *OTHERS])


def test_a_models_own_directory_goes_with_its_list(place: Place) -> None:
    fill(place, f"{RUN}/9/abc/model", f"{RUN}/9/files-abc.json", f"{RUN}/9/files-abcd.json", f"{RUN}/9/abcd/model")
    assert swept(place.at(f"{RUN}/9/abc")) == 2
    assert sorted(place.content()) == sorted([f"{RUN}/9/files-abcd.json", f"{RUN}/9/abcd/model", *OTHERS])


def test_a_directory_that_is_not_there_is_swept(place: Place) -> None:
    fill(place)
    assert [swept(place.at(RUN)), swept(place.at(RUN), "9/abc")] == [0, 0]
    assert sorted(place.content()) == sorted(OTHERS)


def test_it_can_be_done_again(place: Place) -> None:
    fill(place, f"{RUN}/1/a", f"{RUN}/2/b")
    assert [swept(place.at(RUN), "2"), swept(place.at(RUN), "2")] == [1, 0]
    assert sorted(place.content()) == sorted([f"{RUN}/2/b", *OTHERS])


def test_what_collect_has_kept_can_be_swept_and_kept_again(place: Place, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_bytes(os.urandom(11 * 1024 * 1024))
    metrics = write_metrics(tmp_path / "metrics.jsonl", {"auc": 0.9})
    order = CollectOrder(
        metrics_file=str(metrics), model_dir=str(model), objective="auc", destination=place.at(f"{RUN}/3")
    )
    verdict = collect.collect(order)
    kept = [f"3/{verdict.directory}", f"3/{list_beside(verdict.directory)}"]
    assert sorted(place.content()) == [f"{RUN}/{kept[0]}/weights", f"{RUN}/{kept[1]}"]
    assert place.content()[f"{RUN}/3/{verdict.directory}/weights"] == (model / "weights").read_bytes()
    assert swept(place.at(RUN), *kept) == 0
    assert swept(place.at(f"{RUN}/3/{verdict.directory}")) == 2
    assert place.content() == {}
    assert collect.collect(order) == verdict
    assert len(place.content()) == 2


@pytest.mark.parametrize("files", range(6))
def test_a_list_is_gone_before_the_first_of_its_files_is(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    """Whenever the sweep is killed: who finds the list finds every file."""
    place = AnyBucket(bucket.location(""))
    model = [f"{RUN}/9/abc/{number}" for number in range(4)]
    fill(place, *model, f"{RUN}/9/files-abc.json")
    real, left = type(open_storage(place.top, SWEEP)).delete, [files]

    async def delete(storage: Storage, path: str) -> None:
        if not left[0]:
            raise ConnectionError
        left[0] -= 1
        await real(storage, path)

    with monkeypatch.context() as patched:
        patched.setattr(type(open_storage(place.top, SWEEP)), "delete", delete)
        patched.setattr(transfer.each, "__kwdefaults__", {"at_once": 1})
        if files < 5:
            with pytest.raises(ConnectionError):
                sweep.run(SweepOrder(location=place.at(RUN)))
    there = set(place.content())
    assert f"{RUN}/9/files-abc.json" not in there or set(model) <= there
    swept(place.at(RUN))
    assert sorted(place.content()) == sorted(OTHERS)


@pytest.mark.parametrize(
    "uri",
    ["s3://lake", "s3://lake/", "gs://lake//", "az://lake", "s3://", "s3:///x", "s3://lake/a/../..", "s3://lake/.."],
)
def test_a_bucket_is_never_swept_as_a_whole(uri: str) -> None:
    error = refused(Location(uri=uri))
    assert error.reason == "SourceInvalid"
    assert "is no directory below a bucket" in error.message


@pytest.mark.parametrize("mount", ["/", "/proc", "/x", "/proc/../x/y"])
def test_nor_is_a_volume(mount: str) -> None:
    assert refused(Location(mount=mount)).reason == "SourceInvalid"


# volumes


@pytest.fixture
def claim(tmp_path: Path) -> Volume:
    (tmp_path / "claim").mkdir()
    return Volume(Location(mount=str(tmp_path / "claim")))


def test_empty_directories_go_too(claim: Volume) -> None:
    fill(claim, f"{RUN}/9/abc/model", f"{RUN}/1/abc/model")
    (claim.root / RUN / "7" / "empty").mkdir(parents=True)
    swept(claim.at(RUN), "9/abc")
    assert sorted(os.listdir(claim.root / RUN)) == ["9"]
    swept(claim.at(RUN))
    assert sorted(os.listdir(claim.root / "churn")) == ["0123456789ab.json", "0123456789abc", "other"]


def test_links_go_and_what_they_lead_to_stays(claim: Volume, tmp_path: Path) -> None:
    fill(claim, f"{RUN}/1/model")
    claim.put("churn/other/1/deep/y")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"x")
    for name, target in {
        "out": tmp_path / "outside",
        "file": tmp_path / "outside" / "file",
        "other": Path("../other"),
        "up": Path(".."),
        "absent": Path("nowhere"),
        "itself": Path("itself"),
    }.items():
        (claim.root / RUN / name).symlink_to(target)
    assert swept(claim.at(RUN)) == 7
    assert not (claim.root / RUN).exists()
    assert (tmp_path / "outside" / "file").read_bytes() == b"x"
    assert sorted(claim.content()) == sorted([*OTHERS, "churn/other/1/deep/y"])


def test_a_link_in_the_directorys_place_goes_alone(claim: Volume, tmp_path: Path) -> None:
    fill(claim)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"x")
    (claim.root / RUN).symlink_to(tmp_path / "outside")
    assert swept(claim.at(RUN)) == 1
    assert not (claim.root / RUN).is_symlink()
    assert (tmp_path / "outside" / "file").read_bytes() == b"x"


def test_names_and_depths_that_nobody_would_choose(claim: Volume) -> None:
    directory = claim.root / RUN
    directory.mkdir(parents=True)
    (directory / "two\nlines").write_bytes(b"x")
    (directory / os.fsdecode(b"caf\xe9")).write_bytes(b"x")
    (directory / ".0123.keelway-unfinished").write_bytes(b"x")
    for depth in range(1, 1500):
        os.mkdir(f"{directory}/{'d/' * depth}")
    assert swept(claim.at(RUN)) == 3
    assert os.listdir(claim.root / "churn") == []


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_files_of_another_user(open_directory: Path) -> None:
    claim = Volume(Location(mount=str(open_directory)))
    fill(claim, f"{RUN}/1/model")
    with another_user():
        error = refused(claim.at(RUN))
    assert error.reason == "AccessDenied"
    assert f"{RUN}/1/model" in claim.content()


# buckets that do not answer


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "SWEEP", replace(SWEEP, retries=1, answer_seconds=0.5))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"endpoint": "http://127.0.0.1:1"}, "SourceUnreachable", id="refused"),
        pytest.param({"uri": "s3://no-such-bucket/m/1"}, "SourceUnreachable", id="no bucket"),
        pytest.param({"secret_dir": ""}, "AccessDenied", id="no credentials"),
        pytest.param({"secret_dir": "/nonexistent"}, "SecretMissing", id="no secret"),
    ],
)
def test_a_bucket_that_does_not_let_it(bucket: Bucket, changes: dict[str, Any], reason: str) -> None:
    assert refused(bucket.location("m/1", **changes)).reason == reason


@pytest.mark.usefixtures("impatient")
def test_a_server_that_never_answers(bucket: Bucket, silent_server: socket.socket) -> None:
    endpoint = f"http://127.0.0.1:{silent_server.getsockname()[1]}"
    assert refused(bucket.location("m/1", endpoint=endpoint)).reason == "SourceUnreachable"


def test_a_place_that_can_only_be_read() -> None:
    assert "can only be read" in refused(Location(uri="https://example.com/models/1")).message


def test_the_program_leaves_its_verdict(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put(f"{RUN}/1/model", b"x")
    order = SweepOrder(location=bucket.location(RUN))
    environment = {**os.environ, "KEELWAY_ORDER": canonical_json(order.to_json()).decode()}
    environment["KEELWAY_TERMINATION_LOG"] = str(tmp_path / "verdict")
    command = [sys.executable, "-m", "keelway.worker", "sweep"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    verdict = SweepVerdict.model_validate_json((tmp_path / "verdict").read_bytes())
    assert (verdict.outcome, verdict.files) == ("Swept", 1)
    assert bucket.modified() == {}
