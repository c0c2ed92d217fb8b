"""Moves files between a store and local disk: a few at a time, hashed on the way, half a file never under its name."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from keelway.api.digests import sha256
from keelway.api.jobs import File
from keelway.worker.errors import WorkerError
from keelway.worker.storage import ChangedError, Storage
from keelway.worker.storage_errors import FULL

T = TypeVar("T")

AT_ONCE = 8
"""Files under way at a time."""


class OtherBytesError(ChangedError):
    """A file's bytes have not the sha256 that is recorded of them; the argument is the path."""


async def fetch(storage: Storage, file: File, target: Path | None, *, only_if_same: bool = True) -> File:
    """Stream a file to `target`, or nowhere, and give it with the sha256 of what came.

    Raises ChangedError when it is no longer the file that was listed, OtherBytesError when it has a sha256 and the
    bytes have another, and WorkerError; then there is nothing at `target`.
    """
    try:
        with _landing(target) as out:
            size, checksum = await _stream(storage.get(file, only_if_same=only_if_same), out)
            if size != file.size:
                raise ChangedError(file.path)
            if file.sha256 not in ("", checksum):
                raise OtherBytesError(file.path)
    except OSError as error:
        if failure := _disk_failure(error, file):
            raise failure from error
        raise
    return file.model_copy(update={"sha256": checksum})


async def _stream(chunks: AsyncIterator[memoryview], out: BinaryIO | None) -> tuple[int, str]:
    size, checksum = 0, hashlib.sha256()
    async for chunk in chunks:
        size += len(chunk)
        checksum.update(chunk)
        if out:
            out.write(chunk)
    return size, checksum.hexdigest()


@contextmanager
def _landing(target: Path | None) -> Iterator[BinaryIO | None]:
    """A file to write to, which gets its name once it is whole."""
    if target is None:
        yield None
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{sha256(target.name.encode())[:16]}.unfinished")
    try:
        with unfinished.open("wb") as out:
            yield out
        unfinished.rename(target)
    finally:
        unfinished.unlink(missing_ok=True)


def _disk_failure(error: OSError, file: File) -> WorkerError | None:
    """What an error of our own disk amounts to; None when that is nobody's to mend."""
    if error.errno in FULL:
        return WorkerError("OutOfSpace", "no space left on the Job's own volume: give it more room")
    if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        return WorkerError(
            "SourceInvalid", f"a part of {file.path!a} is the name of a file and of a directory: rename one of them"
        )
    return None


async def put_all(storage: Storage, wanted: Iterable[tuple[Path, str, int]]) -> list[File]:
    """Upload each file of so many bytes to its path; the files as the store has them, sorted. Raises WorkerError."""
    arrived: list[File] = []

    async def put(one: tuple[Path, str, int]) -> None:
        source, path, size = one
        file = await storage.put(path, source)
        if file.size != size:
            raise WorkerError(storage.purpose.unreachable, f"{path} changed while it was uploaded: {file.size} bytes")
        arrived.append(file)

    await each(wanted, put)
    return sorted(arrived, key=lambda file: file.path)


async def each(items: Iterable[T], work: Callable[[T], Awaitable[Any]], *, at_once: int = AT_ONCE) -> None:
    """Work on all items, `at_once` at a time; the first error ends it, when all that was under way has stopped."""
    queue = iter(items)

    async def worker() -> None:
        for item in queue:
            await work(item)

    workers = [asyncio.ensure_future(worker()) for _ in range(at_once)]
    try:
        await asyncio.gather(*workers)
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
