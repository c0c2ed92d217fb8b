"""Object stores: a bucket of S3, of Google's, a container of Azure's, all through obstore."""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from obstore.exceptions import InvalidPathError
from obstore.store import AzureStore, GCSStore, S3Store

from keelway.api.jobs import File, Location
from keelway.worker.errors import WorkerError
from keelway.worker.storage import ChangedError, Listing, Purpose, Storage
from keelway.worker.storage_errors import STORE_ERRORS, is_gone, storage_failure
from keelway.worker.stores.found import Found
from keelway.worker.stores.paths import checked

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, ObjectMeta
    from obstore.store import ClientConfig, RetryConfig

T = TypeVar("T")

PAGE = 1000
NEXT_SECONDS = 60
"""How long to wait for a further page or chunk, retries of the client included."""
CHUNK = 1024 * 1024
PART = 5 * 1024 * 1024
MOST_PARTS = 9000
"""S3 refuses an upload of more than 10 000 parts."""


@dataclass
class ObjectStorage(Storage):
    """A prefix of a bucket or container."""

    store: S3Store | GCSStore | AzureStore

    async def listing(self, prefix: str = "") -> Listing:
        found = Found(self.location)
        try:
            async for meta in self._pages(prefix):
                if meta["path"]:
                    found.add(_file(meta["path"], meta), meta["last_modified"])
        except InvalidPathError as error:
            checked(_refused_key(error), self.location)
            raise self._failure(error) from error
        except STORE_ERRORS as error:
            raise self._failure(error) from error
        listing = found.listing()
        return replace(listing, files=_without_markers(listing.files))

    async def contents(self, directory: str) -> dict[str, int]:
        try:
            return {meta["path"]: meta["size"] async for meta in self._pages(directory) if meta["path"]}
        except STORE_ERRORS as error:
            raise self._failure(error) from error

    async def _pages(self, prefix: str) -> AsyncIterator[ObjectMeta]:
        stream = self.store.list(prefix or None, chunk_size=PAGE)
        seconds = self.purpose.answer_seconds
        while True:
            try:
                page: Sequence[ObjectMeta] = await _within(seconds, stream.__anext__())
            except StopAsyncIteration:
                return
            for meta in page:
                yield meta
            seconds = NEXT_SECONDS

    async def get(self, file: File, *, only_if_same: bool) -> AsyncIterator[memoryview]:
        left = file.size
        try:
            result = await self._open(file, only_if_same=only_if_same)
            async for chunk in self._chunks(result):
                left -= len(chunk)
                yield chunk
        except STORE_ERRORS as error:
            raise ChangedError(file.path) if is_gone(error) else self._failure(error) from error
        if only_if_same and left:
            raise ChangedError(file.path)

    async def _open(self, file: File, *, only_if_same: bool) -> GetResult:
        options: GetOptions = {"if_match": file.etag} if only_if_same and file.etag else {}
        result = await _within(NEXT_SECONDS, self.store.get_async(file.path, options=options))
        if only_if_same and not _is_same(file, result.meta):
            raise ChangedError(file.path)
        return result

    async def _chunks(self, result: GetResult) -> AsyncIterator[memoryview]:
        stream = result.stream(min_chunk_size=CHUNK).__aiter__()
        while True:
            try:
                yield memoryview(await _within(NEXT_SECONDS, stream.__anext__()))
            except StopAsyncIteration:
                return

    async def head(self, path: str) -> File | None:
        try:
            return _file(path, await _within(NEXT_SECONDS, self.store.head_async(path)))
        except STORE_ERRORS as error:
            if is_gone(error):
                return None
            raise self._failure(error) from error

    async def put(self, path: str, source: Path) -> File:
        size = (await asyncio.to_thread(source.stat)).st_size
        try:
            await self.store.put_async(path, source, chunk_size=max(PART, size // MOST_PARTS), max_concurrency=2)
        except STORE_ERRORS as error:
            raise self._failure(error) from error
        arrived = await self.head(path)
        if arrived is None or arrived.size != size:
            raise WorkerError(
                self.purpose.unreachable, f"{path} did not arrive whole: {arrived and arrived.size} of {size} bytes"
            )
        return arrived

    async def delete(self, path: str) -> None:
        try:
            await _within(NEXT_SECONDS, self.store.delete_async(path))
        except STORE_ERRORS as error:
            if not is_gone(error):
                raise self._failure(error) from error

    async def prune(self, directory: str) -> None:
        """A bucket has no directories."""

    def _failure(self, error: Exception) -> WorkerError:
        return storage_failure(error, self.location, unreachable=self.purpose.unreachable)


def _without_markers(files: list[File]) -> list[File]:
    """Sorted files, without those of 0 bytes that stand for a directory which others are in."""
    paths = [file.path for file in files]

    def is_marker(path: str) -> bool:
        after = bisect_left(paths, f"{path}/")
        return after < len(paths) and paths[after].startswith(f"{path}/")

    return [file for file in files if file.size or not is_marker(file.path)]


def bucket_and_prefix(uri: str, form: str) -> tuple[str, str]:
    """Bucket and prefix of a URI. Keys are taken as they are: `#`, `?` and `%` mean themselves."""
    match = re.fullmatch(r"\w+://([^/]+)/?(.*)", uri, re.DOTALL)
    if not match:
        raise WorkerError("SourceInvalid", f"{uri!r} is not of the form {form}")
    return match[1], match[2].strip("/")


def client_options(location: Location) -> ClientConfig:
    """Short waits for a connection and an answer, and a day for what flows."""
    return {
        "allow_http": location.endpoint.startswith("http://"),
        "connect_timeout": "3s",
        "read_timeout": "20s",
        "timeout": "12h",
    }


def retry_config(purpose: Purpose) -> RetryConfig:
    """As patient as the purpose is."""
    return {
        "max_retries": purpose.retries,
        "retry_timeout": timedelta(seconds=purpose.retry_seconds),
        "backoff": {
            "init_backoff": timedelta(milliseconds=200),
            "max_backoff": timedelta(seconds=8),
            "base": 2,
        },
    }


def _refused_key(error: InvalidPathError) -> str:
    """The key that obstore takes for no path, from the bucket's top; it is in the error's text alone."""
    match = re.search(r'Path "(.*?)"(?: contained |: Encountered )', str(error), re.DOTALL)
    return match[1] if match else ""


def _is_same(file: File, meta: ObjectMeta) -> bool:
    """What a server that does not know If-Match says of the object that it sends."""
    now = _file(file.path, meta)
    return now.size == file.size and (not file.etag or not now.etag or now.etag == file.etag)


def _file(path: str, meta: ObjectMeta) -> File:
    """Azure's and some others' listings leave out the quotes that are a part of the ETag everywhere else."""
    etag = meta["e_tag"] or ""
    if etag and not etag.endswith('"'):
        etag = f'"{etag}"'
    return File(path=path, size=meta["size"], etag=etag)


async def _within(seconds: float, waiting: Awaitable[T]) -> T:
    return await asyncio.wait_for(_awaited(waiting), seconds)


async def _awaited(waiting: Awaitable[T]) -> T:
    return await waiting
