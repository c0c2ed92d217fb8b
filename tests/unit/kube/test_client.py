"""The client against a server on loopback: what is sent, and which error each answer is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import incluster_config

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
from keelway.kube import client as client_module
from keelway.kube.client import Client
from tests.unit.kube.scripted_server import (
    TOKEN,
    answer,
    broken_stream,
    connected,
    refusal,
    serving,
    stream,
    write_kubeconfig,
)

ERRORS: list[tuple[int, str, type[ApiError]]] = [
    (400, "BadRequest", RefusedError),
    (401, "Unauthorized", UnavailableError),
    (403, "Forbidden", RefusedError),
    (404, "NotFound", NotFoundError),
    (409, "AlreadyExists", AlreadyExistsError),
    (409, "Conflict", ConflictError),
    (410, "Expired", GoneError),
    (422, "Invalid", RefusedError),
    (429, "TooManyRequests", TooManyRequestsError),
    (500, "InternalError", UnavailableError),
    (503, "ServiceUnavailable", UnavailableError),
    (504, "Timeout", UnavailableError),
]


@pytest.mark.parametrize(("code", "reason", "error"), ERRORS)
async def test_each_refusal_is_an_error_of_its_type(
    code: int, reason: str, error: type[ApiError], tmp_path: Path
) -> None:
    async with connected(answer(refusal(code, reason, "because"), code), tmp_path) as (_, client):
        with pytest.raises(error, match=r"^because$") as raised:
            await client.request("GET", "/x")
    assert type(raised.value) is error
    assert raised.value.status == code
    assert TOKEN not in repr(raised.value)


async def test_what_is_asked_for(tmp_path: Path) -> None:
    async with connected(answer({"ok": 1}), tmp_path) as (server, client):
        query = {"fieldManager": "keelway", "force": "true"}
        path = "/api/v1/configmaps/a"
        said = await client.request(
            "PATCH", path, query=query, body={"a": "ü"}, content_type="application/apply-patch+yaml"
        )
    (asked,) = server.asked
    assert said == {"ok": 1}
    assert (asked.method, asked.path, asked.query, asked.body) == ("PATCH", path, query, {"a": "ü"})
    assert asked.headers["Content-Type"] == "application/apply-patch+yaml"
    assert asked.headers["Authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["User-Agent"] == "keelway"


async def test_a_server_that_asks_for_time_is_understood(tmp_path: Path) -> None:
    handler = answer(refusal(429, "TooManyRequests", "slow"), 429, **{"Retry-After": "7"})
    async with connected(handler, tmp_path) as (_, client):
        with pytest.raises(TooManyRequestsError) as raised:
            await client.request("GET", "/x")
    assert raised.value.retry_after == 7


async def test_an_answer_of_something_in_between_is_understood(tmp_path: Path) -> None:
    async def gateway(_: web.BaseRequest) -> web.Response:
        return web.Response(status=502, text="<html>bad gateway</html>")

    async with connected(gateway, tmp_path) as (_, client):
        with pytest.raises(UnavailableError, match="bad gateway"):
            await client.request("GET", "/x")


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    async with connected(answer({}), tmp_path) as (_, client):
        pass
    client = await Client.connect(write_kubeconfig(tmp_path, "http://127.0.0.1:1", TOKEN))
    with pytest.raises(UnavailableError, match="did not answer: ClientConnectorError"):
        await client.request("GET", "/x")
    await client.close()


async def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    async def sleepy(_: web.BaseRequest) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async with connected(sleepy, tmp_path) as (_, client):
        with pytest.raises(UnavailableError, match="timed out"):
            await client.request("GET", "/x", timeout=aiohttp.ClientTimeout(total=0.1))


async def test_a_connection_that_breaks_within_an_answer(tmp_path: Path) -> None:
    async with connected(lambda request: broken_stream(request, b'{"a":'), tmp_path) as (_, client):
        with pytest.raises(UnavailableError, match="did not answer"):
            await client.request("GET", "/x")


async def test_lines_come_one_by_one_until_the_end(tmp_path: Path) -> None:
    async with connected(lambda request: stream(request, b"1\n2", b"2\n", b"3"), tmp_path) as (_, client):
        assert [line async for line in client.lines("/x", {})] == [b"1\n", b"22\n", b"3"]


async def test_lines_of_a_stream_that_falls_silent_end_in_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "STREAM_TIMEOUT", aiohttp.ClientTimeout(total=None, sock_read=0.2))
    async with connected(lambda request: stream(request, b"1\n", open_for=30), tmp_path) as (_, client):
        lines = client.lines("/x", {})
        assert await anext(lines) == b"1\n"
        with pytest.raises(UnavailableError):
            await anext(lines)


async def test_a_refused_token_is_replaced_by_a_newer_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LOGIN_SECONDS", -1.0)

    async def picky(request: web.BaseRequest) -> web.Response:
        good = request.headers["Authorization"] == "Bearer newer"
        return web.json_response(
            {} if good else refusal(401, "Unauthorized", "Unauthorized"), status=200 if good else 401
        )

    async with serving(picky) as server:
        client = await Client.connect(write_kubeconfig(tmp_path, server.url, "older"))
        write_kubeconfig(tmp_path, server.url, "newer")
        with pytest.raises(UnavailableError):
            await client.request("GET", "/x")
        assert await client.request("GET", "/x") == {}
        await client.close()


async def test_in_a_pod_the_token_is_read_from_its_file_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("first")
    authority.write_text("a certificate")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    configuration = Configuration()
    await client_module.log_in(configuration, None)
    assert (await configuration.auth_settings())["BearerToken"]["value"] == "bearer first"
    token.write_text("second")
    await client_module.log_in(configuration, None)
    assert (await configuration.auth_settings())["BearerToken"]["value"] == "bearer second"
    assert configuration.host == "https://127.0.0.1:1"


async def test_messages_are_short(tmp_path: Path) -> None:
    async with connected(answer(refusal(422, "Invalid", "x" * 5000), 422), tmp_path) as (_, client):
        with pytest.raises(RefusedError) as raised:
            await client.request("GET", "/x")
    assert len(str(raised.value)) == client_module.MESSAGE_LENGTH
