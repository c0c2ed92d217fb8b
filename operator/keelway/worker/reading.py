"""Reads a listing's files once: the sha256 of those that need one, and on disk those that are described."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keelway.api.jobs import File, ManifestOf, ObserveOrder
from keelway.worker import identity, manifest, selection
from keelway.worker.errors import WorkerError
from keelway.worker.formats import StagedFile
from keelway.worker.staging import fetch_into, scratch_files
from keelway.worker.storage import Storage


class Reading:
    """The state of one pass over the files: no byte comes over the wire twice."""

    def __init__(self, storage: Storage, order: ObserveOrder, files: Sequence[File], scratch: Path) -> None:
        self.format = selection.format_of(files, order.source)
        self.files = files
        self.scratch = scratch
        self._storage = storage
        self._asked = order.identity
        self._known = recorded(order.known.manifest) if order.known else []
        chosen = selection.portion(files, order.checks.profile.max_bytes)
        self.staged: list[StagedFile] = list(scratch_files(chosen, scratch, self.format))
        self._places = {one.path: one.local for one in self.staged}
        self._fetched: set[str] = set()
        self._checksums = identity.known_checksums(files, self._known)

    @property
    def coverage(self) -> float:
        """Share of all bytes that are described."""
        total = sum(file.size for file in self.files)
        return sum(file.size for file in self.files if file.path in self._places) / total if total else 1.0

    async def finds_known_bytes(self) -> bool:
        """Whether every byte is as in the known version, though the listing is not; reads what it takes to tell."""
        if self._asked not in ("Auto", "Content") or not identity.may_be_same(self.files, self._known):
            return False
        await self._read([file for file in self.files if not self._checksum(file)])
        return identity.same_bytes({file.path: self._checksum(file) for file in self.files}, self._known)

    async def finish(self, *, every_byte: bool) -> list[File]:
        """Read the rest, and give all files with what is known of their bytes. Raises ChangedError and WorkerError."""
        missing = [file for file in self.files if self._is_missing(file, every_byte=every_byte)]
        await self._read(missing)
        return [file.model_copy(update={"sha256": self._checksum(file) or file.sha256}) for file in self.files]

    def _is_missing(self, file: File, *, every_byte: bool) -> bool:
        if file.path in self._places:
            return file.path not in self._fetched
        return every_byte and not self._checksum(file)

    def _checksum(self, file: File) -> str:
        """The sha256 of a file as far as it is known; what a source says of its bytes is no proof of every byte."""
        return self._checksums.get(file.path, "") or (file.sha256 if self._asked != "Content" else "")

    async def _read(self, files: Sequence[File]) -> None:
        if not files:
            return
        wanted = [
            (file.model_copy(update={"sha256": file.sha256 or self._checksum(file)}), self._places.get(file.path))
            for file in files
        ]
        self._checksums |= await fetch_into(self._storage, wanted, self.scratch)
        self._fetched |= {file.path for file in files if file.path in self._places}


def recorded(known: ManifestOf) -> list[File]:
    """The files of an earlier version; none when its list is lost, which costs only time."""
    try:
        return manifest.unpack(known)
    except WorkerError as error:
        print(f"{error}; reading without it", flush=True)
        return []
