"""The process in which other people's SQL runs: one line of JSON in, one line out, until the input ends.

The first line says how much it may take and which directories it sees. Each further one is {"do", "seconds", …} and
is answered by {"answer": …} or {"problem", "message", "lost"}; what follows a loss would not be answered well.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import duckdb

from keelway.worker.errors import WorkerError
from keelway.worker.locked_sql import grammar
from keelway.worker.locked_sql.functions import Functions, list_functions
from keelway.worker.locked_sql.grammar import LockedError
from keelway.worker.sql import identifier
from keelway.worker.tables import THREADS, Database, open_database, query

DEEPEST = 50_000
"""DuckDB lets expressions be nested a thousand deep; each level is a few levels of JSON."""
ROWS = "keelway_rows"
BROKEN_DATABASE = (duckdb.FatalException, duckdb.InternalException, RuntimeError)
WATCH_SECONDS = 0.02
SLACK_BYTES = 64 * 2**20
"""What the process may take beyond the tables: the parser's tree, one chunk of every column."""


def main() -> None:
    """Serve until the input ends."""
    sys.setrecursionlimit(DEEPEST)
    answers = _own_output()
    settings = json.loads(sys.stdin.readline())
    directories = [Path(directory) for directory in settings["directories"]]
    with open_database(
        memory_limit=f"{settings['memory_bytes'] // 1024}KiB",
        scratch=Path(settings["scratch"]),
        directories=directories,
        spill_limit=f"{settings['spill_bytes'] // 1024}KiB",
    ) as database:
        served = _Served(database, list_functions(database))
        _bound_memory(settings["memory_bytes"], settings["mapped"])
        print(json.dumps({"answer": "ready"}), file=answers, flush=True)
        for line in sys.stdin:
            print(json.dumps(served.answer(json.loads(line))), file=answers, flush=True)


def _own_output() -> TextIO:
    """What is standard output so far; whatever a library prints goes to the log from here on."""
    own = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return own


class _Served:
    """Answers requests with one database."""

    def __init__(self, database: Database, functions: Functions) -> None:
        self._database, self._functions = database, functions
        self._does: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
            "judge_condition": self._judge_condition,
            "judge_query": self._judge_query,
            "query": lambda request: query(self._database, request["sql"]),
        }

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What came of it, within `seconds`."""
        timer = threading.Timer(request["seconds"], self._database.interrupt)
        timer.daemon = True
        try:
            _bound_cpu(request["seconds"])
            timer.start()
            return {"answer": self._does[request["do"]](request)}
        except Exception as error:  # noqa: BLE001 - whatever it is, the other side waits for an answer
            told = _told(error)
            # A query that failed over the data may have left more memory taken than the next one can do without.
            ran = request["do"] == "query"
            lost = ran or told.problem not in ("Refused", "Invalid") or isinstance(error, BROKEN_DATABASE)
            return {"problem": told.problem, "message": told.message, "lost": lost}
        finally:
            timer.cancel()

    def _judge_condition(self, request: Mapping[str, Any]) -> None:
        text, columns = request["text"], request["columns"]
        grammar.judge_condition(self._database, text, [name for name, _ in columns], self._functions)
        with _Empty(self._database, {ROWS: columns}):
            [(_, kind, *_)] = _described(self._database, f"SELECT (\n{text}\n) FROM {ROWS}")
        if kind != "BOOLEAN":
            raise LockedError("Invalid", f"a rule is a condition, this is of type {kind}: compare it with something")

    def _judge_query(self, request: Mapping[str, Any]) -> list[list[str]]:
        """Name and type of the columns that the query yields."""
        text, tables = request["text"], request["tables"]
        grammar.judge_query(self._database, text, list(tables), self._functions)
        with _Empty(self._database, tables):
            return [[name, kind] for name, kind, *_ in _described(self._database, text)]


class _Empty:
    """Tables without rows while it is entered: what is bound to them cannot tell of the data, nor cost a read."""

    def __init__(self, database: Database, tables: Mapping[str, Sequence[Sequence[str]]]) -> None:
        self._database, self._tables = database, tables

    def __enter__(self) -> None:
        for name, columns in self._tables.items():
            declared = ", ".join(f"{identifier(column)} {kind}" for column, kind in columns)
            self._database.execute(f"CREATE OR REPLACE TABLE {identifier(name)} ({declared})")

    def __exit__(self, *_: object) -> None:
        for name in self._tables:
            self._database.execute(f"DROP TABLE IF EXISTS {identifier(name)}")


def _described(database: Database, select: str) -> list[tuple[Any, ...]]:
    try:
        return database.execute(f"DESCRIBE {select}").fetchall()
    except (duckdb.OutOfMemoryException, duckdb.InterruptException):
        raise
    except duckdb.Error as error:
        raise LockedError("Invalid", f"not SQL for these columns: {grammar.first_words(error)}") from None


def _told(error: Exception) -> LockedError:
    """What an error is for the one who wrote the SQL; its own text may hold values, so it stays here."""
    if isinstance(error, LockedError):
        return error
    if isinstance(error, WorkerError):
        return _out_of(error)
    for kind, problem, message in MEANINGS:
        if isinstance(error, kind):
            return LockedError(problem, message)
    if isinstance(error, BROKEN_DATABASE) and _is_at_its_bound():
        return LockedError("OutOfMemory", TOO_MUCH_MEMORY)
    name = type(error).__name__
    if not isinstance(error, duckdb.Error):
        print("".join(traceback.format_tb(error.__traceback__)), name, sep="", file=sys.stderr, flush=True)
    return LockedError("Invalid", f"it fails on some rows ({name}): write TRY(…) around what fails, to have NULL there")


def _out_of(error: WorkerError) -> LockedError:
    if isinstance(error.__cause__, duckdb.IOException):
        return LockedError("OutOfSpace", error.message)
    return LockedError("OutOfMemory", TOO_MUCH_MEMORY)


TOO_MUCH_MEMORY = "it takes more memory than it may: make smaller texts and lists, or give the Job more memory"
MEANINGS: Sequence[tuple[type[Exception], grammar.Problem, str]] = [
    (duckdb.InterruptException, "TimedOut", "it takes too long: compute less a row"),
    (duckdb.OutOfMemoryException, "OutOfMemory", TOO_MUCH_MEMORY),
    (MemoryError, "OutOfMemory", TOO_MUCH_MEMORY),
    (duckdb.ConversionException, "Invalid", "some values cannot be converted: write TRY_CAST instead of CAST or ::"),
    (duckdb.OutOfRangeException, "Invalid", "some results are too large for their type: cast to DOUBLE or HUGEINT"),
]


def _bound_memory(memory_bytes: int, mapped: float) -> None:
    """Bound what the process takes: a function's texts and lists are not in DuckDB's own account."""
    most = _bytes_of("VmData") + int(memory_bytes * mapped) + SLACK_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resident = _bytes_of("VmRSS") + memory_bytes + memory_bytes // 4 + SLACK_BYTES
    threading.Thread(target=_watch_memory, args=(resident,), daemon=True).start()


def _watch_memory(most: int) -> None:
    """End the process when it is larger; the kernel bounds only what it maps, which may be much more than it uses."""
    page = resource.getpagesize()
    with open("/proc/self/statm") as sizes:
        while int(sizes.read().split()[1]) * page <= most:
            time.sleep(WATCH_SECONDS)
            sizes.seek(0)
    os._exit(grammar.ENDED_OF_MEMORY)


def _is_at_its_bound() -> bool:
    return _bytes_of("VmData") > 0.9 * resource.getrlimit(resource.RLIMIT_DATA)[0]


def _bytes_of(field: str) -> int:
    with open("/proc/self/status") as status:
        [line] = [line for line in status if line.startswith(f"{field}:")]
    return int(line.split()[1]) * 1024


def _bound_cpu(seconds: float) -> None:
    """End the process that outlives its deadline, also when nobody is left to end it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    most = int(usage.ru_utime + usage.ru_stime + (seconds + 5) * THREADS) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
