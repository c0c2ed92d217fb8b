"""The programs as a Job runs them: a process, an order in its environment, a verdict in a file, signals."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dev.processes import wait_until
from keelway.api.base import Model
from keelway.api.jobs import (
    REPORT_MARK,
    CollectOrder,
    CollectVerdict,
    KnownVersion,
    Location,
    ManifestOf,
    ObserveOrder,
    ObserveVerdict,
    RecordOrder,
    Source,
    StagedTable,
    StageInput,
    StageOrder,
    TransformOrder,
)
from tests.unit.worker.builders import (
    SECRET,
    Bucket,
    Observer,
    read_parquet,
    seen,
    stage_input,
    write_csv,
    write_metrics,
)
from tests.unit.worker.running import SECONDS, Start, line_of


def observe_order(location: Location, **changes: Any) -> ObserveOrder:
    return ObserveOrder(source=Source(location=location), **changes)


def known(verdict: ObserveVerdict) -> KnownVersion:
    """A version that was seen before, whose list of files nobody has to look into."""
    nowhere = ManifestOf(directory="/nonexistent", sha256="")
    return KnownVersion(digest=verdict.digest, listing=verdict.listing, manifest=nowhere)


def test_observe_reports_in_its_log_and_ends_with_0(bucket: Bucket, start: Start) -> None:
    bucket.put("data/a.csv", "a\n1\n")
    worker = start("observe", observe_order(bucket.location()))
    printed = worker.end()
    assert worker.process.returncode == 0, printed
    assert worker.verdict["outcome"] == "Observed"
    assert sum(line.startswith(REPORT_MARK) for line in printed.splitlines()) == 1
    assert SECRET not in printed


def test_every_run_ends_cleanly_though_threads_of_the_store_are_alive(bucket: Bucket, start: Start) -> None:
    bucket.put("data/a.csv", "a\n1\n")
    first = start("observe", observe_order(bucket.location()))
    first.end()
    order = observe_order(bucket.location(), known=known(ObserveVerdict.model_validate(first.verdict)))
    workers = [start("observe", order) for _ in range(5)]
    assert [(worker.end() and "") or worker.process.returncode for worker in workers] == [0] * 5
    assert workers[-1].verdict["outcome"] == "Unchanged"


def test_a_failure_is_a_verdict_and_ends_with_1(volume: Path, start: Start) -> None:
    worker = start("observe", observe_order(Location(mount=str(volume))))
    printed = worker.end()
    assert worker.process.returncode == 1
    verdict = ObserveVerdict.model_validate(worker.verdict)
    assert (verdict.outcome, verdict.reason) == ("Failed", "SourceEmpty")
    assert verdict.message in printed


@pytest.mark.parametrize("order", ["{", "{}"])
def test_an_order_that_cannot_be_read(start: Start, order: str) -> None:
    worker = start("stage", order)
    worker.end()
    assert worker.process.returncode == 1
    assert worker.verdict["reason"] == "InternalError"
    assert "KEELWAY_ORDER holds no order" in worker.verdict["message"]


def test_an_unexpected_error_is_named_by_type_and_says_no_values(volume: Path, start: Start) -> None:
    write_csv(volume / "a.csv", [["a"], ["secret-value"]])
    worker = start("observe", observe_order(Location(mount=str(volume)), memory_limit="secret-value"))
    printed = worker.end()
    assert worker.process.returncode == 1
    assert worker.verdict["reason"] == "InternalError"
    assert worker.verdict["message"].startswith("unexpected _duckdb.")
    assert "secret-value" not in worker.verdict["message"]
    assert "tables.py" in printed
    assert "secret-value" not in printed


@pytest.mark.parametrize("arguments", ["", "dance"])
def test_a_program_that_does_not_exist(start: Start, arguments: str) -> None:
    worker = start(arguments, "{}")
    assert "usage: python -m keelway.worker observe|stage|collect" in worker.end()
    assert worker.process.returncode == 2


def test_a_full_disk(volume: Path, observe: Observer, start: Start, tmp_path: Path) -> None:
    (volume / "a.csv").write_text("a\n" + "1\n" * 600_000)
    given = stage_input(observe(volume), volume, tmp_path)
    order = StageOrder(inputs=(given,), parameters={}, parameters_file=str(tmp_path / "params.json"))
    worker = start("stage", order, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)))
    worker.end()
    assert worker.verdict["reason"] == "OutOfSpace"
    assert "no space left" in worker.verdict["message"]


def test_a_strict_umask_hides_nothing_from_the_trial(
    volume: Path, observe: Observer, start: Start, tmp_path: Path
) -> None:
    write_csv(volume / "sub" / "a.csv", [["a"], [1]])
    given = stage_input(observe(volume), volume, tmp_path)
    order = StageOrder(inputs=(given,), parameters={}, parameters_file=str(tmp_path / "run" / "params.json"))
    start("stage", order, before=lambda: os.umask(0o077) and None).end()
    modes = {path: (tmp_path / path).stat().st_mode & 0o777 for path in ("target/sub", "target/sub/a.csv")}
    assert modes == {"target/sub": 0o755, "target/sub/a.csv": 0o644}
    assert (tmp_path / "run" / "params.json").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("program", ["observe", "stage"])
def test_sigterm_ends_a_program_that_waits_for_the_network(
    bucket: Bucket, observe: Observer, start: Start, silent_server: socket.socket, tmp_path: Path, program: str
) -> None:
    silent = bucket.location(endpoint=f"http://127.0.0.1:{silent_server.getsockname()[1]}")
    order: Model = observe_order(silent)
    if program == "stage":
        bucket.put("data/a.csv", "a\n1\n")
        given = stage_input(observe(bucket.location()), silent, tmp_path)
        order = StageOrder(inputs=(given,), parameters={}, parameters_file=str(tmp_path / "params.json"))
    worker = start(program, order)
    silent_server.settimeout(SECONDS)
    with silent_server.accept()[0]:
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(5) == 143
    assert not worker.termination_log.exists()


@pytest.fixture
def collect_order(bucket: Bucket, tmp_path: Path) -> CollectOrder:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"weights")
    write_metrics(tmp_path / "metrics.jsonl", {"auc": 0.9})
    return CollectOrder(
        metrics_file=str(tmp_path / "metrics.jsonl"),
        model_dir=str(tmp_path / "model"),
        objective="auc",
        destination=bucket.location("models/"),
    )


def test_collect_waits_for_sigterm(collect_order: CollectOrder, start: Start, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").unlink()
    worker = start("collect", collect_order)
    assert "waiting for the end" in line_of(worker.process.stdout)
    write_metrics(tmp_path / "metrics.jsonl", {"auc": 0.7})
    worker.process.send_signal(signal.SIGTERM)
    printed = worker.end()
    assert worker.process.returncode == 0, printed
    assert CollectVerdict.model_validate(worker.verdict).metrics == {"auc": 0.7}


def test_a_sigterm_is_not_lost_once_the_worker_says_that_it_is_ready(
    collect_order: CollectOrder, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = tmp_path / "ready"
    monkeypatch.setenv("KEELWAY_READY_FILE", str(ready))
    worker = start("collect", collect_order)
    wait_until(ready.exists, seconds=SECONDS, every=0.001, what="the worker is ready")
    worker.process.send_signal(signal.SIGTERM)
    worker.end()
    assert worker.verdict["outcome"] == "Collected"


def test_more_sigterms_do_not_cut_an_upload_off(collect_order: CollectOrder, start: Start) -> None:
    worker = start("collect", collect_order)
    line_of(worker.process.stdout)
    for _ in range(3):
        worker.process.send_signal(signal.SIGTERM)
    worker.end()
    assert worker.verdict["outcome"] == "Collected"


def test_collect_of_a_trial_that_was_killed_says_what_is_missing(
    collect_order: CollectOrder, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "metrics.jsonl").unlink()
    worker = start("collect", collect_order)
    line_of(worker.process.stdout)
    worker.process.send_signal(signal.SIGTERM)
    worker.end()
    assert worker.process.returncode == 1
    assert worker.verdict["reason"] == "MetricMissing"


@pytest.fixture
def derived_from(volume: Path, observe: Observer, tmp_path: Path) -> StageInput:
    """What a derivation reads: three rows, one of them twice."""
    write_csv(volume / "a.csv", [["id", "age"], [1, 30], [2, 500], [1, 30]])
    return stage_input(observe(volume), volume, tmp_path, name="raw", target=str(tmp_path / "data" / "raw"))


@pytest.fixture
def record_order(tmp_path: Path) -> RecordOrder:
    (tmp_path / "output").mkdir()
    kept = Location(mount=str(tmp_path / "kept"))
    return RecordOrder(derivation="d" * 64, output_dir=str(tmp_path / "output"), format="Parquet", destination=kept)


def transform_order(given: StageInput, output: str, sql: str) -> TransformOrder:
    table = StagedTable(name=given.name, directory=given.target, format=given.format, columns=given.columns)
    return TransformOrder(sql=sql, inputs=(table,), output_dir=output)


def test_a_derivation_goes_from_staged_data_through_a_query_to_files_that_are_kept(
    derived_from: StageInput, record_order: RecordOrder, start: Start, tmp_path: Path
) -> None:
    """The three containers of its pod, each a process that sees nothing but its order and the directories."""
    stage = start("stage", StageOrder(inputs=(derived_from,)))
    assert stage.end() is not None
    assert stage.verdict["outcome"] == "Staged"
    record = start("record", record_order)
    assert "waiting for the end" in line_of(record.process.stdout)
    sql = "SELECT DISTINCT * FROM raw WHERE age BETWEEN 18 AND 120"
    transform = start("transform", transform_order(derived_from, record_order.output_dir, sql))
    printed = transform.end()
    assert transform.verdict.get("rows") == 1, printed
    record.process.send_signal(signal.SIGTERM)
    printed = record.end()
    assert record.process.returncode == 0, printed
    found = seen(ObserveVerdict.model_validate(record.verdict), printed)
    assert (found.verdict.outcome, found.verdict.rows, found.columns) == (
        "Observed",
        1,
        {"id": "bigint", "age": "bigint"},
    )
    assert read_parquet(tmp_path / "kept" / "*.parquet") == [(1, 30)]


def test_a_query_that_fails_leaves_record_nothing_to_keep(
    derived_from: StageInput, record_order: RecordOrder, start: Start, tmp_path: Path
) -> None:
    start("stage", StageOrder(inputs=(derived_from,))).end()
    record = start("record", record_order)
    line_of(record.process.stdout)
    transform = start("transform", transform_order(derived_from, record_order.output_dir, "SELECT agee FROM raw"))
    transform.end()
    record.process.send_signal(signal.SIGTERM)
    record.end()
    assert (transform.process.returncode, transform.verdict["reason"]) == (1, "QueryInvalid")
    assert (record.process.returncode, record.verdict["reason"]) == (1, "OutputMissing")
    assert not (tmp_path / "kept").exists()


def test_a_look_that_finds_nothing_new_does_not_load_duckdb(volume: Path, observe: Observer) -> None:
    write_csv(volume / "a.csv", [["a"], [1]])
    order = observe_order(Location(mount=str(volume)), known=known(observe(volume).verdict))
    program = (
        "import sys, os, keelway.worker.programs as programs\n"
        "assert programs.run(['observe']) == 0\n"
        "print([name for name in ('duckdb', 'wcmatch', 'kopf', 'kubernetes', 'aiohttp') if name in sys.modules])\n"
        "sys.stdout.flush(); os._exit(0)"
    )
    environment = {
        **os.environ,
        "KEELWAY_ORDER": json.dumps(order.to_json()),
        "KEELWAY_TERMINATION_LOG": str(volume.parent / "log"),
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=SECONDS
    )
    assert done.stdout.splitlines()[-1] == "[]"
