"""The programs of a rollout as a Job runs them: a model is staged, an evaluation measured, a candidate asked."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dev.processes import wait_until
from keelway.api.digests import sha256, tree_digest
from keelway.api.jobs import VERDICT_BYTES, Location, StagedModel, StageOrder
from keelway.api.judging import MeasureOrder, SmokeCall, SmokeOrder
from keelway.manifests.worker_container import worker_container
from tests.unit.worker import limited
from tests.unit.worker.builders import Bucket, write_metrics
from tests.unit.worker.running import SECONDS, Start, line_of
from tests.unit.worker.source_servers import Page, web_server

MIB = 2**20


def model_order(directory: Path, digest: str, target: Path) -> StageOrder:
    return StageOrder(model=StagedModel(location=Location(mount=str(directory)), digest=digest, target=str(target)))


def test_a_full_disk_leaves_nothing_of_a_model(volume: Path, start: Start, tmp_path: Path) -> None:
    files = {"a.bin": b"x" * 1000, "b.bin": b"x" * 600_000}
    for name, data in files.items():
        (volume / name).write_bytes(data)
    digest = tree_digest((name, len(data), sha256(data)) for name, data in files.items())
    order, target = model_order(volume, digest, tmp_path / "model"), tmp_path / "model"
    full = start("stage", order, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)))
    full.end()
    assert full.verdict["reason"] == "OutOfSpace"
    assert list(target.iterdir()) == []
    worker = start("stage", order)
    worker.end()
    assert (worker.verdict["outcome"], sorted(os.listdir(target))) == ("Staged", ["a.bin", "b.bin"])


def test_a_large_model_takes_little_memory(bucket: Bucket, tmp_path: Path) -> None:
    """Eight files are under way at a time; all of them together are not."""
    zeros, size = hashlib.sha256(), 40 * MIB
    for _ in range(size // MIB):
        zeros.update(bytes(MIB))
    names = [f"part-{number}" for number in range(10)]
    for name in names:
        bucket.put_without_etag(f"m/{name}", "")
        os.truncate(bucket.server.root / bucket.name / "m" / name, size)
    digest = tree_digest((name, size, zeros.hexdigest()) for name in names)
    order = StageOrder(model=StagedModel(location=bucket.location("m"), digest=digest))
    usage, log = tmp_path / "usage", tmp_path / "log"
    environment = {**os.environ, "KEELWAY_ORDER": json.dumps(order.to_json()), "KEELWAY_TERMINATION_LOG": str(log)}
    command = [sys.executable, limited.__file__, str(usage), str(2**30), "60"]
    subprocess.run([*command, sys.executable, "-m", "keelway.worker", "stage"], env=environment, check=True)
    verdict = json.loads(log.read_bytes())
    assert (verdict["outcome"], verdict["files"], verdict["bytes"]) == ("Staged", 10, 10 * size), verdict
    peak = json.loads(usage.read_text())["peak"]
    print(f"{peak // MIB} MiB")
    assert peak < 160 * MIB


def test_measure_waits_for_sigterm(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    worker = start("measure", MeasureOrder(metrics_file=str(file), wanted=("auc", "loss")))
    assert "waiting for the end" in line_of(worker.process.stdout)
    write_metrics(file, {"auc": 0.1}, {"step": 3, "loss": 0.25, "auc": 0.75})
    worker.process.send_signal(signal.SIGTERM)
    printed = worker.end()
    assert worker.process.returncode == 0, printed
    assert worker.verdict["metrics"] == {"auc": 0.75, "loss": 0.25, "step": 3.0}


def test_a_sigterm_is_not_lost_once_measure_says_that_it_is_ready(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = tmp_path / "ready"
    monkeypatch.setenv("KEELWAY_READY_FILE", str(ready))
    worker = start("measure", MeasureOrder(metrics_file=str(tmp_path / "none"), wanted=("auc",)))
    wait_until(ready.exists, seconds=SECONDS, every=0.001, what="the worker is ready")
    worker.process.send_signal(signal.SIGTERM)
    worker.end()
    assert worker.process.returncode == 1
    assert (worker.verdict["outcome"], worker.verdict["reason"]) == ("Failed", "MetricMissing")


def test_the_metrics_that_are_checked_stay_whatever_else_was_measured(start: Start, tmp_path: Path) -> None:
    checked = [f"checked {number} {'ü' * 20}" for number in range(16)]
    others = {f"other {number} {'x' * 300}": 0.5 for number in range(2000)}
    file = write_metrics(tmp_path / "metrics.jsonl", {**others, **dict.fromkeys(checked, 0.25)})
    worker = start("measure", MeasureOrder(metrics_file=str(file), wanted=tuple(checked)))
    line_of(worker.process.stdout)
    worker.process.send_signal(signal.SIGTERM)
    worker.end()
    assert set(checked) <= worker.verdict["metrics"].keys()
    assert worker.termination_log.stat().st_size <= VERDICT_BYTES


def test_smoke_says_how_it_went(start: Start) -> None:
    with web_server() as server:
        server.pages["ready"] = Page(data=b"secret-answer")
        good, bad = SmokeCall(url=server.url("ready"), method="GET"), SmokeCall(url=server.url("gone"), method="GET")
        worker = start("smoke", SmokeOrder(calls=(good,), max_seconds=10))
        printed = worker.end()
        assert (worker.process.returncode, worker.verdict["outcome"]) == (0, "Answered"), printed
        assert 0 < worker.verdict["slowestSeconds"] < 10
        assert "secret-answer" not in printed
        worker = start("smoke", SmokeOrder(calls=(good, bad), max_seconds=10))
        worker.end()
    assert (worker.process.returncode, worker.verdict["reason"]) == (1, "SmokeFailed")
    assert worker.verdict["message"] == "request 2 of 2, GET /gone, was answered with status 404 instead of 200"


def test_an_order_that_one_variable_cannot_hold_and_signs_that_kubernetes_would_rewrite(start: Start) -> None:
    """Sixteen of the longest bodies, as the container of a Job is told them."""
    body = ("$$(KEELWAY_SCRATCH) $HOME \\$ ü" * 1000)[:16384]
    with web_server() as server:
        server.pages["m"] = Page(data=b"{}")
        call = SmokeCall(url=server.url("m"), method="POST", body=body)
        order = SmokeOrder(calls=(call,) * 16, max_seconds=10)
        variables = worker_container("smoke", order, image="worker:1", pull_policy="Never")["env"]
        told = {variable["name"]: variable["value"] for variable in variables if "ORDER" in variable["name"]}
        worker = start("smoke", {name: value.replace("$$", "$") for name, value in told.items()})
        printed = worker.end()
    assert (worker.process.returncode, worker.verdict["outcome"]) == (0, "Answered"), printed
    assert len(told) > 1
    assert [one.body for one in server.asked] == [body.encode()] * 16
