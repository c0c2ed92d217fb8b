"""Which of the listed files are the data, and which of these are described: hidden files, globs, format, size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from keelway.api.digests import sha256
from keelway.api.jobs import File, FileFormat, Source
from keelway.api.quantities import bytes_of
from keelway.worker.errors import WorkerError, enumerate_some
from keelway.worker.formats import SUFFIXES, suffix
from keelway.worker.storage_errors import place


def is_hidden(path: str) -> bool:
    """Whether a part of the path begins with `.` or `_` (`_SUCCESS`, `.a.crc`); `_key=value` directories are data."""
    return any(part.startswith(".") or (part.startswith("_") and "=" not in part) for part in path.split("/"))


def select(listed: Sequence[File], source: Source) -> list[File]:
    """The data files. Raises WorkerError SourceEmpty."""
    visible = [file for file in listed if not is_hidden(file.path)]
    chosen = [file for file in visible if _wanted(file.path, source)]
    if not chosen:
        raise WorkerError("SourceEmpty", _nothing(source, len(listed), len(visible)))
    return chosen


def portion(files: Sequence[File], max_bytes: str) -> list[File]:
    """The files to describe, at most so many bytes and at least one file, in the order given.

    Files are taken by the hash of their path, so that it is the same ones in each version. Raises WorkerError
    SourceInvalid when `max_bytes` is no quantity.
    """
    left = _quantity(max_bytes)
    if sum(file.size for file in files) <= left:
        return list(files)
    chosen = set()
    for file in sorted(files, key=lambda file: sha256(file.path.encode())):
        if file.size <= left:
            chosen.add(file.path)
            left -= file.size
    chosen = chosen or {min(files, key=lambda file: (file.size, file.path)).path}
    return [file for file in files if file.path in chosen]


def _quantity(max_bytes: str) -> int:
    try:
        return bytes_of(max_bytes)
    except ValueError as error:
        raise WorkerError("SourceInvalid", f"profile.maxBytes: {error}") from error


def format_of(files: Sequence[File], source: Source) -> FileFormat:
    """The one format of the files. Raises WorkerError SourceInvalid that says what was found."""
    if source.format == "Files":
        return "Files"
    chosen = _format_of(files, source)
    # A broken image is counted, not fatal; a table of no bytes has no columns.
    if chosen != "Images" and (empty := [file.path for file in files if not file.size]):
        raise WorkerError("SourceInvalid", f"{empty[0]} is empty (0 bytes): write it again, or exclude it")
    return chosen


def _format_of(files: Sequence[File], source: Source) -> FileFormat:
    found = Counter(_format_name(file.path) for file in files)
    known: list[FileFormat] = [name for name in SUFFIXES if found[name]]
    if source.format != "Auto":
        others = [name for name in known if name != source.format]
        if not others:
            return source.format
    elif len(found) == 1 and known:
        return known[0]
    raise WorkerError(
        "SourceInvalid",
        f"the files are not all of one format: found {_kinds(files)}; choose with source.include, or set source.format",
    )


def _format_name(path: str) -> FileFormat | None:
    return next((name for name, endings in SUFFIXES.items() if path.lower().endswith(endings)), None)


def _kinds(files: Sequence[File]) -> str:
    counts = Counter(suffix(file.path) or "without suffix" for file in files)
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return enumerate_some([f"{count} {kind}" for kind, count in ordered])


def _wanted(path: str, source: Source) -> bool:
    return (not source.include or _matches(path, source.include)) and not _matches(path, source.exclude)


def _matches(path: str, globs: Sequence[str]) -> bool:
    if not globs:
        return False
    from wcmatch import glob  # costs a tenth of a second, and most sources have no globs

    return glob.globmatch(path, globs, flags=glob.GLOBSTAR | glob.DOTGLOB | glob.BRACE | glob.FORCEUNIX)


def _nothing(source: Source, listed: int, visible: int) -> str:
    where = place(source.location)
    if not listed:
        return f"there is nothing below {where}: put files there, or correct the path (a directory, not a file)"
    if not visible:
        return f"there are only hidden files below {where} (names that begin with '.' or '_')"
    return f"none of the {visible} files below {where} matches include and exclude"
