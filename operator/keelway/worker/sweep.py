"""`sweep`: deletes what one run or one model left in a store, apart from what is kept.

The list of a model's files goes before the files: whoever finds it finds all of them, also when this is cut short.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from keelway.api.jobs import Location, SweepOrder, SweepVerdict, list_beside
from keelway.worker.errors import WorkerError
from keelway.worker.storage import SWEEP, open_storage
from keelway.worker.storage_errors import place
from keelway.worker.transfer import each


def run(order: SweepOrder) -> SweepVerdict:
    """Delete what is there now. Raises WorkerError."""
    files = asyncio.run(_sweep(order))
    print(f"deleted {files} files at {place(order.location)}", flush=True)
    return SweepVerdict(outcome="Swept", files=files)


async def _sweep(order: SweepOrder) -> int:
    parent, name = _parent(order.location)
    storage = open_storage(parent, SWEEP)
    there = await storage.contents(name)
    gone = [path for path in there if not _is_kept(path.removeprefix(f"{name}/"), order.keep)]
    # A model's directory has its list beside it; where something stays it is a run's.
    beside = [list_beside(name)] if not order.keep and await storage.head(list_beside(name)) else []
    lists = [*beside, *_lists(gone)]
    await each(lists, storage.delete)
    await each(set(gone) - set(lists), storage.delete)
    await storage.prune(name)
    return len(beside) + len(gone)


def _parent(location: Location) -> tuple[Location, str]:
    """The directory above, and the name in it of the one to delete. Raises WorkerError SourceInvalid."""
    field = "mount" if location.mount else "uri"
    scheme, mark, path = location.uri.partition("://") if field == "uri" else ("", "", location.mount)
    parent, _, name = path.rstrip("/").rpartition("/")
    if not parent.strip("/") or ".." in PurePosixPath(path).parts or os.path.ismount(location.mount):
        raise WorkerError("SourceInvalid", f"{place(location)} is no directory below a bucket: it is not deleted")
    return location.model_copy(update={field: f"{scheme}{mark}{parent}"}), name


def _is_kept(path: str, keep: Sequence[str]) -> bool:
    return any(path == kept or path.startswith(f"{kept}/") for kept in keep)


def _lists(paths: Iterable[str]) -> set[str]:
    """Those that list a directory of which something is there."""
    paths = set(paths)
    directories = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    return paths & {list_beside(directory) for directory in directories}
