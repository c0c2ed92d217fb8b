"""What the worker costs, measured side by side with something everybody knows, in one run on one machine.

    .venv/bin/pytest tests/perf

A test makes its own input (100 000 objects, 5 GiB of files), runs the worker as a Job does, as a process with an order
in its environment, and the other program on the same input. It asserts a ratio or a bound of memory, never seconds:
those depend on the machine. What was measured is printed as one line that begins with `PERF ` and goes on as JSON;
with KEELWAY_PERF_FILE set the JSON is appended to that file as well. Everything that was made is removed at the end.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Protocol

import pytest

from tests.apiserver.conftest import api, audit, namespace, node, operator, plane, serving, shared_operator
from tests.perf.running import Runner
from tests.unit.worker.conftest import bucket, secret_dir, server

__all__ = [
    "api",
    "audit",
    "bucket",
    "namespace",
    "node",
    "operator",
    "plane",
    "secret_dir",
    "server",
    "serving",
    "shared_operator",
]

FILE_VARIABLE = "KEELWAY_PERF_FILE"


class Note(Protocol):
    """Keeps figures."""

    def __call__(self, **figures: float | str) -> None: ...


@pytest.fixture
def note(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Note:
    """Prints what a test measured, and keeps it where that is asked for."""

    def keep(**figures: float | str) -> None:
        line = json.dumps({"test": request.node.name, **figures})
        with capsys.disabled():
            print(f"\nPERF {line}", flush=True)
        if path := os.environ.get(FILE_VARIABLE):
            with Path(path).open("a") as out:
                out.write(f"{line}\n")

    return keep


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """Runs the worker's programs, with a directory of their own for what they bring."""
    (tmp_path / "scratch").mkdir()
    return Runner(tmp_path)
