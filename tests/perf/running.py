"""Runs a program and measures it: seconds, and the most memory that it held."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keelway.api.base import Model
from keelway.api.jobs import REPORT_MARK

SECONDS_AT_MOST = 900
LOOK_EVERY_SECONDS = 0.01
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A program that has ended well."""

    seconds: float
    peak_bytes: int
    """Largest resident set."""
    output: str


@dataclass(frozen=True)
class Ran:
    """One program of the worker, and what it answered."""

    measured: Measured
    verdict: Mapping[str, object]

    @property
    def report(self) -> str:
        """The report's JSON."""
        [line] = [line for line in self.measured.output.splitlines() if line.startswith(REPORT_MARK)]
        return line.removeprefix(REPORT_MARK)


@dataclass(frozen=True)
class Runner:
    """Runs programs of the worker as a Job does."""

    directory: Path

    def __call__(self, program: str, order: Model, *, cpus: set[int] | None = None) -> Ran:
        verdict = self.directory / "verdict.json"
        environment = {
            **os.environ,
            "KEELWAY_ORDER": json.dumps(order.to_json()),
            "KEELWAY_TERMINATION_LOG": str(verdict),
            "KEELWAY_SCRATCH": str(self.directory / "scratch"),
        }
        command = [sys.executable, "-m", "keelway.worker", program]
        done = measure(command, self.directory / "output", environment=environment, cpus=cpus)
        return Ran(done, json.loads(verdict.read_bytes()))


def measure(
    command: Sequence[str],
    output: Path,
    *,
    environment: Mapping[str, str] | None = None,
    cpus: set[int] | None = None,
) -> Measured:
    """Run a program to its end, on the given processors; its output goes into a file, so that it never waits for us."""
    with output.open("wb") as out:
        begin = time.monotonic()
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
        if cpus:
            os.sched_setaffinity(process.pid, cpus)
        peak = _wait(process)
        seconds = time.monotonic() - begin
    text = output.read_text(errors="replace")
    assert process.returncode == 0, f"{command[0]} ended with {process.returncode}:\n{text[-3000:]}"
    return Measured(seconds=seconds, peak_bytes=peak, output=text)


def _wait(process: subprocess.Popen[bytes]) -> int:
    """The largest peak that the kernel told while the program ran; a little less than the last one at most."""
    peak, deadline = 0, time.monotonic() + SECONDS_AT_MOST
    while True:
        peak = max(peak, peak_of(process.pid))
        try:
            process.wait(LOOK_EVERY_SECONDS)
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                process.kill()
                raise
        else:
            return peak


def peak_of(pid: int) -> int:
    """Largest resident set of a process so far, in bytes; 0 for one that is gone."""
    try:
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(found[1]) * 1024 if found else 0
