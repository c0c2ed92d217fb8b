"""Reads a model whole and sees whether its bytes are those of its record, before anything of it runs.

The record has one digest for all files. When it does not fit, the list beside the directory tells which files are to
blame: a list whose own digest is the recorded one cannot be another model's.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from keelway.api.base import Model
from keelway.api.digests import short, tree_digest
from keelway.api.jobs import File, Location, StagedModel, list_beside
from keelway.worker.errors import WorkerError, enumerate_some
from keelway.worker.staging import fetch_into, scratch_directory
from keelway.worker.storage import READ, ChangedError, Storage, open_storage
from keelway.worker.storage_errors import place

LISTING = ("s3://", "gs://", "az://")
"""Places, besides volumes, where one can look into the directory above."""
LIST_BYTES = 32 * 2**20
"""More than 100 000 files with long names."""
NAMED = 5
"""Most files of one kind that a message names."""
_WRONG = ("missing", "truncated", "changed", "extra")


class ModelList(Model):
    """What lies beside a model's directory; see `api.jobs.list_beside`."""

    digest: str
    files: tuple[File, ...]


@dataclass(frozen=True)
class Found:
    """A model's files as they lie at a location."""

    storage: Storage
    files: Sequence[File]


def stage_model(model: StagedModel) -> list[File]:
    """Read the model's files, into the target where there is one, and give them with their sha256.

    Nothing has its name in the target before all bytes are known to be right. Raises WorkerError.
    """
    if not model.target:
        return asyncio.run(_verified(model, scratch_directory(), keep=False))
    target = Path(model.target)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".unfinished-") as name:
        files = asyncio.run(_verified(model, Path(name), keep=True))
        for entry in Path(name).iterdir():
            entry.rename(target / entry.name)
    return files


async def _verified(model: StagedModel, directory: Path, *, keep: bool) -> list[File]:
    found = await _look(model.location)
    # What a place claims to know of the bytes is no proof of them.
    claimed = [file.model_copy(update={"sha256": ""}) for file in found.files]
    wanted = [(file, directory / file.path if keep else None) for file in claimed]
    try:
        checksums = await fetch_into(found.storage, wanted, directory)
    except ChangedError as change:
        raise WorkerError(
            "SourceChanging", f"{change} at {place(model.location)} changed or went away while it was read"
        ) from change
    files = [file.model_copy(update={"sha256": checksums[file.path]}) for file in claimed]
    if (digest := _digest(files)) != model.digest:
        raise _refusal(model, digest, files, await _list(model))
    return files


async def _look(location: Location) -> Found:
    """The files below a directory, or the single file of this name. Raises WorkerError ArtifactMissing."""
    if found := await _below(location):
        return found
    if above := _above(location):
        parent, name = above
        if found := await _single(parent, name):
            return found
    raise WorkerError("ArtifactMissing", f"there are no files at {place(location)}: restore the model, or its URI")


async def _below(location: Location) -> Found | None:
    try:
        storage = open_storage(location, READ)
        files = (await storage.listing()).files
    except WorkerError as error:
        if error.reason == "SourceEmpty":
            return None
        raise
    return Found(storage, files) if files else None


async def _single(parent: Location, name: str) -> Found | None:
    try:
        storage = open_storage(parent, READ)
    except WorkerError as error:
        if error.reason == "SourceEmpty":
            return None
        raise
    file = await storage.head(name)
    return Found(storage, [file]) if file else None


def _above(location: Location) -> tuple[Location, str] | None:
    """The directory above, and the name in it; None where there is none that can be looked into."""
    if not (location.mount or location.uri.startswith(LISTING)):
        return None
    field = "mount" if location.mount else "uri"
    scheme, mark, path = location.uri.partition("://") if field == "uri" else ("", "", location.mount)
    parent, _, name = path.rstrip("/").rpartition("/")
    if not parent:
        return None
    return location.model_copy(update={field: f"{scheme}{mark}{parent}"}), name


async def _list(model: StagedModel) -> Sequence[File]:
    """The list beside the directory; empty when there is none, or none that is this model's."""
    above = _above(model.location)
    if above is None:
        return ()
    try:
        storage = open_storage(above[0], READ)
        listed = ModelList.model_validate_json(await _content(storage, list_beside(above[1])))
    except (WorkerError, ChangedError, ValidationError) as error:
        print(f"the list of the model's files cannot be read: {type(error).__name__}", flush=True)
        return ()
    return listed.files if _digest(listed.files) == model.digest else ()


async def _content(storage: Storage, path: str) -> bytes:
    file = await storage.head(path)
    if file is None or file.size > LIST_BYTES:
        raise ChangedError(path)
    return b"".join([chunk async for chunk in storage.get(file, only_if_same=True)])


def _refusal(model: StagedModel, digest: str, files: Iterable[File], listed: Iterable[File]) -> WorkerError:
    wrong = _differences({file.path: file for file in listed}, {file.path: file for file in files})
    named = [f"{kind}: {enumerate_some(wrong[kind], most=NAMED)}" for kind in _WRONG if wrong[kind]]
    message = (
        f"the files at {place(model.location)} are not those of the record (recorded {short(model.digest)}, "
        f"found {short(digest)}){'; ' if named else ''}{'; '.join(named)}: restore them, or record another version"
    )
    return WorkerError("ArtifactMissing" if wrong["missing"] else "ArtifactDigestMismatch", message)


def _differences(listed: Mapping[str, File], found: Mapping[str, File]) -> dict[str, list[str]]:
    """Paths by what is wrong with them; nothing where there is no list."""
    wrong: dict[str, list[str]] = {kind: [] for kind in _WRONG}
    for path in sorted(listed.keys() | found.keys()) if listed else ():
        if kind := _difference(listed.get(path), found.get(path)):
            wrong[kind].append(path)
    return wrong


def _difference(listed: File | None, found: File | None) -> str:
    if listed is None or found is None:
        return "missing" if listed else "extra"
    if (listed.size, listed.sha256) == (found.size, found.sha256):
        return ""
    return "truncated" if found.size < listed.size else "changed"


def _digest(files: Iterable[File]) -> str:
    return tree_digest((file.path, file.size, file.sha256) for file in files)
