"""Brings files from a store to local disk, and turns down what does not fit before a byte is read."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from keelway.api.jobs import File, FileFormat
from keelway.worker import partitions
from keelway.worker.errors import WorkerError
from keelway.worker.formats import StagedFile, local_name
from keelway.worker.storage import Storage
from keelway.worker.storage_errors import place
from keelway.worker.transfer import each, fetch

SCRATCH_VARIABLE = "KEELWAY_SCRATCH"

Wanted = tuple[File, Path | None]
"""A file, and where to put it; None: nowhere, only its sha256 is wanted."""
Fetch = Callable[[Storage, File, Path | None], Awaitable[File]]


def scratch_directory() -> Path:
    """Where there is room for files that end with the container."""
    return Path(os.environ.get(SCRATCH_VARIABLE, "/tmp"))


async def fetch_into(
    storage: Storage, wanted: Sequence[Wanted], directory: Path, *, how: Fetch = fetch
) -> dict[str, str]:
    """Fetch files to their paths below `directory`; their sha256 by path. Raises ChangedError and WorkerError."""
    _refuse_without_room(sum(file.size for file, target in wanted if target), directory)
    begin = time.monotonic()
    checksums: dict[str, str] = {}

    async def one(pair: Wanted) -> None:
        checksums[pair[0].path] = (await how(storage, *pair)).sha256

    await each(wanted, one)
    seconds, total = time.monotonic() - begin, sum(file.size for file, _ in wanted)
    print(f"fetched {len(wanted)} files, {total} bytes, from {place(storage.location)} in {seconds:.1f} s", flush=True)
    return checksums


def scratch_files(files: Sequence[File], directory: Path, format_name: FileFormat) -> Iterator[StagedFile]:
    """Where to put each file for DuckDB: alone below a number, since it takes `*` or `[` in a name for a wildcard."""
    for number, file in enumerate(files):
        name = local_name(file.path, format_name, number)
        yield StagedFile(file.path, directory / str(number) / partitions.directory(file.path) / name)


def _refuse_without_room(size: int, directory: Path) -> None:
    free = shutil.disk_usage(directory).free
    if size > free:
        raise WorkerError("OutOfSpace", f"{size} bytes are needed, {free} are free: give the Job's volume more room")
