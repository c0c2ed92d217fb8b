"""`record`: a sidecar that waits for the end of a derivation, then describes, checks and keeps what was written.

The files go into a directory of this derivation alone; a marker that lists them comes last. Whoever finds the marker
finds every file of it: before the first file of a finished directory changes, the marker goes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from keelway.api.base import Model
from keelway.api.digests import canonical_json, content_digest
from keelway.api.durations import to_timestamp
from keelway.api.jobs import File, FileFormat, Location, ObserveOrder, ObserveVerdict, RecordOrder, Source
from keelway.worker import identity, selection
from keelway.worker.errors import WorkerError
from keelway.worker.formats import SUFFIXES
from keelway.worker.reading import Reading
from keelway.worker.reporting import report
from keelway.worker.staging import scratch_directory
from keelway.worker.storage import KEEP, READ, ChangedError, Listing, Storage, open_storage
from keelway.worker.storage_errors import place
from keelway.worker.transfer import each, put_all
from keelway.worker.verdicts import print_report

MARKER = "_keelway.json"
MARKER_BYTES = 100_000_000
"""A marker of 100 000 files has 20 MB."""


class Marker(Model):
    """What a finished directory holds besides itself."""

    derivation: str
    digest: str
    files: tuple[File, ...]


def run(order: RecordOrder) -> ObserveVerdict:
    """Wait for SIGTERM, which Kubernetes sends when the other containers have ended, then record."""
    print("waiting for the end of the containers that derive", flush=True)
    signal.sigwait({signal.SIGTERM})
    return record(order)


def record(order: RecordOrder) -> ObserveVerdict:
    """Read what was written, upload what is not there yet, and describe it. Raises WorkerError."""
    return asyncio.run(_record(order))


async def _record(order: RecordOrder) -> ObserveVerdict:
    output = open_storage(Location(mount=order.output_dir), READ)
    written = _visible(await output.listing())
    _refuse_other_formats(written, order.format)
    store = open_storage(order.destination, KEEP)
    with tempfile.TemporaryDirectory(dir=scratch_directory(), prefix="record-") as name:
        scratch, look = Path(name), _as_look(order)
        reading = Reading(output, look, written, scratch)
        files = await _read(reading)
        listing = await _send(store, order, files)
        kept = _as_listed(files, listing)
        found, rows = report(look, reading, kept, kept=kept, revision="")
        marker = Marker(derivation=order.derivation, digest=_digest(kept), files=tuple(kept))
        await _mark(store, listing, marker, scratch)
    newest = listing.newest_of(kept)
    return ObserveVerdict(
        outcome="Observed",
        digest=marker.digest,
        listing=identity.listing_of(kept),
        newest=to_timestamp(newest) if newest else "",
        files=len(kept),
        bytes=sum(file.size for file in kept),
        rows=rows,
        report_sha256=print_report(found),
    )


def _as_look(order: RecordOrder) -> ObserveOrder:
    """What was written is described as what is found at a source is, named by every byte."""
    return ObserveOrder(
        source=Source(location=Location(mount=order.output_dir), format=order.format),
        identity="Content",
        checks=order.checks,
        splits=order.splits,
        split_key=order.split_key,
        memory_limit=order.memory_limit,
    )


def _visible(listing: Listing) -> list[File]:
    """The files that are data. Raises WorkerError OutputMissing."""
    found = [file for file in listing.files if not selection.is_hidden(file.path)]
    if found:
        return found
    problem = "holds only hidden files (names that begin with '.' or '_')" if listing.files else "holds no files"
    raise WorkerError(
        "OutputMissing", f"KEELWAY_OUTPUT_DIR {problem}: write the data into it before the container ends"
    )


def _refuse_other_formats(files: Sequence[File], format_name: FileFormat) -> None:
    endings = tuple(ending for name, known in SUFFIXES.items() if name != format_name for ending in known)
    others = [file.path for file in files if format_name != "Files" and file.path.lower().endswith(endings)]
    if others:
        raise WorkerError(
            "SourceInvalid",
            f"{others[0]} in KEELWAY_OUTPUT_DIR is no {format_name} file: write files of this format alone, or correct "
            "derive.output.format",
        )


async def _read(reading: Reading) -> list[File]:
    """The files with the sha256 of each."""
    try:
        return await reading.finish(every_byte=True)
    except ChangedError as change:
        raise WorkerError(
            "SourceChanging", f"{change} changed while it was read: end every container first"
        ) from change
    except WorkerError as error:
        if error.reason != "AccessDenied":
            raise
        message = f"a file in KEELWAY_OUTPUT_DIR cannot be read by user {os.getuid()}: let all read it (umask 022)"
        raise WorkerError("SourceInvalid", message) from error


async def _send(store: Storage, order: RecordOrder, files: Sequence[File]) -> Listing:
    """Make the destination hold these files and no others; gives it as it is then. Raises WorkerError.

    What an earlier upload left that was cut off goes: a reader of the directory must not meet it.
    """
    before = await store.listing()
    known = _known(await _marker(store, before), order, before)
    missing = [file for file in files if known.get(file.path) != file.sha256]
    strays = {file.path for file in before.files} - {file.path for file in files} - {MARKER}
    print(f"sending {len(missing)} of {len(files)} files to {place(order.destination)}", flush=True)
    if not missing and not strays:
        return before
    if MARKER in (file.path for file in before.files):
        await store.delete(MARKER)
    await put_all(store, ((Path(order.output_dir) / file.path, file.path, file.size) for file in missing))
    await each(strays, store.delete)
    return await store.listing()


def _known(marker: Marker | None, order: RecordOrder, listing: Listing) -> dict[str, str]:
    """The sha256 by path of the files that a finished upload of this derivation left and nobody has touched since."""
    if marker is None or marker.derivation != order.derivation:
        return {}
    there = {(file.path, file.size, file.etag) for file in listing.files}
    return {file.path: file.sha256 for file in marker.files if (file.path, file.size, file.etag) in there}


def _as_listed(files: Sequence[File], listing: Listing) -> list[File]:
    """The files with the ETags that the store gives them. Raises WorkerError UploadFailed."""
    there = {file.path: file for file in listing.files}
    kept = [file.model_copy(update={"etag": there[file.path].etag}) for file in files if file.path in there]
    if len(kept) < len(files):
        raise WorkerError(
            "UploadFailed", f"{len(files) - len(kept)} of {len(files)} files are not there after the upload"
        )
    return kept


def _digest(files: Sequence[File]) -> str:
    return content_digest((file.path, file.size, file.sha256) for file in files)


async def _marker(store: Storage, listing: Listing) -> Marker | None:
    """The marker of a finished upload, if there is one that can be read."""
    found = next((file for file in listing.files if file.path == MARKER), None)
    if found is None or found.size > MARKER_BYTES:
        return None
    try:
        return Marker.model_validate_json(b"".join([chunk async for chunk in store.get(found, only_if_same=True)]))
    except (ChangedError, ValidationError):
        # Not ours, or half of one: as good as none, and everything is sent again.
        return None


async def _mark(store: Storage, listing: Listing, marker: Marker, scratch: Path) -> None:
    """Say that the directory is finished, unless it says so already."""
    if await _marker(store, listing) == marker:
        return
    local = scratch / MARKER
    local.write_bytes(canonical_json(marker.to_json()))
    await store.put(MARKER, local)
