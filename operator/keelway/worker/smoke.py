"""`smoke`: asks the servers of a candidate before anybody else does.

Each request has a connection of its own, so that none is lost with one that the server was about to close. What is
answered is read and thrown away: only its status and its seconds count.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from httpx2 import (
    AsyncClient,
    ConnectError,
    ConnectTimeout,
    Limits,
    LocalProtocolError,
    Response,
    Timeout,
    TransportError,
)

from keelway.api.judging import SmokeCall, SmokeOrder, SmokeVerdict
from keelway.worker.errors import WorkerError
from keelway.worker.stores.http_client import HTTP_ERRORS, IDENTITY, trust

ANSWER_BYTES = 2**20
"""What is read of an answer."""
CONNECT_SECONDS = 3
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 1.0
UNAVAILABLE = 503
PATH_LENGTH = 160


class NobodyError(Exception):
    """Nobody has taken the request, so that it may be sent again; the message says why."""


@dataclass(frozen=True)
class Answer:
    """How a request was answered."""

    status: int
    seconds: float


def run(order: SmokeOrder) -> SmokeVerdict:
    """Send the requests. Raises WorkerError SmokeFailed for the first that is not answered as expected."""
    return asyncio.run(_ask_all(order))


async def _ask_all(order: SmokeOrder) -> SmokeVerdict:
    patient_until = time.monotonic() + order.patience_seconds
    slowest = 0.0
    for number, call in enumerate(order.calls, 1):
        name = f"request {number} of {len(order.calls)}, {call.method} {_path(call)},"
        async with _client(call) as client:
            answer = await _Asking(client, call, name, order.max_seconds, patient_until).answer()
        print(f"{name} was answered with {answer.status} after {answer.seconds:.3f} s", flush=True)
        slowest = max(slowest, answer.seconds)
    return SmokeVerdict(outcome="Answered", slowest_seconds=round(slowest, 3))


def _client(call: SmokeCall) -> AsyncClient:
    """No proxy and no redirect: whoever answers is who was asked."""
    return AsyncClient(
        headers={**IDENTITY, "User-Agent": "keelway"},
        verify=trust(urlsplit(call.url).scheme),
        timeout=Timeout(None, connect=CONNECT_SECONDS),
        limits=Limits(max_keepalive_connections=0),
        follow_redirects=False,
        trust_env=False,
    )


@dataclass(frozen=True)
class _Asking:
    client: AsyncClient
    call: SmokeCall
    name: str
    max_seconds: float
    patient_until: float

    async def answer(self) -> Answer:
        """The answer that was expected. Raises WorkerError SmokeFailed."""
        answer = await self._patiently()
        if answer.status != self.call.expect_status:
            raise self._failed(f"was answered with status {answer.status} instead of {self.call.expect_status}")
        return answer

    async def _patiently(self) -> Answer:
        """The first answer of somebody, or the last of nobody."""
        for pause in _pauses():
            is_last = time.monotonic() + pause > self.patient_until
            try:
                answer = await self._once()
                if is_last or answer.status != UNAVAILABLE or answer.status == self.call.expect_status:
                    return answer
            except NobodyError as error:
                if is_last:
                    raise self._failed(f"was not answered: {error}") from error
            await asyncio.sleep(pause)
        raise AssertionError("the pauses have no end")

    async def _once(self) -> Answer:
        begin = time.monotonic()
        try:
            async with asyncio.timeout(self.max_seconds):
                status = await self._send()
        except (ConnectError, ConnectTimeout) as error:
            raise NobodyError(_why(error)) from error
        except TimeoutError as error:
            raise self._failed(f"was not answered whole within {self.max_seconds:g} s") from error
        except HTTP_ERRORS as error:
            raise self._failed(_trouble(error)) from error
        return Answer(status, time.monotonic() - begin)

    async def _send(self) -> int:
        call = self.call
        headers = {"Content-Type": call.content_type} if call.body else {}
        content = call.body.encode() or None
        async with self.client.stream(call.method, call.url, content=content, headers=headers) as response:
            await _read(response)
        return response.status_code

    def _failed(self, problem: str) -> WorkerError:
        return WorkerError("SmokeFailed", f"{self.name} {problem}")


async def _read(response: Response) -> None:
    """To its end, or as much of it as counts."""
    size = 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size >= ANSWER_BYTES:
            return


def _pauses() -> Iterator[float]:
    pause = PAUSE_SECONDS
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _path(call: SmokeCall) -> str:
    """Of the URL, without a query: that may hold what is secret."""
    path = call.url.partition("://")[2].partition("/")[2].partition("?")[0]
    shown = path if len(path) <= PATH_LENGTH else f"{path[:PATH_LENGTH]}…"
    return f"/{shown}".encode("unicode_escape").decode()


def _trouble(error: Exception) -> str:
    if isinstance(error, TransportError) and not isinstance(error, LocalProtocolError):
        return "was not answered whole: the connection broke"
    return "cannot be sent: correct its path and its contentType"


def _why(error: BaseException) -> str:
    """Why there is no connection."""
    causes = list(_chain(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "its host name does not resolve"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "the connection is refused"
    return "no connection can be made"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            yield from error.exceptions
        error = error.__cause__ or error.__context__
