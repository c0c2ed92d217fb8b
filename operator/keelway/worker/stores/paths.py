"""Which keys can be paths of files: what lands on a local disk must stay where it is put."""

from __future__ import annotations

import re

from keelway.api.jobs import Location
from keelway.worker.errors import WorkerError
from keelway.worker.storage_errors import place

LONGEST_PART = 255
"""Bytes; no Linux file system takes longer names."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def checked(path: str, location: Location) -> str:
    """The path itself. Raises WorkerError SourceInvalid that names the key, escaped, and says what is wrong with it."""
    if wrong := problem(path):
        raise refusal(path, location, wrong)
    return path


def refusal(path: str, location: Location, wrong: str) -> WorkerError:
    """The error for a key that cannot be a path."""
    shown = path if len(path) <= 200 else f"{path[:200]}…"
    return WorkerError("SourceInvalid", f"the key {shown!a} at {place(location)} has {wrong}: rename the object")


def problem(path: str) -> str:
    """What keeps a key from being a path; empty when nothing does."""
    parts = path.split("/")
    if path.startswith("/"):
        return "a '/' at its beginning"
    if "" in parts or "." in parts or ".." in parts:
        return "an empty, '.' or '..' part"
    if _CONTROL.search(path):
        return "a control character"
    if any("\ud800" <= character <= "\udfff" for character in path):
        return "bytes that are not UTF-8"
    if any(len(part.encode()) > LONGEST_PART for part in parts):
        return f"a part of more than {LONGEST_PART} bytes"
    return ""
