"""`stage`: put exactly the pinned bytes, or one split of them, before a trial, and write down its parameters.

For an evaluation, or before a model may serve, that is a model's bytes, too.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from keelway.api.jobs import File, StageInput, StageOrder, StageVerdict
from keelway.worker import manifest, splits
from keelway.worker.errors import WorkerError
from keelway.worker.model_staging import stage_model
from keelway.worker.staging import Wanted, fetch_into, scratch_directory, scratch_files
from keelway.worker.storage import READ, ChangedError, Storage, open_storage
from keelway.worker.storage_errors import place
from keelway.worker.transfer import OtherBytesError, fetch


def run(order: StageOrder) -> StageVerdict:
    """Fill the target of the model and of each input. Raises WorkerError."""
    staged = stage_model(order.model) if order.model else []
    files, size, rows = len(staged), sum(file.size for file in staged), 0
    for given in order.inputs:
        needed = _needed(given, manifest.unpack(given.manifest))
        rows += _stage(given, needed, order.memory_limit)
        files += len(needed)
        size += sum(file.size for file in needed)
    if order.parameters_file:
        _write_parameters(order)
    return StageVerdict(outcome="Staged", files=files, bytes=size, rows=rows)


def _needed(given: StageInput, files: Sequence[File]) -> Sequence[File]:
    """What has to be fetched: the rows of a split can be in any file, and a file that is no table is in one split."""
    if not given.split or given.format not in ("Images", "Files"):
        return files
    chosen = [one for one in splits.ranges(given.splits) if one.name == given.split]
    return [file for file in files if any(one.holds(file.path) for one in chosen)]


def _stage(given: StageInput, files: Sequence[File], memory_limit: str) -> int:
    """Rows of the split; 0 for a whole data set, which nobody has to count."""
    target = Path(given.target)
    target.mkdir(parents=True, exist_ok=True)
    if not given.split:
        _fetch(given, [(file, target / file.path) for file in files], target)
        return 0
    with tempfile.TemporaryDirectory(dir=scratch_directory(), prefix="stage-") as name:
        scratch = Path(name)
        staged = list(scratch_files(files, scratch, given.format))
        _fetch(given, [(file, one.local) for file, one in zip(files, staged, strict=True)], scratch)
        from keelway.worker.splitting import write_split  # DuckDB takes a while to load

        return write_split(given, staged, target=target, scratch=scratch, memory_limit=memory_limit)


def _fetch(given: StageInput, wanted: Sequence[Wanted], directory: Path) -> None:
    location = given.source.location
    try:
        asyncio.run(fetch_into(open_storage(location, READ), wanted, directory, how=_fetch_recorded))
    except ChangedError as change:
        raise WorkerError(
            "DatasetVersionGone",
            f"{change} at {place(location)} is no longer as it was recorded for data set {given.name!r}: "
            "restore it, or let the Dataset record a new version",
        ) from change


async def _fetch_recorded(storage: Storage, file: File, target: Path | None) -> File:
    """The recorded bytes, whatever the store calls them now. Raises ChangedError when they are not there.

    The ETag is the quick way. Where it is another one (the same bytes uploaded again, in other parts, or touched) the
    sha256 decides.
    """
    if not (file.etag or file.sha256):
        raise ChangedError(file.path)  # nothing is recorded that other bytes could be told by
    try:
        return await fetch(storage, file, target)
    except OtherBytesError:
        raise
    except ChangedError:
        if not file.sha256:
            raise
    return await fetch(storage, file, target, only_if_same=False)


def _write_parameters(order: StageOrder) -> None:
    path = Path(order.parameters_file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(order.parameters))
