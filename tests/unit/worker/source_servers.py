"""A web server for the tests of sources: it says what a test wants it to say, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest

from dev.pki import Authority
from keelway.api.jobs import File, Location
from keelway.worker.errors import WorkerError
from keelway.worker.storage import READ, Listing, Purpose, Storage, open_storage


@dataclass
class Page:
    """What there is at one path."""

    data: bytes = b""
    etag: str = ""
    modified: str = ""
    sized: bool = True
    """Whether the answer says how long it is."""
    status: int = 200
    location: str = ""
    """Where a redirect leads to."""
    headers: dict[str, str] = field(default_factory=dict)
    during: Callable[[], object] | None = None
    """Happens when half of the body is sent."""


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    target: str
    headers: Message
    body: bytes = b""


@dataclass
class WebServer:
    """Pages by their decoded path."""

    port: int = 0
    scheme: str = "http"
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    head_status: int = 200
    """What every HEAD is answered with, unless 200."""
    heeds_if_match: bool = True
    authorization: str = ""
    """What every request must carry."""
    busy: int = 0
    """How many requests are answered with 503 first."""

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"{self.endpoint}/{path}"

    def methods(self, path: str) -> list[str]:
        """With which methods a path was asked for."""
        return [one.method for one in self.asked if unquote(urlsplit(one.target).path) == f"/{path}"]

    def page(self, asked: Asked) -> Page:
        if self.busy:
            self.busy -= 1
            return Page(status=503)
        if self.authorization and asked.headers["Authorization"] != self.authorization:
            return Page(status=401)
        if asked.method == "HEAD" and self.head_status != 200:
            return Page(status=self.head_status)
        page = self.pages.get(asked.target.lstrip("/")) or self.pages.get(unquote(urlsplit(asked.target).path)[1:])
        if page is None:
            return Page(status=404)
        wanted = asked.headers["If-Match"] if self.heeds_if_match and page.status == 200 else None
        return Page(status=412) if wanted and wanted != page.etag else page


class _Handler(BaseHTTPRequestHandler):
    described: WebServer

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = Asked(self.command, self.path, self.headers, body)
        self.described.asked.append(asked)
        page = self.described.page(asked)
        self._begin(page)
        if self.command != "HEAD":
            self._send(page)

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - named by the library

    def _begin(self, page: Page) -> None:
        self.send_response(page.status)
        headers = {"ETag": page.etag, "Last-Modified": page.modified, "Location": page.location, **page.headers}
        if page.sized:
            headers.setdefault("Content-Length", str(len(page.data)))
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def _send(self, page: Page) -> None:
        half = len(page.data) // 2
        self.wfile.write(page.data[:half])
        if page.during:
            page.during()
        self.wfile.write(page.data[half:])

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@contextmanager
def web_server(context: ssl.SSLContext | None = None) -> Iterator[WebServer]:
    """A running server on loopback, with TLS when there is a context for it."""
    described = WebServer(scheme="https" if context else "http")
    handler = type("Handler", (_Handler,), {"described": described})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        described.port = server.server_port
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield described
        server.shutdown()
        thread.join()


def trusted_context(directory: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """For a server on loopback whose certificate this process trusts."""
    authority = Authority.new("tests")
    own = authority.server("127.0.0.1")
    bundle, pair = directory / "authority.pem", directory / "server.pem"
    bundle.write_text(authority.certificate)
    pair.write_text(own.certificate + own.key)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    return context


def list_at(location: Location, prefix: str = "", *, purpose: Purpose = READ) -> Listing:
    """What a location lists."""
    return asyncio.run(open_storage(location, purpose).listing(prefix))


def read_at(location: Location, file: File, *, only_if_same: bool = True) -> bytes:
    """The bytes of a file that was listed before, in another process perhaps."""
    return asyncio.run(collected(open_storage(location, READ), file, only_if_same=only_if_same))


async def collected(storage: Storage, file: File, *, only_if_same: bool = True) -> bytes:
    """All chunks of a file."""
    return b"".join([bytes(chunk) async for chunk in storage.get(file, only_if_same=only_if_same)])


def list_and_read(location: Location) -> dict[str, bytes]:
    """All files of a location by their paths, listed and read as one look does."""

    async def look() -> dict[str, bytes]:
        storage = open_storage(location, READ)
        return {file.path: await collected(storage, file) for file in (await storage.listing()).files}

    return asyncio.run(look())


def refused(location: Location, *, purpose: Purpose = READ) -> WorkerError:
    """The error that listing ends with."""
    with pytest.raises(WorkerError) as caught:
        list_at(location, purpose=purpose)
    assert caught.value.message
    return caught.value
