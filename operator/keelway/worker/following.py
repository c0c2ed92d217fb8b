"""Follows a trial's metrics file: relays intermediate reports to the log while it runs, and sums them up at its end.

The file is written by a program that nobody vouches for. Whatever it does with it, a look reads a bounded part, what is
not a report is passed over, and all that is ever relayed stays below a thousand short lines: a container's log is read
from its end, two thousand lines of it.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from keelway.api.curves import Curve, thinned
from keelway.api.jobs import STEP_MARK, StepReport
from keelway.worker.errors import WorkerError
from keelway.worker.metrics import is_number, open_metrics, read_line

LOOK_SECONDS = 1.0
BEHIND_SECONDS = 0.25
"""Until the next look when there was more to read than one takes."""
PART_BYTES = 256 * 1024
"""What one look reads: parsing it takes some ten milliseconds."""
LINE_BYTES = 64 * 1024
"""A longer line is no report."""
CURVE_BYTES = 16 * 1024 * 1024
"""How much of a file makes up its curve."""
LAST_STEP = 2**31 - 1
DIGITS = 6
"""Significant digits of a value: enough to compare trials by."""

Report: TypeAlias = tuple[int, float]
"""(step, objective)"""


@contextmanager
def relay(path: Path, objective: str, *, enabled: bool) -> Iterator[None]:
    """While the body runs, print a line `STEP_MARK <StepReport as JSON>` for reports in the file at `path`.

    A report is a line with an integer `step` of 0 or more and a finite `objective`. Printed are those whose step has
    other leading two digits than the last one: trials that report the same steps have the same ones relayed.
    """
    if not enabled:
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_follow, args=(path, objective, done), name="relay", daemon=True)
    with _sigterm_blocked():
        thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def _sigterm_blocked() -> Iterator[None]:
    """A thread inherits what is blocked; a SIGTERM that one of them could take would never reach who waits for it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def curve(path: Path, objective: str) -> Curve:
    """The reports in the file at `path`, at most CURVE_POINTS of them, evenly thinned, the last one kept.

    Empty when there is nothing that can be read.
    """
    sieve, last = Sieve(), (-1, 0.0)
    kept: list[Report] = []
    for lines in _parts(Tail(path)):
        for report in _reports(lines, objective):
            last = report if report[0] > last[0] else last
            if sieve.lets_pass(report[0]):
                kept.append(report)
    if kept and last[0] > kept[-1][0]:
        kept.append(last)
    return thinned(tuple((step, _shortened(value)) for step, value in kept))


def _parts(tail: Tail) -> Iterator[list[bytes]]:
    try:
        while (lines := tail.lines()) is not None and tail.offset < CURVE_BYTES:
            yield lines
    except (OSError, WorkerError) as error:
        _complain(error)
    yield [tail.rest]


def _follow(path: Path, objective: str, done: threading.Event) -> None:
    tail, sieve, complained = Tail(path), Sieve(), False
    wait = 0.0
    while not done.wait(wait):
        wait = LOOK_SECONDS
        try:
            lines = tail.lines()
        except (OSError, WorkerError) as error:
            if not complained:
                _complain(error)
            complained = True
            continue
        if lines is not None:
            wait = BEHIND_SECONDS
            _print(report for report in _reports(lines, objective) if sieve.lets_pass(report[0]))


def _print(reports: Iterable[Report]) -> None:
    """All in one piece: others print, too."""
    told = (StepReport(step=step, value=_shortened(value)) for step, value in reports)
    text = "".join(f"{STEP_MARK}{report.model_dump_json()}\n" for report in told)
    sys.stdout.write(text)
    sys.stdout.flush()


def _complain(error: OSError | WorkerError) -> None:
    what = error.strerror if isinstance(error, OSError) else error.message
    print(f"the metrics file cannot be followed: {what}", file=sys.stderr, flush=True)


@dataclass
class Tail:
    """A file's lines as they are appended. A file that was replaced or cut short is read from its beginning."""

    path: Path
    offset: int = 0
    """How many bytes were read."""
    rest: bytes = b""
    """The beginning of a line whose end is not there yet."""
    _inode: int = 0

    def lines(self) -> list[bytes] | None:
        """The next whole lines that were not read yet, perhaps none; None when the file has not grown.

        Raises OSError or WorkerError when the file cannot be read.
        """
        part = self._part()
        if not part:
            return None
        *whole, rest = (self.rest + part).split(b"\n")
        self.rest = rest[: LINE_BYTES + 1]
        return [line for line in whole if len(line) <= LINE_BYTES]

    def _part(self) -> bytes:
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            return b""
        if status.st_ino != self._inode or status.st_size < self.offset:
            self.offset, self.rest, self._inode = 0, b"", status.st_ino
        if status.st_size == self.offset:
            return b""
        with open_metrics(self.path) as source:
            source.seek(self.offset)
            part = source.read(PART_BYTES)
        self.offset += len(part)
        return part


@dataclass
class Sieve:
    """Lets steps pass that differ from the last one in their leading two digits or their length; never goes back."""

    _last: int = -1

    def lets_pass(self, step: int) -> bool:
        """Whether this step is one to keep."""
        rounded = _rounded(step)
        if rounded <= self._last:
            return False
        self._last = rounded
        return True


def _rounded(step: int) -> int:
    digits = str(step)
    return int(digits[:2].ljust(len(digits), "0"))


def _reports(lines: Iterable[bytes], objective: str) -> Iterator[Report]:
    for line in lines:
        if b'"step"' in line and (report := _report(line, objective)):
            yield report


def _report(line: bytes, objective: str) -> Report | None:
    """What a line reports, or None when it is no report: a result, half a line, rubbish."""
    try:
        found = read_line(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    step, value = found.get("step"), found.get(objective)
    if not (is_number(step) and 0 <= step <= LAST_STEP and step.is_integer()):
        return None
    if not (is_number(value) and math.isfinite(value)):
        return None
    return int(step), value


def _shortened(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
