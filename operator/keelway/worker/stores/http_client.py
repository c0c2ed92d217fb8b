"""HTTP with bounded waits, bounded redirects, and credentials that go to the host they were given for alone."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from httpx2 import URL, AsyncClient, HTTPError, InvalidURL, Response, Timeout, TransportError, create_ssl_context

from keelway.api.jobs import Location
from keelway.worker.errors import WorkerError
from keelway.worker.storage import Purpose
from keelway.worker.storage_errors import place, storage_failure

HTTP_ERRORS = (HTTPError, InvalidURL, OSError, ValueError)
"""What the client raises, and what it lets through of the layers below."""
CHUNK = 1024 * 1024
MOST_REDIRECTS = 5
WAITS = Timeout(30, connect=3)
"""Seconds without any byte; a body may take longer as a whole."""
AGAIN = (408, 429, 500, 502, 503, 504)
"""What a server answers that may do better a moment later."""
GONE = (404, 410)
IDENTITY = {"Accept-Encoding": "identity"}
"""Sizes and ETags are those of the file as it is, not of a packed form of it."""


@dataclass
class HttpClient:
    """Sends requests for one location. Errors of the network come as WorkerError; a status is the caller's to judge."""

    location: Location
    purpose: Purpose
    credentials: Mapping[str, str] = field(repr=False)
    """Headers for the host of the first URL alone."""
    _clients: dict[str, AsyncClient] = field(default_factory=dict, repr=False)
    """By scheme."""
    _loop: asyncio.AbstractEventLoop | None = field(default=None, repr=False)

    @asynccontextmanager
    async def request(self, method: str, url: URL, headers: Mapping[str, str] | None = None) -> AsyncIterator[Response]:
        """The answer to a request, its body not read yet; redirects are followed."""
        try:
            response = await self._answer(method, url, {**IDENTITY, **(headers or {})})
        except HTTP_ERRORS as error:
            raise self.failure(error) from error
        try:
            yield response
        finally:
            await response.aclose()

    async def body(self, response: Response) -> AsyncIterator[bytes]:
        """What is in an answer, unpacked, in chunks. Raises WorkerError when it breaks off."""
        try:
            async for chunk in response.aiter_bytes(CHUNK):
                yield chunk
        except HTTP_ERRORS as error:
            raise self.failure(error) from error

    async def _answer(self, method: str, url: URL, headers: Mapping[str, str]) -> Response:
        """Tried again after a while when the server is busy or the connection breaks, as the purpose allows."""
        attempt = 0
        async with asyncio.timeout(self.purpose.answer_seconds):
            while True:
                is_last = attempt >= self.purpose.retries
                try:
                    response = await self._follow(method, url, headers)
                    if is_last or response.status_code not in AGAIN:
                        return response
                    await response.aclose()
                except TransportError:
                    if is_last:
                        raise
                await asyncio.sleep(min(8.0, 0.2 * 2**attempt))
                attempt += 1

    async def _follow(self, method: str, url: URL, headers: Mapping[str, str]) -> Response:
        first = url
        for _ in range(MOST_REDIRECTS + 1):
            own = self.credentials if _is_same_host(first, url) else {}
            client = self._here(url.scheme)
            request = client.build_request(method, url, headers={**headers, **own})
            response = await client.send(request, stream=True, follow_redirects=False)
            if not response.has_redirect_location:
                return response
            await response.aclose()
            url = self._next(url, response.headers["location"])
        raise self._refusal(f"redirects more than {MOST_REDIRECTS} times")

    def _next(self, url: URL, target: str) -> URL:
        following = url.join(target)
        if following.scheme not in (url.scheme, "https"):
            raise self._refusal(f"redirects from {url.scheme} to {following.scheme}, which is less safe")
        return following

    def _refusal(self, problem: str) -> WorkerError:
        return WorkerError(self.purpose.unreachable, f"{place(self.location)} {problem}: write down the URI it ends at")

    def _here(self, scheme: str) -> AsyncClient:
        """The client of the running event loop: connections cannot move from one to another."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._clients, self._loop = {}, loop
        if scheme not in self._clients:
            self._clients[scheme] = AsyncClient(timeout=WAITS, verify=trust(scheme))
        return self._clients[scheme]

    def failure(self, error: Exception) -> WorkerError:
        """What an error of the client amounts to."""
        return storage_failure(error, self.location, unreachable=self.purpose.unreachable)


def trust(scheme: str) -> ssl.SSLContext:
    """Whose certificates are taken: the known authorities', which take a while to load; for http nobody's."""
    return create_ssl_context() if scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def modified_at(response: Response) -> datetime | None:
    """When the server says that the file was written."""
    try:
        written = parsedate_to_datetime(response.headers.get("last-modified", ""))
    except ValueError:
        return None
    return written if written.tzinfo else written.replace(tzinfo=UTC)


def size_of(response: Response) -> int | None:
    """Bytes of the file; None when the server does not say, or packs it whatever we ask for."""
    length = response.headers.get("content-length", "")
    packed = response.headers.get("content-encoding", "identity") != "identity"
    return int(length) if length.isdecimal() and not packed else None


def _is_same_host(first: URL, url: URL) -> bool:
    """Whether credentials for the first may go to the other: same host and port, or the step from http to https."""
    steps_up = (first.scheme, url.scheme) == ("http", "https") and not first.port and not url.port
    return first.host == url.host and ((first.scheme, first.port) == (url.scheme, url.port) or steps_up)
