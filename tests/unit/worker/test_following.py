"""What is relayed of a metrics file while it grows, and the curve at its end, whatever a program writes there."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import pytest

from keelway.api.jobs import CURVE_POINTS, STEP_MARK, StepReport
from keelway.kube.writer import LOG_BYTES, LOG_LINES
from keelway.worker import following
from keelway.worker.following import LINE_BYTES, PART_BYTES, Sieve, Tail, curve, relay
from keelway.worker.metrics import open_metrics
from tests.unit.worker.builders import another_user

PATIENCE = 20.0
Log = Callable[[], list[tuple[int, float]]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(following, "BEHIND_SECONDS", 0.0)


@pytest.fixture
def log(capfd: pytest.CaptureFixture[str]) -> Log:
    """The points in the log so far."""
    text: list[str] = []

    def points() -> list[tuple[int, float]]:
        text.append(capfd.readouterr().out)
        lines = [line for line in "".join(text).splitlines() if line.startswith(STEP_MARK)]
        reports = [StepReport.model_validate_json(line.removeprefix(STEP_MARK)) for line in lines]
        return [(report.step, report.value) for report in reports]

    return points


def report(step: object, value: object = 0.5, **others: object) -> str:
    return json.dumps({"step": step, "auc": value, **others}) + "\n"


def reports(steps: range) -> str:
    return "".join(report(step, step / 1000) for step in steps)


def append(path: Path, text: str | bytes) -> None:
    with path.open("ab") as target:
        target.write(text.encode() if isinstance(text, str) else text)


def wait_for(log: Log, expected: list[tuple[int, float]]) -> None:
    deadline = time.monotonic() + PATIENCE
    while (last := log()) != expected:
        assert time.monotonic() < deadline, f"relayed: {last}"
        time.sleep(0.01)


def steps_of(points: list[tuple[int, float]]) -> list[int]:
    return [step for step, _ in points]


# while the trial runs


def test_reports_are_relayed_as_they_are_written(file: Path, log: Log) -> None:
    with relay(file, "auc", enabled=True):
        wait_for(log, [])
        append(file, report(0, 0.5) + report(1, 0.625, loss=3))
        wait_for(log, [(0, 0.5), (1, 0.625)])
        append(file, '{"step": 2, "au')
        append(file, 'c": 0.75}\n')
        wait_for(log, [(0, 0.5), (1, 0.625), (2, 0.75)])


def test_half_a_line_waits_for_its_end(file: Path, log: Log) -> None:
    append(file, report(1) + report(2)[:-1])
    with relay(file, "auc", enabled=True):
        wait_for(log, [(1, 0.5)])
        append(file, "\n")
        wait_for(log, [(1, 0.5), (2, 0.5)])


def test_nothing_is_relayed_that_nobody_asked_for(file: Path, log: Log) -> None:
    append(file, report(1))
    before = threading.active_count()
    with relay(file, "auc", enabled=False):
        assert threading.active_count() == before
    assert log() == []


def fail_while_relaying(path: Path) -> None:
    with relay(path, "auc", enabled=True):
        raise LookupError(threading.active_count())


def test_the_thread_ends_with_the_body_also_when_that_fails(file: Path) -> None:
    before = threading.active_count()
    with pytest.raises(LookupError, match=str(before + 1)):
        fail_while_relaying(file)
    assert threading.active_count() == before


WAITS = """
import os, signal, sys
from pathlib import Path
from keelway.worker.following import relay

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
with relay(Path(sys.argv[1]), "auc", enabled=True):
    os.kill(os.getpid(), signal.SIGTERM)
    print(signal.sigwait({signal.SIGTERM}).name)
"""


def test_the_main_thread_gets_the_signal_that_it_waits_for(file: Path) -> None:
    """In a process of its own: a thread of another test might take the signal."""
    done = subprocess.run(
        [sys.executable, "-c", WAITS, str(file)], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert done.stdout == "SIGTERM\n"


def test_the_thread_takes_no_signal_that_its_parent_would_take(file: Path) -> None:
    with relay(file, "auc", enabled=True):
        (thread,) = [thread for thread in threading.enumerate() if thread.name == "relay"]
        status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    blocked = next(line.split()[1] for line in status.splitlines() if line.startswith("SigBlk:"))
    assert int(blocked, 16) >> (signal.SIGTERM - 1) & 1


def test_what_was_blocked_before_is_blocked_after(file: Path) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with relay(file, "auc", enabled=True):
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


@pytest.mark.parametrize(
    "line",
    [
        pytest.param('{"auc": 0.5}\n', id="a result"),
        pytest.param(report(1.5), id="half a step"),
        pytest.param(report(-1), id="a step below 0"),
        pytest.param(report(True), id="a step that is a truth"),
        pytest.param(report("1"), id="a step that is text"),
        pytest.param(report(2**31), id="a step beyond all"),
        pytest.param('{"step": ' + "9" * 40_000 + ', "auc": 1}\n', id="a step of many digits"),
        pytest.param(report(1, float("nan")), id="not a number"),
        pytest.param(report(1, float("-inf")), id="infinite"),
        pytest.param(report(1, "0.5"), id="a value that is text"),
        pytest.param(report(1, None), id="no value"),
        pytest.param(report(1, False), id="a value that is a truth"),
        pytest.param('{"step": 1, "loss": 0.5}\n', id="another metric"),
        pytest.param('["step", 1]\n', id="a list"),
        pytest.param('"step"\n', id="a text"),
        pytest.param('{"step": 1, "auc": 0.5\n', id="no end"),
        pytest.param("[" * 50_000 + '"step"\n', id="nested without end"),
        pytest.param("x" * (LINE_BYTES + 1) + "\n", id="too long"),
        pytest.param(report(1, 0.5, pad="x" * LINE_BYTES), id="a report that is too long"),
        pytest.param("\n\n \n", id="empty lines"),
    ],
)
def test_what_is_no_report_is_passed_over(file: Path, log: Log, line: str) -> None:
    append(file, line + report(7))
    assert curve(file, "auc") == ((7, 0.5),)
    with relay(file, "auc", enabled=True):
        wait_for(log, [(7, 0.5)])


def test_whole_numbers_are_steps_however_they_are_spelled(file: Path) -> None:
    append(file, '{"step": 5.0, "auc": 1}\n{"step": 1e1, "auc": 2}\n')
    assert curve(file, "auc") == ((5, 1.0), (10, 2.0))


def test_steps_never_go_back(file: Path, log: Log) -> None:
    append(file, report(5, 0.1) + report(3, 0.2) + report(5, 0.3) + report(6, 0.4))
    assert curve(file, "auc") == ((5, 0.1), (6, 0.4))
    with relay(file, "auc", enabled=True):
        wait_for(log, [(5, 0.1), (6, 0.4)])


def test_binary_rubbish_is_passed_over(file: Path, log: Log) -> None:
    append(file, os.urandom(3 * PART_BYTES) + b"\n" + b'\xff\xfe{"step"\n' + report(4).encode())
    with relay(file, "auc", enabled=True):
        wait_for(log, [(4, 0.5)])


def test_a_file_that_is_replaced_is_read_anew(file: Path, log: Log) -> None:
    with relay(file, "auc", enabled=True):
        append(file, report(1) + report(2))
        wait_for(log, [(1, 0.5), (2, 0.5)])
        other = file.with_name("other")
        append(other, report(2) + report(3))
        other.replace(file)
        wait_for(log, [(1, 0.5), (2, 0.5), (3, 0.5)])


def test_a_file_that_is_cut_short_is_read_anew(file: Path, log: Log) -> None:
    append(file, report(1, pad="x" * 100) + report(2, pad="x" * 100))
    with relay(file, "auc", enabled=True):
        wait_for(log, [(1, 0.5), (2, 0.5)])
        file.write_text(report(3))
        wait_for(log, [(1, 0.5), (2, 0.5), (3, 0.5)])


def a_link(path: Path) -> None:
    secret = path.with_name("secret")
    secret.write_text(report(9))
    path.symlink_to(secret)


def a_socket(path: Path) -> None:
    os.mknod(path, 0o140644)


@pytest.mark.parametrize("place", [a_link, os.mkfifo, a_socket, os.mkdir], ids=["link", "pipe", "socket", "directory"])
def test_nothing_but_a_file_is_opened(file: Path, log: Log, place: Callable[[Path], None]) -> None:
    place(file)
    assert curve(file, "auc") == ()
    with relay(file, "auc", enabled=True):
        wait_for(log, [])
        file.rename(file.with_name("aside"))
        append(file, report(1))
        wait_for(log, [(1, 0.5)])


def test_a_file_that_may_not_be_read_says_so_once(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    append(file, report(1))
    file.chmod(0)
    with another_user():
        assert curve(file, "auc") == ()
        capfd.readouterr()
        with relay(file, "auc", enabled=True):
            said, deadline = "", time.monotonic() + PATIENCE
            while not said.endswith("\n") and time.monotonic() < deadline:
                said += capfd.readouterr().err
                time.sleep(0.01)
    assert said.splitlines() == ["the metrics file cannot be followed: Permission denied"]
    assert capfd.readouterr().err == ""


# bounds


def test_ten_megabytes_of_reports_stay_few_lines(file: Path, log: Log) -> None:
    append(file, "".join(report(step, step / 7) for step in range(260_000)))
    assert file.stat().st_size > 10 << 20
    assert len(curve(file, "auc")) == CURVE_POINTS
    with relay(file, "auc", enabled=True):
        deadline = time.monotonic() + 2 * PATIENCE
        while not (seen := log()) or seen[-1][0] < 240_000:
            assert time.monotonic() < deadline, f"{len(seen)} relayed, last {seen[-1:]}"
            time.sleep(0.05)
    assert len(seen) < 500


def test_all_that_can_ever_be_relayed_fits_the_log_that_is_read() -> None:
    decades = [range(10**power, 10 ** (power + 1), 10 ** max(0, power - 1)) for power in range(10)]
    steps = [0, *(step for decade in decades for step in decade if step < 2**31)]
    sieve = Sieve()
    assert all(sieve.lets_pass(step) for step in steps)
    assert not any(Sieve(step).lets_pass(step + offset) for step in steps[200:] for offset in (0, 1, 3))
    line = f"{STEP_MARK}{StepReport(step=2**31 - 1, value=-1.23457e-300).model_dump_json()}\n"
    assert len(steps) + 100 < LOG_LINES
    assert len(steps) * len(line) < LOG_BYTES


def test_a_line_without_end_needs_no_memory(file: Path) -> None:
    with file.open("wb") as target:
        target.truncate(200 * PART_BYTES)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tail = Tail(file)
    while tail.lines() is not None:
        assert len(tail.rest) <= LINE_BYTES + 1
    assert tail.offset == 200 * PART_BYTES
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024, "KiB"
    append(file, "\n" + report(1))
    assert tail.lines() == [report(1).encode().rstrip()]


def test_a_file_is_read_once_and_not_at_all_while_it_does_not_grow(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def opens(path: Path) -> BinaryIO:
        opened.append(path)
        return open_metrics(path)

    monkeypatch.setattr(following, "open_metrics", opens)
    append(file, reports(range(100)))
    tail = Tail(file)
    assert len(tail.lines() or ()) == 100
    assert tail.lines() is None
    append(file, report(100))
    assert tail.lines() == [report(100).encode().rstrip()]
    assert len(opened) == 2


# thinning


STEPS = [range(5000), range(0, 5000, 7), range(3, 100_000, 111)]


@pytest.mark.parametrize("steps", STEPS, ids=str)
def test_equal_steps_keep_equal_ones_whatever_the_values(file: Path, tmp_path: Path, steps: range) -> None:
    other = tmp_path / "other"
    append(file, "".join(report(step, step / 7) for step in steps))
    append(other, "".join(report(step, -step, loss=1) for step in steps))
    assert steps_of(list(curve(file, "auc"))) == steps_of(list(curve(other, "auc")))


@pytest.mark.parametrize("steps", STEPS, ids=str)
def test_a_curve_keeps_its_last_report_and_is_dense_at_its_beginning(file: Path, steps: range) -> None:
    append(file, reports(steps))
    points = list(curve(file, "auc"))
    assert points[-1] == (steps[-1], float(f"{steps[-1] / 1000:.6g}"))
    assert points[0][0] == steps[0]
    assert len(points) <= CURVE_POINTS
    assert steps_of(points) == sorted(set(steps_of(points)))
    for (step, _), (later, _) in pairwise(points):
        assert later - step <= max(step / 2, 10 * steps.step), "a curve knows how a trial did at any step"


def test_a_curve_counts_a_last_line_without_an_end(file: Path) -> None:
    append(file, report(1) + report(2).rstrip())
    assert curve(file, "auc") == ((1, 0.5), (2, 0.5))


def test_no_file_has_no_curve(file: Path) -> None:
    assert curve(file, "auc") == ()
