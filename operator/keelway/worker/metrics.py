"""The last line of a metrics file, which a trial or an evaluation writes."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

from keelway.worker.errors import WorkerError, enumerate_some

MOST = 50
"""Metrics of a verdict; those that are wanted are always among them."""
TAIL_BYTES = 1024 * 1024
_LINES = json.JSONDecoder(parse_int=float)


def read_metrics(path: Path, *wanted: str) -> dict[str, float]:
    """Finite numbers of the last line that is not empty, those that are wanted first.

    Raises WorkerError MetricMissing (with the keys that were found) or MetricInvalid.
    """
    found = _parse(_last_line(path))
    if missing := [repr(key) for key in wanted if key not in found]:
        absent, keys = enumerate_some(missing), enumerate_some(list(found)) or "none"
        raise WorkerError("MetricMissing", f"the last line of KEELWAY_METRICS has no {absent}; its keys: {keys}")
    numbers = {key: value for key, value in found.items() if is_number(value) and math.isfinite(value)}
    if unusable := [key for key in wanted if key not in numbers]:
        key = unusable[0]
        kind = "not finite" if is_number(found[key]) else "not a number"
        raise WorkerError("MetricInvalid", f"{key!r} in the last line of KEELWAY_METRICS is {kind}")
    others = [key for key in numbers if key not in wanted]
    return {key: numbers[key] for key in [*wanted, *others][:MOST]}


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value of `read_line` is a number."""
    return isinstance(value, float)


def read_line(line: bytes) -> Any:
    """A line's JSON. Integers are read as floats, so that one of a million digits is infinite and not slow.

    Raises ValueError for what is not JSON, RecursionError for what is nested too deeply.
    """
    return _LINES.decode(line.decode("utf-8-sig"))


def open_metrics(path: Path) -> BinaryIO:
    """Open the file, which the trial's own program may put anything in the place of.

    A link is not followed and a pipe not waited for: WorkerError MetricInvalid. Raises OSError when it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            raise _not_a_file() from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_a_file()
    return os.fdopen(descriptor, "rb")


def _not_a_file() -> WorkerError:
    return WorkerError("MetricInvalid", "KEELWAY_METRICS is not a regular file")


def _parse(line: bytes) -> dict[str, Any]:
    try:
        found = read_line(line)
    except (ValueError, RecursionError) as error:
        raise WorkerError(
            "MetricInvalid", "the last line of KEELWAY_METRICS is not JSON: write an object a line"
        ) from error
    if not isinstance(found, dict):
        raise WorkerError("MetricInvalid", "the last line of KEELWAY_METRICS is not a JSON object of numbers")
    # A lone surrogate, which JSON can spell, cannot be written as UTF-8.
    return {key.encode(errors="replace").decode(): value for key, value in found.items()}


def _last_line(path: Path) -> bytes:
    lines = [line for line in _tail(path).split(b"\n") if line.strip()]
    if not lines:
        raise WorkerError(
            "MetricMissing", "KEELWAY_METRICS is empty or absent: append one JSON object of numbers a line"
        )
    return lines[-1]


def _tail(path: Path) -> bytes:
    """The file's last TAIL_BYTES; empty when there is no such file."""
    try:
        with open_metrics(path) as source:
            source.seek(max(0, os.fstat(source.fileno()).st_size - TAIL_BYTES))
            return source.read(TAIL_BYTES)
    except FileNotFoundError:
        return b""
    except PermissionError as error:
        raise WorkerError(
            "MetricMissing", f"user {os.getuid()} cannot read KEELWAY_METRICS: let all read it"
        ) from error
