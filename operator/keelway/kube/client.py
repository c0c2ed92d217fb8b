"""One connection to the API server for the whole process.

Built on `kubernetes.aio`: its configuration (in-cluster or kubeconfig, rotating tokens, proxies) and its request path
`ApiClient.call_api`, below the generated methods. Objects stay plain JSON: models would cost three times the time of a
request and hide fields that they do not know.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from keelway.api.base import Manifest
from keelway.engine.errors import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    GoneError,
    NotFoundError,
    RefusedError,
    TooManyRequestsError,
    UnavailableError,
)

REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)
STREAM_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=90)
"""The API server sends a bookmark a minute; a watch that is silent for longer is dead."""
LOGIN_SECONDS = 5.0
"""How often a refused token makes us look for a newer one."""
MESSAGE_LENGTH = 512
JSON = "application/json"
BROKEN = (aiohttp.ClientError, TimeoutError, OSError)


class Client:
    """Requests to the API server as JSON. Every error is an `engine.errors.ApiError`."""

    def __init__(self, api: ApiClient, kubeconfig: Path | None) -> None:
        self._api = api
        self._kubeconfig = kubeconfig
        self._logged_in = time.monotonic()

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None, *, user_agent: str = "keelway") -> Client:
        """Log in by a kubeconfig, else by the pod's service account, else by the user's default kubeconfig.

        Raises kubernetes.aio.config.ConfigException when there are no credentials.
        """
        configuration = Configuration()
        configuration.connection_pool_maxsize = 0  # watches hold connections for ever
        await log_in(configuration, kubeconfig)
        api = ApiClient(configuration)
        api.user_agent = user_agent
        return cls(api, kubeconfig)

    @property
    def configuration(self) -> Configuration:
        """Where and as whom we are connected."""
        configuration: Configuration = self._api.configuration
        return configuration

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Manifest | None = None,
        content_type: str = JSON,
        timeout: aiohttp.ClientTimeout = REQUEST_TIMEOUT,
    ) -> Any:
        """Send one request; the answer is parsed JSON."""
        data = await self.read(method, path, query=query, body=body, content_type=content_type, timeout=timeout)
        return json.loads(data)

    async def read(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Manifest | None = None,
        content_type: str = JSON,
        timeout: aiohttp.ClientTimeout = REQUEST_TIMEOUT,
    ) -> bytes:
        """Send one request; the answer is bytes."""
        async with self._response(method, path, query, body, content_type, timeout) as response:
            try:
                return await response.read()
            except BROKEN as error:
                raise broken(error) from error

    async def lines(self, path: str, query: Mapping[str, str | int]) -> AsyncIterator[bytes]:
        """The lines of a streamed answer, until the server ends it."""
        async with self._response("GET", path, query, None, JSON, STREAM_TIMEOUT) as response:
            while line := await next_line(response):
                yield line

    @asynccontextmanager
    async def _response(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None,
        body: Manifest | None,
        content_type: str,
        timeout: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = f"{self.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {"Content-Type": content_type, "Accept": JSON, **self._api.default_headers}
        await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        try:
            answer = await self._api.call_api(method, url, headers, body, _request_timeout=timeout)
            response: aiohttp.ClientResponse = answer.response
            if response.status >= 400:
                raise await self._error(response)
        except BROKEN as error:
            raise broken(error) from error
        try:
            yield response
        finally:
            if response.content.at_eof():
                response.release()
            else:
                response.close()

    async def _error(self, response: aiohttp.ClientResponse) -> ApiError:
        body = await response.read()
        if response.status == 401:
            await self._log_in_again()
        return error_of(response.status, body, response.headers.get("Retry-After"))

    async def _log_in_again(self) -> None:
        """Tokens expire; the kubeconfig's helper or the mounted file may have a newer one."""
        now = time.monotonic()
        if now - self._logged_in > LOGIN_SECONDS:
            self._logged_in = now
            await log_in(self.configuration, self._kubeconfig)


async def log_in(configuration: Configuration, kubeconfig: Path | None) -> None:
    """Fill in the address and credentials; a token of the pod's service account is read anew every minute."""
    if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        config.load_incluster_config(client_configuration=configuration)
    else:
        path = str(kubeconfig) if kubeconfig else None
        await config.load_kube_config(config_file=path, client_configuration=configuration, persist_config=False)


async def next_line(response: aiohttp.ClientResponse) -> bytes:
    """The next line of a stream, empty at its end."""
    try:
        return await response.content.readline()
    except (*BROKEN, ValueError) as error:  # ValueError: a line longer than the buffer
        raise broken(error) from error


def broken(error: BaseException) -> UnavailableError:
    """A connection that could not be made, or broke."""
    what = "timed out" if isinstance(error, (TimeoutError, asyncio.TimeoutError)) else type(error).__name__
    return UnavailableError(f"the API server did not answer: {what}")


def error_of(status: int, body: bytes, retry_after: str | None = None) -> ApiError:
    """What the API server said, as an error with a type. Holds its message alone, never a header."""
    said = parsed(body)
    message = str(said.get("message") or body.decode(errors="replace").strip() or f"HTTP {status}")[:MESSAGE_LENGTH]
    details = said.get("details") or {}
    wait = seconds(retry_after) or details.get("retryAfterSeconds")
    error = error_type(status, str(said.get("reason")))
    return error(message, status=status, retry_after=wait)


def error_type(status: int, reason: str) -> type[ApiError]:
    """Which error an HTTP status and the reason of a metav1.Status stand for."""
    if status == 409 and reason == "AlreadyExists":
        return AlreadyExistsError
    if status == 401 or status >= 500:
        return UnavailableError
    known: dict[int, type[ApiError]] = {
        404: NotFoundError,
        409: ConflictError,
        410: GoneError,
        429: TooManyRequestsError,
    }
    return known.get(status, RefusedError)


def parsed(body: bytes) -> Manifest:
    """A metav1.Status, or nothing when something in between answered in another language."""
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def seconds(retry_after: str | None) -> float | None:
    """The header Retry-After in seconds; the API server never sends a date."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else None
