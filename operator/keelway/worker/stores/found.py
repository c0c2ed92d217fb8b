"""What a listing has come upon so far, within bounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from keelway.api.jobs import File, Location
from keelway.worker.errors import WorkerError
from keelway.worker.storage import Listing
from keelway.worker.storage_errors import place
from keelway.worker.stores.paths import checked

MOST_FILES = 500_000
"""About 400 MB in memory, and five times what a record of a version holds."""


@dataclass
class Found:
    """Collects the files of a location."""

    location: Location
    files: list[File] = field(default_factory=list)
    newest: datetime | None = None
    written: dict[str, datetime] = field(default_factory=dict)

    def add(self, file: File, written: datetime | None = None) -> None:
        """Raises WorkerError SourceInvalid for a key that cannot be a path, and when there are too many files."""
        checked(file.path, self.location)
        if len(self.files) == MOST_FILES:
            raise WorkerError(
                "SourceInvalid",
                f"there are more than {MOST_FILES} files below {place(self.location)}: merge small ones, or name a "
                "directory further down",
            )
        self.files.append(file)
        if written:
            self.written[file.path] = written
            self.newest = max(written, self.newest or written)

    def listing(self, *, revision: str = "", native: str = "") -> Listing:
        """All of it, sorted by path."""
        files = sorted(self.files, key=lambda file: file.path)
        return Listing(files=files, newest=self.newest, revision=revision, native=native, written=self.written)
