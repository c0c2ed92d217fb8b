"""`collect`: metrics first, then the model, whole and once."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import S3Store

from keelway.api.digests import sha256, short, tree_digest
from keelway.api.jobs import CollectOrder, CollectVerdict, Location
from keelway.api.tracking import MlflowOrder
from keelway.worker import collect
from keelway.worker.errors import WorkerError
from keelway.worker.storage import KEEP
from keelway.worker.stores import objects
from tests.unit.worker.builders import Bucket, another_user, write_metrics, write_secret

FILES = {"model.joblib": b"weights", "sub dir/größe #1.json": b"{}", "sub dir/empty": b""}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "model"
    for path, data in FILES.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(data)
    return directory


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    return write_metrics(tmp_path / "metrics.jsonl", {"auc": 0.5}, {"auc": 0.9, "loss": 0.2})


class Collector:
    """Collects the model of a test."""

    def __init__(self, model: Path, metrics: Path) -> None:
        self._order = {"metrics_file": str(metrics), "model_dir": str(model), "objective": "auc"}

    def __call__(self, destination: Location) -> CollectVerdict:
        return collect.collect(CollectOrder(destination=destination, **self._order))

    def refused(self, destination: Location) -> WorkerError:
        with pytest.raises(WorkerError) as caught:
            self(destination)
        return caught.value


@pytest.fixture
def collector(model: Path, metrics: Path) -> Collector:
    return Collector(model, metrics)


def expected_digest(files: dict[str, bytes]) -> str:
    return tree_digest((path, len(data), sha256(data)) for path, data in files.items())


def test_the_model_and_the_metrics_are_kept(bucket: Bucket, collector: Collector) -> None:
    verdict = collector(bucket.location("models/churn/"))
    digest = expected_digest(FILES)
    assert verdict.outcome == "Collected"
    assert verdict.metrics == {"auc": 0.9, "loss": 0.2}
    assert (verdict.digest, verdict.directory) == (digest, short(digest))
    assert (verdict.files, verdict.bytes) == (3, 9)
    for path, data in FILES.items():
        assert bucket.read(f"models/churn/{verdict.directory}/{path}") == data
    assert len(bucket.modified()) == 3 + 1, "and the list of them"


def test_a_volume_keeps_it_too(tmp_path: Path, collector: Collector) -> None:
    claim = tmp_path / "claim" / "models"
    verdict = collector(Location(mount=str(claim)))
    kept = claim / verdict.directory
    assert {str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file()} == set(FILES)
    assert (kept / "model.joblib").read_bytes() == b"weights"
    assert (kept / "model.joblib").stat().st_mode & 0o444 == 0o444


def test_a_large_file_is_sent_in_parts(bucket: Bucket, collector: Collector, model: Path) -> None:
    data = os.urandom(objects.PART * 2 + 12345)
    (model / "large.bin").write_bytes(data)
    verdict = collector(bucket.location("models/"))
    kept = f"models/{verdict.directory}/large.bin"
    assert bucket.read(kept) == data
    assert str(obstore.head(bucket.store, kept)["e_tag"]).rstrip('"').endswith("-3")


def test_many_files(bucket: Bucket, collector: Collector, model: Path) -> None:
    for number in range(200):
        (model / f"shard-{number}").write_bytes(b"x" * number)
    assert collector(bucket.location("models/")).files == 203
    assert len(bucket.modified()) == 203 + 1


def test_the_same_model_is_not_sent_again(
    bucket: Bucket, collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    first = collector(bucket.location("models/"))
    before = bucket.modified()
    capsys.readouterr()
    assert collector(bucket.location("models/")) == first
    assert "sent 0 of 3 files" in capsys.readouterr().out
    assert bucket.modified() == before


def test_an_upload_that_was_cut_off_is_completed(
    bucket: Bucket, collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = short(expected_digest(FILES))
    bucket.put(f"models/{directory}/model.joblib", b"weights")
    bucket.put(f"models/{directory}/sub dir/größe #1.json", b"other size")
    collector(bucket.location("models/"))
    assert "sent 2 of 3 files" in capsys.readouterr().out
    assert bucket.read(f"models/{directory}/sub dir/größe #1.json") == b"{}"


def test_another_model_has_another_directory(bucket: Bucket, collector: Collector, model: Path) -> None:
    first = collector(bucket.location("models/"))
    (model / "model.joblib").write_bytes(b"wEights")
    second = collector(bucket.location("models/"))
    assert first.directory != second.directory
    assert len(bucket.modified()) == 6 + 2


@pytest.mark.parametrize(
    ("lines", "reason"),
    [([], "MetricMissing"), ([{"loss": 1}], "MetricMissing"), (['{"auc": NaN}'], "MetricInvalid")],
)
def test_without_the_objective_nothing_is_sent(
    bucket: Bucket, collector: Collector, metrics: Path, lines: list[object], reason: str
) -> None:
    write_metrics(metrics, *lines)
    assert collector.refused(bucket.location("models/")).reason == reason
    assert bucket.modified() == {}


@pytest.mark.parametrize("state", ["absent", "empty", "empty directories"])
def test_no_model(bucket: Bucket, metrics: Path, tmp_path: Path, state: str) -> None:
    directory = tmp_path / "nothing"
    if state != "absent":
        (directory / ("a/b" if state == "empty directories" else "")).mkdir(parents=True)
    error = Collector(directory, metrics).refused(bucket.location("models/"))
    assert error.reason == "ModelMissing"
    assert "write the model" in error.message
    assert bucket.modified() == {}


def test_a_link_inside_the_model_counts_as_its_file(bucket: Bucket, collector: Collector, model: Path) -> None:
    (model / "latest").symlink_to("model.joblib")
    verdict = collector(bucket.location("models/"))
    assert verdict.digest == expected_digest({**FILES, "latest": b"weights"})
    assert bucket.read(f"models/{verdict.directory}/latest") == b"weights"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        pytest.param("/etc/hostname", "is a link that leaves KEELWAY_MODEL_DIR", id="file outside"),
        pytest.param("../secret/AWS_SECRET_ACCESS_KEY", "is a link that leaves KEELWAY_MODEL_DIR", id="our secret"),
        pytest.param("/etc", "is a link that leaves KEELWAY_MODEL_DIR", id="directory outside"),
        pytest.param("sub dir", "is not a regular file", id="directory inside"),
        pytest.param("absent", "is not a regular file", id="nothing"),
        pytest.param("trap", "", id="itself"),
    ],
)
def test_links_that_are_not_followed(
    bucket: Bucket, collector: Collector, model: Path, target: str, words: str
) -> None:
    (model / "trap").symlink_to(target)
    error = collector.refused(bucket.location("models/"))
    assert error.reason == "ModelMissing"
    assert words in error.message
    assert bucket.modified() == {}


def test_a_model_directory_that_is_a_link(bucket: Bucket, metrics: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(model)
    assert Collector(tmp_path / "link", metrics).refused(bucket.location("models/")).reason == "ModelMissing"


def test_a_pipe_is_not_opened(bucket: Bucket, collector: Collector, model: Path) -> None:
    os.mkfifo(model / "pipe")
    assert "pipe is not a regular file" in collector.refused(bucket.location("models/")).message


def test_a_name_that_is_not_utf_8(bucket: Bucket, collector: Collector, model: Path) -> None:
    Path(os.fsdecode(bytes(model) + b"/caf\xe9")).write_bytes(b"x")
    error = collector.refused(bucket.location("models/"))
    assert error.reason == "ModelMissing"
    assert "not UTF-8" in error.message


def test_a_name_that_no_reader_of_the_bucket_would_take(bucket: Bucket, collector: Collector, model: Path) -> None:
    (model / "two\nlines").write_bytes(b"x")
    error = collector.refused(bucket.location("models/"))
    assert error.reason == "ModelMissing"
    assert "a control character" in error.message
    assert bucket.modified() == {}


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_what_only_its_writer_may_read(bucket: Bucket, open_directory: Path, kind: str) -> None:
    metrics = write_metrics(open_directory / "metrics.jsonl", {"auc": 1})
    (open_directory / "model" / "private").mkdir(parents=True)
    (open_directory / "model" / "private" / "weights").write_bytes(b"x")
    path = open_directory / "model" / "private" / ("weights" if kind == "file" else "")
    path.chmod(0o000)
    try:
        with another_user():
            error = Collector(open_directory / "model", metrics).refused(bucket.location("models/"))
    finally:
        path.chmod(0o700)
    assert error.reason == "ModelMissing"
    assert error.message.startswith("private/weights cannot" if kind == "file" else "private cannot")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "KEEP", replace(KEEP, retries=1, answer_seconds=0.5))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        pytest.param({"endpoint": "http://127.0.0.1:1"}, "UploadFailed", "refuses connections", id="refused"),
        pytest.param({"uri": "s3://no-such-bucket/m/"}, "UploadFailed", "does not exist", id="no bucket"),
        pytest.param({"secret_dir": ""}, "AccessDenied", "check the credentials", id="no credentials"),
        pytest.param({"secret_dir": "/nonexistent"}, "SecretMissing", "the Secret 'lake'", id="no secret"),
    ],
)
def test_a_destination_that_does_not_take_it(
    bucket: Bucket, collector: Collector, changes: dict[str, Any], reason: str, words: str
) -> None:
    error = collector.refused(bucket.location("models/", **changes))
    assert error.reason == reason
    assert words in error.message


def test_wrong_credentials(bucket: Bucket, collector: Collector) -> None:
    write_secret(bucket.secret_dir, AWS_SECRET_ACCESS_KEY="other")
    assert collector.refused(bucket.location("models/")).reason == "AccessDenied"


@pytest.mark.usefixtures("impatient")
def test_a_server_that_never_answers(bucket: Bucket, collector: Collector, silent_server: socket.socket) -> None:
    endpoint = f"http://127.0.0.1:{silent_server.getsockname()[1]}"
    assert collector.refused(bucket.location("models/", endpoint=endpoint)).reason == "UploadFailed"


def test_a_file_that_arrives_short(bucket: Bucket, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that lies: it takes the upload and keeps less."""
    real = S3Store.put_async

    async def keep_less(store: S3Store, path: str, file: Path, **options: Any) -> Any:
        del file
        return await real(store, path, b"less", **options)

    monkeypatch.setattr(S3Store, "put_async", keep_less)
    assert collector.refused(bucket.location("models/")).reason == "UploadFailed"


def test_what_mlflow_is_not_told_costs_the_trial_nothing_and_the_verdict_says_so(
    bucket: Bucket, model: Path, metrics: Path
) -> None:
    nobody = MlflowOrder(uri="http://127.0.0.1:1", experiment="churn", run_name="trial")
    order = {"metrics_file": str(metrics), "model_dir": str(model), "objective": "auc", "mlflow": nobody}
    verdict = collect.collect(CollectOrder(destination=bucket.location("models/"), **order))
    assert (verdict.outcome, verdict.metrics["auc"], verdict.mlflow_run) == ("Collected", 0.9, "")
    assert "127.0.0.1:1" in verdict.mlflow_error
    assert len(bucket.modified()) == 4


def test_a_trial_that_failed_is_told_to_mlflow_and_stays_failed(bucket: Bucket, model: Path, metrics: Path) -> None:
    write_metrics(metrics, {"loss": 1})
    nobody = MlflowOrder(uri="http://127.0.0.1:1", experiment="churn", run_name="trial")
    order = {"metrics_file": str(metrics), "model_dir": str(model), "objective": "auc", "mlflow": nobody}
    verdict = collect.collect(CollectOrder(destination=bucket.location("models/"), **order))
    assert (verdict.outcome, verdict.reason) == ("Failed", "MetricMissing")
    assert verdict.mlflow_error
    assert bucket.modified() == {}


def test_the_curve_of_a_trial_that_was_followed_is_in_its_verdict(bucket: Bucket, model: Path, metrics: Path) -> None:
    write_metrics(metrics, {"step": 1, "auc": 0.5}, {"step": 2, "auc": 0.7}, {"auc": 0.9})
    order = {"metrics_file": str(metrics), "model_dir": str(model), "objective": "auc"}
    verdicts = [
        collect.collect(CollectOrder(destination=bucket.location("models/"), follow=follow, **order))
        for follow in (True, False)
    ]
    assert [verdict.curve for verdict in verdicts] == [((1, 0.5), (2, 0.7)), ()]
