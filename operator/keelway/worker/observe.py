"""`observe`: list a source; where its bytes are not the known ones, read them once and describe them.

A look costs what it finds. The same listing: nothing is read. Another listing: what it shows to be new is read first,
and when its bytes are those of the known version (uploaded again, touched, copied) the look ends there. Only then is
the rest fetched for the description, at most `profile.maxBytes` of it.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from keelway.api.durations import to_timestamp
from keelway.api.jobs import File, ObserveOrder, ObserveVerdict
from keelway.worker import identity, selection
from keelway.worker.errors import WorkerError
from keelway.worker.reading import Reading
from keelway.worker.reporting import report
from keelway.worker.staging import scratch_directory
from keelway.worker.storage import READ, ChangedError, Listing, Storage, open_storage
from keelway.worker.storage_errors import place
from keelway.worker.transfer import OtherBytesError
from keelway.worker.verdicts import print_report

ATTEMPTS = 3
"""How often to list again when a file changes between being listed and being read."""


def run(order: ObserveOrder) -> ObserveVerdict:
    """The verdict on the source; the report goes to standard output. Raises WorkerError."""
    storage = open_storage(order.source.location, READ)
    try:
        return asyncio.run(_observe_at_rest(storage, order))
    except OtherBytesError as error:
        raise WorkerError(
            "SourceInvalid",
            f"{error} at {place(storage.location)} has other bytes than its recorded sha256 says, under the same "
            "size and ETag: write it again, or correct the sha256 that the source lists",
        ) from error
    except ChangedError as change:
        raise WorkerError(
            "SourceChanging",
            f"{change} changed each of {ATTEMPTS} times it was read: write new files under new names, or pause the "
            "writer",
        ) from change


async def _observe_at_rest(storage: Storage, order: ObserveOrder) -> ObserveVerdict:
    """Look again while files, or what is published of them, change under the reading. Raises ChangedError at last."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await _observe(storage, order)
        except ChangedError as change:
            print(f"{change} changed while it was read; listing again", flush=True)
    return await _observe(storage, order)


async def _observe(storage: Storage, order: ObserveOrder) -> ObserveVerdict:
    listing = await storage.listing()
    files = selection.select(listing.files, order.source)
    kind = identity.choose(storage, order.identity, listing, files)
    look = _Look(order=order, listing=listing, files=files, digest=identity.listing_of(files))
    print(f"{place(storage.location)} has {len(files)} files, {look.size} bytes, {look.digest}", flush=True)
    if look.shows_known:
        return look.verdict("Unchanged")
    with tempfile.TemporaryDirectory(dir=scratch_directory(), prefix="observe-") as scratch:
        reading = Reading(storage, order, files, Path(scratch))
        if look.answers_known and await reading.finds_known_bytes():
            return look.verdict("Unchanged")
        read = await reading.finish(every_byte=kind == "Content")
        found, rows = report(order, reading, read, kept=identity.to_record(kind, read), revision=listing.revision)
    return look.verdict(
        "Observed", digest=identity.digest_of(kind, listing, read), rows=rows, report_sha256=print_report(found)
    )


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What the listing shows."""

    order: ObserveOrder
    listing: Listing
    files: list[File]
    digest: str
    """Of the listing."""

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def answers_known(self) -> bool:
        """Whether a version that is named as the known one would do."""
        known = self.order.known
        return known is not None and identity.answers(known.digest, self.order.identity)

    @property
    def shows_known(self) -> bool:
        known = self.order.known
        same = known is not None and known.listing == self.digest
        return same and self.answers_known and identity.is_telling(self.files)

    def verdict(
        self, outcome: Literal["Unchanged", "Observed"], *, digest: str = "", rows: int = 0, report_sha256: str = ""
    ) -> ObserveVerdict:
        """Without a digest that of the known version."""
        newest = self.listing.newest_of(self.files)
        return ObserveVerdict(
            outcome=outcome,
            digest=digest or (self.order.known.digest if self.order.known else ""),
            listing=self.digest,
            newest=to_timestamp(newest) if newest else "",
            files=len(self.files),
            bytes=self.size,
            rows=rows,
            report_sha256=report_sha256,
        )
