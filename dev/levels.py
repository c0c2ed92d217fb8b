"""Runs the levels of the tests in the order given and sums up each: `python -m dev.levels lint unit e2e`.

A level that needs the local cluster starts it; when this run was the one that started it, it is removed at the end, so
that a run leaves the machine as it found it. With CI=true all levels run, and a level of which at most
`MOST_TRIED_AGAIN` tests failed runs those once more, alone, and says so: tests with real processes and deadlines share
a busy machine. Otherwise the first failing level ends the run.
"""

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click

from dev.cluster import Cluster
from dev.places import CACHE, ROOT
from dev.progress import console

REPORTS = CACHE / "tests"
MOST_TRIED_AGAIN = 3
"""More failures than that are no accident."""

PYTHON = sys.executable
TOOLS = Path(PYTHON).parent
PYTHON_FOLDERS = ("operator", "dev", "tests", "examples")
LINTERS = (
    (str(TOOLS / "ruff"), "check", *PYTHON_FOLDERS),
    (str(TOOLS / "ruff"), "format", "--check", *PYTHON_FOLDERS),
    (PYTHON, "-m", "mypy"),
    (str(TOOLS / "lint-imports"),),
    (PYTHON, "-m", "keelway.crdgen", "--check", "crds"),
)

PREPARATIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    "unit": (
        (PYTHON, "-m", "dev.gobuild", "versitygw", "fake-gcs-server"),
        (PYTHON, "-m", "dev.azurite"),
        (PYTHON, "-m", "dev.environments", "mlflow", "kserve"),
    ),
    "apiserver": (
        (PYTHON, "-m", "dev.gobuild", "etcd", "kube-apiserver", "kube-controller-manager", "kubeadm", "kubectl"),
    ),
    "perf": ((PYTHON, "-m", "dev.gobuild", "versitygw"), (PYTHON, "-m", "dev.environments", "perf")),
    "e2e": ((PYTHON, "-m", "dev.cluster", "up"), (PYTHON, "-m", "dev.images", "build")),
}
"""What takes minutes on a new machine: done before pytest begins to count a test's time."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one level ended."""

    level: str
    passed: bool
    seconds: float
    note: str

    def line(self) -> str:
        """One line of the summary."""
        mark = "[green]passed[/green]" if self.passed else "[red]FAILED[/red]"
        return f"{self.level:<10} {mark} {self.seconds:8.1f} s   {self.note}"


def run_level(level: str) -> Outcome:
    """Run one level with its output as it comes."""
    console.rule(level)
    started = time.monotonic()
    if level == "lint":
        failed = [command for command in LINTERS if not _succeeds(command)]
        note = ", ".join(_name(command) for command in failed) or f"{len(LINTERS)} linters"
        passed = not failed
    else:
        passed, note = _run_tests(level)
    return Outcome(level=level, passed=passed, seconds=time.monotonic() - started, note=note)


def counts(report: Path) -> tuple[int, int]:
    """How many tests passed and how many failed, by a JUnit report; nothing passed where there is none."""
    if not report.exists():
        return 0, 0
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    totals = [{name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors")} for suite in suites]
    failed = sum(total["failures"] + total["errors"] for total in totals)
    return sum(total["tests"] for total in totals) - failed, failed


def _run_tests(level: str) -> tuple[bool, str]:
    for command in PREPARATIONS.get(level, ()):
        if not _succeeds(command):
            return False, f"{_name(command)} failed"
    good, passed, failed = _pytest(level)
    note = f"{passed} passed, {failed} failed"
    if good or not os.environ.get("CI") or not 0 < failed <= MOST_TRIED_AGAIN:
        return good, note
    good, passed, failed = _pytest(level, "--last-failed", "--last-failed-no-failures=none")
    return good, f"{note}; once more, alone: {passed} passed, {failed} failed"


def _pytest(level: str, *options: str) -> tuple[bool, int, int]:
    """Whether pytest was content, and how many tests passed and failed."""
    report = REPORTS / f"{level}{'-again' if options else ''}.xml"
    report.unlink(missing_ok=True)
    command = (PYTHON, "-m", "pytest", f"tests/{level}", "--quiet", f"--junitxml={report}", *options)
    return _succeeds(command), *counts(report)


def _succeeds(command: tuple[str, ...]) -> bool:
    console.print(f"[dim]{' '.join(command)}[/dim]", soft_wrap=True)
    return subprocess.run(command, cwd=ROOT, check=False, stdin=subprocess.DEVNULL).returncode == 0


def _name(command: tuple[str, ...]) -> str:
    words = command[2:] if command[:2] == (PYTHON, "-m") else (Path(command[0]).name, *command[1:])
    return " ".join(words[:2])


def _run(levels: Iterable[str]) -> list[Outcome]:
    outcomes = []
    for level in levels:
        outcomes.append(run_level(level))
        if not outcomes[-1].passed and not os.environ.get("CI"):
            break
    return outcomes


@click.command()
@click.argument("levels", nargs=-1, required=True)
def main(levels: tuple[str, ...]) -> None:
    """Run LEVELS in this order."""
    keep_cluster = "e2e" not in levels or bool(Cluster().nodes())
    try:
        outcomes = _run(levels)
    finally:
        if not keep_cluster:
            Cluster().down()
    console.rule("summary")
    for outcome in outcomes:
        console.print(outcome.line())
    sys.exit(not all(outcome.passed for outcome in outcomes))


if __name__ == "__main__":
    main()
