"""The seam between the programs and where bytes lie: list files, read them, write some.

`open_storage` chooses who speaks to the location: a module of `worker.stores` for each kind of place.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from pathlib import Path

from keelway.api.jobs import FailureReason, File, Location
from keelway.worker.errors import WorkerError
from keelway.worker.storage_errors import place

MODULES = {"s3": "s3", "gs": "gs", "az": "az", "https": "web", "http": "web", "hf": "hub"}
"""Scheme of a URI -> the module of `worker.stores` that speaks to it. Each brings a client library of its own."""


@dataclass(frozen=True, kw_only=True)
class Purpose:
    """What a store is opened for, and so how long to try when it refuses or fails."""

    retries: int
    retry_seconds: int
    answer_seconds: float
    """How long to wait for the first answer, all retries together."""
    unreachable: FailureReason
    """What it is called when the store cannot be talked to."""
    write: bool = False
    """Whether files are put there; a directory on a volume is made when it is not there."""


READ = Purpose(retries=2, retry_seconds=30, answer_seconds=10, unreachable="SourceUnreachable")
KEEP = Purpose(retries=12, retry_seconds=60, answer_seconds=75, unreachable="UploadFailed", write=True)
"""More patient: what is lost when it fails is a training."""
SWEEP = Purpose(retries=4, retry_seconds=30, answer_seconds=30, unreachable="SourceUnreachable", write=True)


class ChangedError(Exception):
    """The bytes at a path are gone, or no longer those that were listed; the argument is the path."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What lies at a location at one moment."""

    files: list[File]
    """Sorted by path, directory markers left out."""
    newest: datetime | None
    """When the newest file was written; None when the place does not say."""
    revision: str = ""
    """The commit that was listed, where the place has them."""
    native: str = ""
    """An identity that the place itself vouches for, as in `native:hf:<commit>`."""
    written: Mapping[str, datetime] = field(default_factory=dict)
    """When each file was written, by path, where the place says so file by file."""

    def newest_of(self, files: Iterable[File]) -> datetime | None:
        """When the newest of these was written: what nobody reads makes data no fresher."""
        if not self.written:
            return self.newest
        return max((self.written[file.path] for file in files if file.path in self.written), default=None)


@dataclass
class Storage(ABC):
    """An open location. Whatever goes wrong comes as a WorkerError, or as ChangedError where that is said."""

    location: Location
    purpose: Purpose

    @abstractmethod
    async def listing(self, prefix: str = "") -> Listing:
        """All files below the location, or below the directory `prefix` of it. Paths are relative to the location."""

    @abstractmethod
    def get(self, file: File, *, only_if_same: bool) -> AsyncIterator[memoryview]:
        """The bytes of a file, in chunks. Raises ChangedError when the file is gone.

        With `only_if_same` also when the store says that it is another one than was listed, and when more or fewer
        bytes come than its size. What the store cannot tell (same size, no ETag, same time) is for a sha256 to find.
        """

    async def head(self, path: str) -> File | None:
        """A file as it is now; None when there is none. For places that can be written to."""
        raise read_only(self.location, path)

    async def put(self, path: str, source: Path) -> File:
        """Upload a local file, see that it arrived whole, and give it as the store now has it."""
        raise read_only(self.location, f"{source} as {path}")

    async def contents(self, directory: str) -> dict[str, int]:
        """Bytes of everything below a directory, by path relative to the location, to be completed or deleted.

        Other than a listing, it holds what is half written, follows no link, and takes every name. Empty where there
        is nothing; a file in the directory's place is its own content.
        """
        raise read_only(self.location, f"changes of {directory}")

    async def delete(self, path: str) -> None:
        """Remove a file; one that is not there is no error."""
        raise read_only(self.location, f"the removal of {path}")

    async def prune(self, directory: str) -> None:
        """Remove the directory and those in it, as far as they are empty, where a place has empty directories."""
        raise read_only(self.location, f"the removal of {directory}")


def read_only(location: Location, what: str) -> WorkerError:
    """The error for wanting to write where that is impossible."""
    return WorkerError(
        "SourceInvalid", f"{place(location)} can only be read, so it cannot take {what}: name an s3, gs, az or pvc URI"
    )


def open_storage(location: Location, purpose: Purpose) -> Storage:
    """Open a location; talks to nobody yet. Raises WorkerError SecretMissing, SourceInvalid or SourceEmpty."""
    module = "volume" if location.mount else MODULES.get(location.uri.partition("://")[0])
    if module is None:
        raise WorkerError(
            "SourceInvalid", f"{location.uri!r} has no scheme that is known: use one of {', '.join(MODULES)} or pvc"
        )
    if location.endpoint and not re.match(r"https?://[^/]", location.endpoint):
        raise WorkerError("SourceInvalid", f"the endpoint {location.endpoint!r} must begin with http:// or https://")
    storage: Storage = import_module(f"keelway.worker.stores.{module}").open_location(location, purpose)
    return storage
