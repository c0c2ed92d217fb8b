"""A directory of a mounted volume."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from keelway.api.jobs import File, Location
from keelway.worker.errors import WorkerError
from keelway.worker.storage import ChangedError, Listing, Purpose, Storage
from keelway.worker.storage_errors import place, storage_failure
from keelway.worker.stores.found import Found

CHUNK = 4 * 1024 * 1024
UNFINISHED = ".keelway-unfinished"
"""What the name of a file ends with while it is being written."""


def open_location(location: Location, purpose: Purpose) -> VolumeStorage:
    """Open a directory, which is made when it is to be written to. Raises WorkerError SourceEmpty."""
    storage = VolumeStorage(location, purpose, Path(location.mount))
    if not purpose.write and not storage.is_there():
        raise WorkerError("SourceEmpty", f"{place(location)} is not a directory of the volume: correct the path")
    return storage


@dataclass
class VolumeStorage(Storage):
    """A directory. An ETag is made of a file's inode, time and size, as servers of files make theirs."""

    root: Path

    def is_there(self) -> bool:
        """Whether it is a directory. Raises WorkerError AccessDenied when nobody may know."""
        try:
            return self.root.is_dir()
        except OSError as error:
            raise self._failure(error) from error

    async def listing(self, prefix: str = "") -> Listing:
        return await asyncio.to_thread(self._listing, prefix)

    def _listing(self, prefix: str) -> Listing:
        found = Found(self.location)
        try:
            for path, status in self._walk(self.root / prefix, self.root.resolve()):
                found.add(_file(path, status), datetime.fromtimestamp(status.st_mtime, UTC))
        except OSError as error:
            raise self._failure(error) from error
        return found.listing()

    def _walk(self, directory: Path, root: Path) -> Iterator[tuple[str, os.stat_result]]:
        """Files below a directory, without recursion: a volume may be deeper than Python's stack.

        The first link to a directory is followed when it stays inside the volume and does not lead upwards. Others are
        listed as if they were files, so that they are noticed, and refused when they are read: links upon links could
        make more paths than there are atoms.
        """
        waiting, followed = [directory] if directory.is_dir() else [], set[Path]()
        while waiting:
            parent = waiting.pop()
            with os.scandir(parent) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if _leads_to_directory(entry) and _may_enter(entry, parent, root, followed):
                        waiting.append(parent / entry.name)
                    elif not entry.name.endswith(UNFINISHED):
                        yield os.path.relpath(entry.path, self.root), _status(entry)

    async def get(self, file: File, *, only_if_same: bool) -> AsyncIterator[memoryview]:
        left = file.size
        try:
            with await asyncio.to_thread(self._open, file) as source:
                if only_if_same and _is_another(file, source):
                    raise ChangedError(file.path)
                while chunk := await asyncio.to_thread(source.read, CHUNK):
                    left -= len(chunk)
                    yield memoryview(chunk)
                if only_if_same and (left or _is_another(file, source)):
                    raise ChangedError(file.path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ChangedError(file.path) from error
        except OSError as error:
            raise self._failure(error) from error

    def _open(self, file: File) -> BinaryIO:
        """Links are followed, but not to another file system of this pod, where secrets are mounted."""
        path = (self.root / file.path).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise self._refusal(file, "a link that leaves the volume")
        if path.exists() and not path.is_file():
            raise self._refusal(file, "not a regular file")
        return path.open("rb")

    def _refusal(self, file: File, problem: str) -> WorkerError:
        return WorkerError("SourceInvalid", f"{file.path!a} is {problem}: put a copy in its place, or exclude it")

    async def head(self, path: str) -> File | None:
        target = self.root / path
        return _file(path, target.stat()) if await asyncio.to_thread(target.is_file) else None

    async def put(self, path: str, source: Path) -> File:
        try:
            return _file(path, await asyncio.to_thread(self._put, self.root / path, source))
        except OSError as error:
            raise self._failure(error) from error

    def _put(self, target: Path, source: Path) -> os.stat_result:
        """Whole or not at all, also when this process is killed."""
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{token_hex(8)}{UNFINISHED}")
        shutil.copyfile(source, unfinished)
        if (arrived := unfinished.stat().st_size) != (size := source.stat().st_size):
            raise OSError(f"{arrived} of {size} bytes arrived")
        unfinished.replace(target)
        return target.stat()

    async def delete(self, path: str) -> None:
        try:
            await asyncio.to_thread((self.root / path).unlink, missing_ok=True)
        except OSError as error:
            raise self._failure(error) from error

    async def contents(self, directory: str) -> dict[str, int]:
        try:
            return await asyncio.to_thread(self._contents, self.root / directory)
        except OSError as error:
            raise self._failure(error) from error

    def _contents(self, top: Path) -> dict[str, int]:
        return {os.path.relpath(path, self.root): size for path, size in _everything(top) if size is not None}

    async def prune(self, directory: str) -> None:
        try:
            await asyncio.to_thread(self._prune, self.root / directory)
        except OSError as error:
            raise self._failure(error) from error

    def _prune(self, top: Path) -> None:
        directories = [path for path, size in _everything(top) if size is None]
        for path in reversed(directories):
            if not any(os.scandir(path)):
                os.rmdir(path)

    def _failure(self, error: OSError) -> WorkerError:
        return storage_failure(error, self.location, unreachable=self.purpose.unreachable)


def _everything(top: Path) -> Iterator[tuple[str, int | None]]:
    """What is at a path and below it: files with their bytes, then each directory after the one it is in, with None.

    Links count as files. Without recursion, as a volume may be deeper than Python's stack.
    """
    if not os.path.lexists(top):
        return
    status = top.lstat()
    waiting = [str(top)] if stat.S_ISDIR(status.st_mode) else []
    if not waiting:
        yield str(top), status.st_size
    while waiting:
        directory = waiting.pop()
        yield directory, None
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    yield entry.path, entry.stat(follow_symlinks=False).st_size


def _may_enter(entry: os.DirEntry[str], directory: Path, root: Path, followed: set[Path]) -> bool:
    if not entry.is_symlink():
        return True
    target = Path(entry.path).resolve()
    if target in followed or not target.is_relative_to(root) or directory.resolve().is_relative_to(target):
        return False
    followed.add(target)
    return True


def _leads_to_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link to itself
            return False
        raise


def _status(entry: os.DirEntry[str]) -> os.stat_result:
    """Of the file that a link leads to, where there is one."""
    try:
        return entry.stat()
    except OSError:
        return entry.stat(follow_symlinks=False)


def _is_another(file: File, source: BinaryIO) -> bool:
    now = _file(file.path, os.fstat(source.fileno()))
    return now.size != file.size or (bool(file.etag) and now.etag != file.etag)


def _file(path: str, status: os.stat_result) -> File:
    etag = f"{status.st_ino:x}-{status.st_mtime_ns // 1000:x}-{status.st_size:x}"
    return File(path=path, size=status.st_size if stat.S_ISREG(status.st_mode) else 1, etag=etag)
