"""`https://HOST/PATH` and `http://…`: one file, or the files that a `manifest.json` lists.

Web servers cannot list directories in a way that programs can rely on, so whoever publishes several files writes down
which: `{"files": [{"path": "a/b.csv", "size": 123, "sha256": "…"}]}`, where size and sha256 may be left out.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, NamedTuple
from urllib.parse import quote, unquote

from httpx2 import URL, InvalidURL, Response
from pydantic import Field, TypeAdapter, ValidationError

from keelway.api.base import Model
from keelway.api.jobs import File, Location
from keelway.worker.errors import WorkerError
from keelway.worker.storage import ChangedError, Listing, Purpose, Storage, read_only
from keelway.worker.storage_errors import place
from keelway.worker.stores.found import Found
from keelway.worker.stores.http_client import GONE, HttpClient, modified_at, size_of
from keelway.worker.stores.paths import checked
from keelway.worker.stores.secrets import Keys, read_secret
from keelway.worker.transfer import each

MANIFEST = "manifest.json"
MANIFEST_BYTES = 64 * 2**20
"""More than 100 000 files with long names."""
ENOUGH = (Keys("HTTP_BEARER_TOKEN"), Keys("HTTP_USERNAME", "HTTP_PASSWORD"))
NO_HEAD = (403, 405, 501)
"""A signature in a URL may be one for GET alone: 403."""
CHANGED = (*GONE, 412)


class ListedFile(Model):
    """One entry of a listing manifest."""

    path: Annotated[str, Field(min_length=1, max_length=1024)]
    size: Annotated[int, Field(ge=0)] | None = None
    sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""


class ListingManifest(Model):
    """A listing manifest, as its publisher writes it."""

    files: tuple[ListedFile, ...]


class Seen(NamedTuple):
    """A file as the server describes it."""

    file: File
    modified: datetime | None


@dataclass
class WebStorage(Storage):
    """One file, or those of a manifest. Read-only."""

    client: HttpClient
    uri: URL
    _modified: dict[str, datetime | None] = field(default_factory=dict)
    """When each listed file was written: the only sign of change where there is no ETag."""

    async def listing(self, prefix: str = "") -> Listing:
        """Where the server says neither size nor ETag, the file is read for its size and sha256."""
        if self._name == MANIFEST:
            listed, published = await self._read_manifest()
        else:
            listed, published = [ListedFile(path=checked(self._name, self.location))], None
        seen = await self._look_at_all([one for one in listed if one.path.startswith(prefix and f"{prefix}/")])
        self._modified = {one.file.path: one.modified for one in seen}
        found = Found(self.location)
        for one in seen:
            found.add(one.file, one.modified)
        if found.files and not found.newest:
            found.newest = published
        return found.listing()

    @property
    def _name(self) -> str:
        return _name(self.uri)

    def _url(self, path: str) -> URL:
        return self.uri if self._name != MANIFEST else self.uri.join(quote(f"./{path}"))

    async def _read_manifest(self) -> tuple[list[ListedFile], datetime | None]:
        text = bytearray()
        async with self.client.request("GET", self.uri) as response:
            self._refuse_status(response)
            async for chunk in self.client.body(response):
                text += chunk
                if len(text) > MANIFEST_BYTES:
                    raise self._invalid(f"is larger than {MANIFEST_BYTES >> 20} MiB: list fewer files")
            published = modified_at(response)
        return self._parse(bytes(text)), published

    def _parse(self, text: bytes) -> list[ListedFile]:
        try:
            files = TypeAdapter(ListingManifest).validate_json(text, strict=True).files
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise self._invalid(
                f"is not a listing{where and f' ({where} is wrong)'}: it must be JSON such as "
                '{"files": [{"path": "a/b.csv", "size": 123, "sha256": "…"}]}'
            ) from error
        paths = {checked(one.path, self.location) for one in files}
        if len(paths) < len(files):
            raise self._invalid("names a file twice: list each once")
        return [one for one in files if one.path != MANIFEST]

    async def _look_at_all(self, listed: list[ListedFile]) -> list[Seen]:
        seen: list[Seen] = []

        async def look(one: ListedFile) -> None:
            seen.append(await self._look_at(one))

        await each(listed, look)
        return seen

    async def _look_at(self, listed: ListedFile) -> Seen:
        if listed.size is not None and listed.sha256:
            return Seen(File(path=listed.path, size=listed.size, sha256=listed.sha256), None)
        size, etag, modified = await self._head(listed.path)
        if None not in (size, listed.size) and size != listed.size:
            raise WorkerError(
                "SourceChanging",
                f"{place(self.location)} gives {listed.path!a} {listed.size} bytes and the server {size}: "
                "write the manifest after the files",
            )
        size = listed.size if size is None else size
        if size is None:
            return Seen(await self._measured(listed, etag), modified)
        return Seen(File(path=listed.path, size=size, etag=etag, sha256=listed.sha256), modified)

    async def _head(self, path: str) -> tuple[int | None, str, datetime | None]:
        """Size, ETag and time of a file; asked for with GET where the server allows no HEAD."""
        async with self.client.request("HEAD", self._url(path)) as response:
            if response.status_code not in NO_HEAD:
                return self._described(response, path)
        async with self.client.request("GET", self._url(path)) as response:
            return self._described(response, path)

    def _described(self, response: Response, path: str) -> tuple[int | None, str, datetime | None]:
        self._refuse_status(response, path)
        return size_of(response), response.headers.get("etag", ""), modified_at(response)

    async def _measured(self, listed: ListedFile, etag: str) -> File:
        size, checksum = 0, hashlib.sha256()
        async with self.client.request("GET", self._url(listed.path)) as response:
            self._refuse_status(response, listed.path)
            async for chunk in self.client.body(response):
                size += len(chunk)
                checksum.update(chunk)
        return File(path=listed.path, size=size, etag=etag, sha256=listed.sha256 or checksum.hexdigest())

    async def get(self, file: File, *, only_if_same: bool) -> AsyncIterator[memoryview]:
        left = file.size
        headers = {"If-Match": file.etag} if only_if_same and file.etag.startswith('"') else {}
        async with self.client.request("GET", self._url(file.path), headers) as response:
            if response.status_code in CHANGED:
                raise ChangedError(file.path)
            self._refuse_status(response, file.path)
            if only_if_same and self._is_another(file, response):
                raise ChangedError(file.path)
            async for chunk in self.client.body(response):
                left -= len(chunk)
                yield memoryview(chunk)
        if only_if_same and (left or await self._has_changed(file)):
            raise ChangedError(file.path)

    async def _has_changed(self, file: File) -> bool:
        """Many servers send what is in the file at that moment: one that is written over comes as two halves."""
        async with self.client.request("HEAD", self._url(file.path)) as response:
            return response.status_code in GONE or (response.is_success and self._is_another(file, response))

    def _is_another(self, file: File, response: Response) -> bool:
        etag, size, modified = response.headers.get("etag", ""), size_of(response), modified_at(response)
        if file.etag and etag:
            return _opaque(etag) != _opaque(file.etag)
        before = self._modified.setdefault(file.path, modified)
        return size not in (None, file.size) or (None not in (before, modified) and before != modified)

    def _refuse_status(self, response: Response, path: str = "") -> None:
        if response.is_success:
            return
        status, what = response.status_code, place(self.location) + (path and f" ({path!a})")
        if status in (401, 403):
            raise WorkerError(
                "AccessDenied",
                f"{what} denies access: name a Secret in access.secretRef with {' or '.join(map(str, ENOUGH))}",
            )
        if status in GONE:
            raise WorkerError("SourceEmpty", f"there is nothing at {what}: put the file there, or correct the URI")
        raise WorkerError(self.purpose.unreachable, f"{what} answers with status {status}: see to the server")

    def _invalid(self, problem: str) -> WorkerError:
        return WorkerError("SourceInvalid", f"{place(self.location)} {problem}")


def open_location(location: Location, purpose: Purpose) -> WebStorage:
    """Open a URL, with the credentials of the Secret. Raises WorkerError SourceInvalid for one that is none."""
    if purpose.write:
        raise read_only(location, "files")
    try:
        uri = URL(location.uri)
    except InvalidURL as error:
        raise _not_a_file(location) from error
    if not uri.host or _name(uri) in ("", ".", "..") or "/" in _name(uri):
        raise _not_a_file(location)
    if uri.userinfo:
        raise WorkerError(
            "SourceInvalid", "the URI holds a user's name: put HTTP_USERNAME and HTTP_PASSWORD into a Secret"
        )
    return WebStorage(location, purpose, HttpClient(location, purpose, _credentials(location)), uri)


def _name(uri: URL) -> str:
    """The last part of a URL's path; what is encoded in it means itself."""
    return unquote(uri.raw_path.partition(b"?")[0].rpartition(b"/")[2])


def _not_a_file(location: Location) -> WorkerError:
    return WorkerError(
        "SourceInvalid",
        f"{place(location)!a} is not of the form https://host/path/file.csv or https://host/path/{MANIFEST}: "
        "name a file, not a directory",
    )


def _credentials(location: Location) -> Mapping[str, str]:
    secret = read_secret(location, ENOUGH)
    if token := secret.get("HTTP_BEARER_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    if secret:
        pair = f"{secret['HTTP_USERNAME']}:{secret['HTTP_PASSWORD']}"
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
    return {}


def _opaque(etag: str) -> str:
    """An ETag without the mark that it is weak: here it only tells one state of a file from another."""
    return etag.removeprefix("W/")
