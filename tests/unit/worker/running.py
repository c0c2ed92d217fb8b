"""A program as a Job runs it: a process that sees its order and the directories that are mounted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

SECONDS = 30


@dataclass
class Worker:
    """One running program."""

    process: subprocess.Popen[str]
    termination_log: Path

    def end(self) -> str:
        """Wait for its end; returns what it printed."""
        out, err = self.process.communicate(timeout=SECONDS)
        return out + err

    @property
    def verdict(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.termination_log.read_bytes())
        return found


Start = Callable[..., Worker]


def line_of(stream: IO[str] | None) -> str:
    assert stream
    return stream.readline()
