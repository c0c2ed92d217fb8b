"""Which line of a JSON Lines file cannot be read, and why; DuckDB's own count of lines is not exact."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from io import BufferedIOBase
from typing import Any

from keelway.api.columns import folded
from keelway.worker.errors import WorkerError
from keelway.worker.formats import StagedFile
from keelway.worker.formats.gzipped import open_text

LONGEST_LINE = 16 * 1024 * 1024
DEEPEST = 128
"""As deep as DuckDB goes."""


class _RepeatedKeyError(ValueError):
    """An object has a key twice, or a second time in other case."""


def broken_line(file: StagedFile) -> WorkerError:
    """The failure of a file that DuckDB did not read, after a look at its lines one by one."""
    with open_text(file) as source:
        for number, line in enumerate(_lines(source), start=1):
            if problem := _problem(line):
                return WorkerError(
                    "SourceInvalid", f"{file.path} line {number} {problem}: mend it, or exclude the file"
                )
    return WorkerError("SourceInvalid", f"{file.path} has no object with a key: write one a line, or exclude the file")


def _lines(source: BufferedIOBase) -> Iterator[bytes]:
    """Lines with their ends; of one that is too long as much as shows that it is, and then none."""
    while line := source.readline(LONGEST_LINE + 2):
        yield line


def _problem(line: bytes) -> str:
    """What is wrong with a line, in words; empty when nothing is."""
    if len(line.rstrip(b"\r\n")) > LONGEST_LINE:
        return f"is longer than {LONGEST_LINE // 1024**2} MiB"
    if line.startswith(codecs.BOM_UTF8):
        return "begins with a byte order mark, which JSON does not have"
    if not line.strip():
        return ""
    try:
        return _misshapen(json.loads(line.decode(), object_pairs_hook=_object))
    except UnicodeDecodeError:
        return "is not UTF-8"
    except _RepeatedKeyError:
        return "has a key twice in one object"
    except RecursionError:
        return f"is nested deeper than {DEEPEST}"
    except ValueError:
        return "is not JSON"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({folded(key) for key, _ in pairs}) < len(pairs):
        raise _RepeatedKeyError
    return dict(pairs)


def _misshapen(value: Any) -> str:
    """A value that is JSON, yet no row."""
    if value is not None and not isinstance(value, dict):
        return "is not an object"
    if value and "" in value:
        return "has a key without a name"
    if _depth(value) > DEEPEST:
        return f"is nested deeper than {DEEPEST}"
    json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is a ValueError here
    return ""


def _depth(value: Any) -> int:
    """How many objects and lists are around the innermost value."""
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, dict | list)]:
        depth += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return depth
