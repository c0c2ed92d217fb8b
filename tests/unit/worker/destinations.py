"""Places of every kind that Keelway writes models to, filled and looked into without its programs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import obstore

from keelway.api.jobs import Location
from keelway.worker.storage import KEEP, open_storage
from keelway.worker.stores.objects import ObjectStorage


@dataclass(frozen=True)
class Place(ABC):
    """A bucket, or the directory where a volume is mounted."""

    top: Location

    @abstractmethod
    def at(self, path: str) -> Location:
        """A directory of it."""

    @abstractmethod
    def put(self, path: str, data: bytes = b"x") -> None:
        """Fill it, as somebody else would."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Take a file away, as somebody else would."""

    @abstractmethod
    def content(self) -> dict[str, bytes]:
        """Everything in it."""


class Bucket(Place):
    """Of S3, Google's or Azure's."""

    @property
    def _store(self) -> obstore.store.ObjectStore:
        storage = open_storage(self.top, KEEP)
        assert isinstance(storage, ObjectStorage)
        return storage.store

    def at(self, path: str) -> Location:
        return self.top.model_copy(update={"uri": self.top.uri + path})

    def put(self, path: str, data: bytes = b"x") -> None:
        obstore.put(self._store, path, data)

    def remove(self, path: str) -> None:
        obstore.delete(self._store, path)

    def content(self) -> dict[str, bytes]:
        store = self._store
        paths = [meta["path"] for meta in obstore.list(store).collect()]
        return {path: bytes(obstore.get(store, path).bytes()) for path in paths}


class Volume(Place):
    """A directory."""

    @property
    def root(self) -> Path:
        return Path(self.top.mount)

    def at(self, path: str) -> Location:
        return Location(mount=f"{self.root}/{path}")

    def put(self, path: str, data: bytes = b"x") -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(data)

    def remove(self, path: str) -> None:
        (self.root / path).unlink()

    def content(self) -> dict[str, bytes]:
        files = (path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink())
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in files}
