"""The last line of the metrics file decides."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from keelway.worker.errors import WorkerError
from keelway.worker.metrics import MOST, TAIL_BYTES, read_metrics
from tests.unit.worker.builders import another_user, write_metrics


def refused(path: Path, *wanted: str) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        read_metrics(path, *(wanted or ("auc",)))
    return caught.value


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


@pytest.mark.parametrize(
    ("lines", "metrics"),
    [
        pytest.param([{"auc": 0.5}, {"auc": 0.9, "loss": 1}], {"auc": 0.9, "loss": 1.0}, id="the last line"),
        pytest.param([{"auc": 0.9}, "", "  "], {"auc": 0.9}, id="empty lines at the end"),
        pytest.param([{"auc": 0.1}, {"step": 7, "auc": 0.9}], {"auc": 0.9, "step": 7.0}, id="a report is the last"),
        pytest.param([{"auc": 0.9, "n": "x", "ok": True, "v": [1], "z": None}], {"auc": 0.9}, id="numbers only"),
        pytest.param(['{"auc": 0.9, "loss": NaN, "n": 1e999}'], {"auc": 0.9}, id="finite numbers only"),
        pytest.param(['{"auc": 0.9, "\\ud800": 1}'], {"auc": 0.9, "?": 1.0}, id="a lone surrogate"),
        pytest.param(['{"größe": 2, "auc": -0.0}'], {"auc": 0.0, "größe": 2.0}, id="unicode"),
    ],
)
def test_what_counts(file: Path, lines: list[object], metrics: dict[str, float]) -> None:
    assert read_metrics(write_metrics(file, *lines), "auc") == metrics


def test_a_last_line_without_an_end(file: Path) -> None:
    file.write_text('{"auc": 0.1}\n{"auc": 0.9}')
    assert read_metrics(file, "auc") == {"auc": 0.9}


def test_the_tail_of_a_large_file_is_enough(file: Path) -> None:
    line = json.dumps({"step": 1, "loss": 0.123456789}) + "\n"
    file.write_text(line * (10 * 1024 * 1024 // len(line)) + '{"auc": 0.9}\n')
    assert file.stat().st_size > 10 * 1024 * 1024 - 200
    assert read_metrics(file, "auc") == {"auc": 0.9}


def test_many_metrics_are_cut_but_for_the_wanted_ones(file: Path) -> None:
    metrics = read_metrics(write_metrics(file, {**{f"m{number}": number for number in range(90)}, "auc": 0.9}), "auc")
    assert len(metrics) == MOST
    assert list(metrics)[:3] == ["auc", "m0", "m1"]
    assert list(read_metrics(file, "m89", "m1"))[:3] == ["m89", "m1", "m0"]


@pytest.mark.parametrize(
    ("lines", "reason", "words"),
    [
        pytest.param([], "MetricMissing", "empty or absent", id="empty"),
        pytest.param([{"acc": 1, "loss": 2}], "MetricMissing", "has no 'auc'; its keys: acc, loss", id="other keys"),
        pytest.param([{"auc": 1}, {}], "MetricMissing", "its keys: none", id="no keys"),
        pytest.param(['{"auc": NaN}'], "MetricInvalid", "not finite", id="NaN"),
        pytest.param(['{"auc": -Infinity}'], "MetricInvalid", "not finite", id="infinite"),
        pytest.param(['{"auc": 1e999}'], "MetricInvalid", "not finite", id="too large"),
        pytest.param(['{"auc": ' + "9" * 400 + "}"], "MetricInvalid", "not finite", id="hundreds of digits"),
        pytest.param(['{"auc": ' + "9" * 900_000 + "}"], "MetricInvalid", "not finite", id="a million digits"),
        pytest.param([{"auc": "0.9"}], "MetricInvalid", "not a number", id="text"),
        pytest.param([{"auc": True}], "MetricInvalid", "not a number", id="truth"),
        pytest.param([{"auc": None}], "MetricInvalid", "not a number", id="null"),
        pytest.param([{"auc": 0.9}, "epoch 3 done"], "MetricInvalid", "not JSON", id="no JSON"),
        pytest.param(["[" * 100_000], "MetricInvalid", "not JSON", id="deep"),
        pytest.param([[0.9]], "MetricInvalid", "not a JSON object", id="a list"),
        pytest.param(['{"auc": 0.9, "x": "' + "y" * TAIL_BYTES + '"}'], "MetricInvalid", "not JSON", id="long line"),
    ],
)
def test_what_is_refused(file: Path, lines: list[object], reason: str, words: str) -> None:
    error = refused(write_metrics(file, *lines))
    assert error.reason == reason
    assert words in error.message


def test_all_that_are_wanted_must_be_there(file: Path) -> None:
    write_metrics(file, {"auc": 0.9, "loss": 0.1, "f1": "high"})
    assert list(read_metrics(file, "loss", "auc")) == ["loss", "auc"]
    error = refused(file, "auc", "recall", "precision")
    assert error.reason == "MetricMissing"
    assert "has no 'recall', 'precision'; its keys: auc, loss, f1" in error.message
    error = refused(file, "auc", "f1")
    assert (error.reason, "'f1'" in error.message) == ("MetricInvalid", True)


def test_nothing_may_be_wanted(file: Path) -> None:
    assert read_metrics(write_metrics(file, {"auc": 0.9})) == {"auc": 0.9}


def test_a_file_that_is_absent(file: Path) -> None:
    assert refused(file).reason == "MetricMissing"


def test_keys_are_named_but_not_all_of_them(file: Path) -> None:
    message = refused(write_metrics(file, {"k" * 500: 1, **{f"m{number}": 1 for number in range(40)}})).message
    assert "and 33 more" in message
    assert len(message) < 300


def test_a_link_or_a_pipe_in_its_place_is_not_opened(file: Path, tmp_path: Path) -> None:
    file.symlink_to(write_metrics(tmp_path / "secret", {"auc": 0.9}))
    assert refused(file).reason == "MetricInvalid"
    file.unlink()
    os.mkfifo(file)
    assert refused(file).reason == "MetricInvalid"


def test_a_file_that_only_its_writer_may_read(file: Path) -> None:
    write_metrics(file, {"auc": 0.9}).chmod(0o000)
    with another_user():
        error = refused(file)
    assert error.reason == "MetricMissing"
    assert "cannot read KEELWAY_METRICS: let all read it" in error.message
