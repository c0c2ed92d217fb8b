"""The worker's side of the process in which other people's SQL runs."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keelway.api.jobs import Column
from keelway.worker.errors import WorkerError
from keelway.worker.locked_sql.grammar import ENDED_OF_MEMORY, LockedError
from keelway.worker.sql import literal
from keelway.worker.tables import Database, query

GRACE_SECONDS = 3.0
"""Between asking DuckDB to stop and killing the process: some functions do not look up for long."""
START_SECONDS = 60.0
"""For Python and DuckDB to be loaded on a busy node."""
LEAST_MEMORY = 64 * 2**20
UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
"""As DuckDB prints sizes."""
SPILLING = 3.0
KILLED = "it takes too long and does not stop when asked: compute less a row"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How much a session may take and what it sees."""

    memory_bytes: int
    """For its tables."""
    directories: Sequence[Path]
    scratch: Path
    """Where it may spill, at most half of what is free; one of the directories or not."""

    mapped: float = 1.25
    """How many times its memory the process may map. What it uses is bounded besides; but an allocator that sorts and
    spills keeps addresses that it does not use, so queries need `SPILLING`."""

    @classmethod
    def like(cls, database: Database, *, share: float = 1.0, mapped: float = 1.25) -> Settings:
        """What this database sees, with a share of its memory, and not too little to read a file."""
        names = ("memory_limit", "temp_directory", "allowed_directories")
        [(memory, spill, directories)] = query(
            database, f"SELECT {', '.join(f'current_setting({literal(name)})' for name in names)}"
        )
        number, unit = memory.split()
        return cls(
            memory_bytes=max(LEAST_MEMORY, int(float(number) * UNITS[unit] * share)),
            directories=[Path(directory) for directory in directories],
            scratch=Path(spill).parent,
            mapped=mapped,
        )


class LockedSession:
    """A process that judges and runs SQL.

    Every method raises LockedError, and takes at most GRACE_SECONDS longer than it is told. Of some errors the session
    is lost (`alive` is False), and another one is needed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._spill = tempfile.TemporaryDirectory(dir=settings.scratch, prefix="locked-", ignore_cleanup_errors=True)
        environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "keelway.worker.locked_sql.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=self._spill.name,
        )

    def __enter__(self) -> LockedSession:
        self._send(
            {
                "memory_bytes": self._settings.memory_bytes,
                "mapped": self._settings.mapped,
                "directories": [str(directory) for directory in self._settings.directories],
                "scratch": self._spill.name,
                "spill_bytes": shutil.disk_usage(self._spill.name).free // 2,
            }
        )
        self._answer(START_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._spill.cleanup()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        return self._process.poll() is None

    def judge_condition(self, text: str, columns: Sequence[Column], *, seconds: float) -> None:
        """The text is one condition over these columns."""
        self._ask("judge_condition", seconds, text=text, columns=_declared(columns))

    def judge_query(
        self, text: str, tables: Mapping[str, Sequence[Column]], *, seconds: float
    ) -> Sequence[Sequence[str]]:
        """The text is one SELECT over these tables; name and type of the columns that it yields."""
        declared = {name: _declared(columns) for name, columns in tables.items()}
        found: Sequence[Sequence[str]] = self._ask("judge_query", seconds, text=text, tables=declared)
        return found

    def query(self, sql: str, *, seconds: float) -> list[list[Any]]:
        """The rows of our own SQL around judged text; values must be JSON's."""
        rows: list[list[Any]] = self._ask("query", seconds, sql=sql)
        return rows

    def _ask(self, do: str, seconds: float, **request: Any) -> Any:
        self._send({"do": do, "seconds": seconds, **request})
        return self._answer(seconds + GRACE_SECONDS)

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._lost() from None

    def _answer(self, seconds: float) -> Any:
        answer = json.loads(self._line(seconds))
        if "problem" not in answer:
            return answer["answer"]
        if answer["lost"]:
            self._end()
        raise LockedError(answer["problem"], answer["message"])

    def _line(self, seconds: float) -> bytes:
        assert self._process.stdout
        deadline, output = time.monotonic() + seconds, self._process.stdout.fileno()
        read = b""
        while not read.endswith(b"\n"):
            ready, _, _ = select.select([output], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                self._end()
                raise LockedError("TimedOut", KILLED)
            more = os.read(output, 1 << 20)
            if not more:
                raise self._lost()
            read += more
        return read

    def _lost(self) -> LockedError:
        """What the end of the process means."""
        status = self._process.wait()
        if status in (-signal.SIGKILL, -signal.SIGABRT, ENDED_OF_MEMORY):
            return LockedError("OutOfMemory", "it takes more memory than it may, and its process ended of it")
        if status == -signal.SIGXCPU:
            return LockedError("TimedOut", KILLED)
        if status < 0:
            return LockedError("Invalid", f"its process ended with signal {-status}: write it otherwise")
        raise WorkerError("InternalError", f"the process that runs SQL ended with {status}; the log says where")

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe and not pipe.closed:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


class LockedSessions:
    """One session after the other, for work that has to go on when one is lost."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session: LockedSession | None = None

    def __enter__(self) -> LockedSessions:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def current(self) -> LockedSession:
        """The session that was used last, or a new one when that is lost. Raises LockedError."""
        if self._session is None or not self._session.alive:
            self._close()
            self._session = LockedSession(self._settings)
            self._session.__enter__()
        return self._session

    def _close(self) -> None:
        if self._session:
            self._session.__exit__()


def _declared(columns: Sequence[Column]) -> list[list[str]]:
    return [[column.name, column.type] for column in columns]
