"""Files that may be packed with gzip: opened without care for that, and refused when they are bombs."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase

from keelway.worker.errors import WorkerError
from keelway.worker.formats import StagedFile

PROBE_BYTES = 256 * 1024 * 1024
"""How much is unpacked to learn how far a file unpacks: under a second."""
MOST_RATIO = 500
"""Text packs ten to fifty times; gzip's own limit is 1032, for one byte over and over."""
BLOCK = 1024 * 1024


@contextmanager
def open_text(file: StagedFile) -> Iterator[BufferedIOBase]:
    """The file's bytes, unpacked. Raises WorkerError SourceInvalid when it is no gzip file, or a broken one."""
    with file.local.open("rb") as stored, _unpacked(file, stored) as source:
        yield source


def refuse_bomb(file: StagedFile) -> None:
    """Raise WorkerError SourceInvalid for a gzip file that unpacks to far more than data does."""
    if file.local.suffix != ".gz" or file.local.stat().st_size * MOST_RATIO * 2 < PROBE_BYTES:
        return
    buffer, length = bytearray(BLOCK), 0
    with file.local.open("rb") as stored, _unpacked(file, stored) as source:
        while length < PROBE_BYTES and (more := source.readinto(buffer)):
            length += more
        taken = stored.tell()
    if length > MOST_RATIO * taken:
        raise WorkerError(
            "SourceInvalid",
            f"{file.path} unpacks to more than {MOST_RATIO} times its size: write it as Parquet, or exclude it",
        )


@contextmanager
def _unpacked(file: StagedFile, stored: BufferedIOBase) -> Iterator[BufferedIOBase]:
    if file.local.suffix != ".gz":
        yield stored
        return
    try:
        with gzip.GzipFile(fileobj=stored) as unpacked:
            yield unpacked
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise WorkerError("SourceInvalid", f"{file.path} is not a readable gzip file: write it again") from error
