"""What becomes of a question to Prometheus, whatever is at the address that a spec names."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from keelway.kube import prometheus
from keelway.kube.writer import ApiWriter
from keelway.lifecycle.plan import MetricAnswer, MetricQuery
from tests.unit.kube.scripted_server import TOKEN, answer, connected

EXPRESSION = 'sum(rate(errors{service="churn"}[1m])) / 2'
SECRET = "pa55word-in-the-body"


@dataclass
class FakePrometheus:
    """Answers by `handler`; remembers what it was asked."""

    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    url: str = ""
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    forms: list[dict[str, Any]] = field(default_factory=list)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Remember and answer."""
        self.paths.append(request.path)
        self.headers.append(dict(request.headers))
        self.forms.append(dict(await request.post()))
        return await self.handler(request)


@asynccontextmanager
async def prometheus_that(
    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
) -> AsyncIterator[FakePrometheus]:
    """A server as long as it is needed."""
    server = FakePrometheus(handler)
    runner = web.ServerRunner(web.Server(server.handle), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = site.name
    try:
        yield server
    finally:
        await runner.cleanup()


def asked_of(url: str) -> MetricQuery:
    """The question of every test."""
    return MetricQuery(url, EXPRESSION, "uid/1")


def vector(*values: object) -> dict[str, Any]:
    """A good answer with a series for each value."""
    result = [{"metric": {"pod": f"p{number}"}, "value": [1700000000.5, value]} for number, value in enumerate(values)]
    return success("vector", result)


def success(kind: str, result: object) -> dict[str, Any]:
    """A good answer."""
    return {"status": "success", "data": {"resultType": kind, "result": result}}


async def asked(body: Any, status: int = 200) -> MetricAnswer:
    """What comes of a question that a server answers with this."""
    async with prometheus_that(answer(body, status)) as server:
        return await prometheus.ask(asked_of(server.url))


async def test_a_question_is_sent_as_a_form_without_our_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with connected(answer({}), tmp_path) as (_, client), prometheus_that(answer(vector("0.25"))) as server:
        found = await ApiWriter(client, instance="pod-1").query(asked_of(f"{server.url}/prefix/"))
    assert found == MetricAnswer((0.25,))
    assert server.paths == ["/prefix/api/v1/query"]
    assert server.forms[0]["query"] == EXPRESSION
    assert TOKEN not in str(server.headers)
    assert not {"Authorization", "Cookie"} & set(server.headers[0])


@pytest.mark.parametrize(
    ("body", "values"),
    [
        (vector(), ()),
        (vector("1", "2.5"), (1.0, 2.5)),
        (vector("+Inf", "-Inf"), (math.inf, -math.inf)),
        (success("scalar", [1700000000.5, "7"]), (7.0,)),
        ({**vector("1"), "warnings": ["something"], "infos": []}, (1.0,)),
    ],
)
async def test_values_come_as_they_are(body: Any, values: tuple[float, ...]) -> None:
    assert await asked(body) == MetricAnswer(values)


async def test_what_is_not_a_number_comes_as_such() -> None:
    found = await asked(vector("NaN", "1"))
    assert math.isnan(found.values[0])
    assert (found.values[1], found.error) == (1.0, "")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (success("matrix", [{"metric": {}, "values": [[1, "1"]]}]), "answered a matrix"),
        (success("string", [1, SECRET]), "answered a string"),
        (success(SECRET, []), "does not speak"),
        (success("vector", None), "does not speak"),
        (vector(SECRET), "not a number"),
        (vector(5), "not a number"),
        (success("vector", [SECRET]), "not a number"),
        (success("vector", [{"metric": {}, "histogram": [1, {}]}]), "not a number: does the query give histograms?"),
        (success("scalar", [1]), "not a number"),
        (vector(*(["1"] * 1001)), "answered 1001 series: aggregate"),
        ({"status": "success", "data": [SECRET]}, "does not speak Prometheus' language"),
        ([SECRET], "does not speak Prometheus' language"),
        (SECRET, "does not speak Prometheus' language"),
    ],
)
async def test_an_answer_that_is_no_value_is_an_error_that_tells_nothing_of_it(body: Any, said: str) -> None:
    found = await asked(body)
    assert (found.values, SECRET in found.error) == ((), False)
    assert said in found.error


@pytest.mark.parametrize("status", [400, 422, 503, 200])
async def test_the_words_of_prometheus_are_passed_on_cut(status: int) -> None:
    words = "parse error: unclosed left parenthesis " + "x" * 1000
    found = await asked({"status": "error", "errorType": "bad_data", "error": words}, status)
    assert found.error == f"Prometheus refused the query: {words[:200]}"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "answered HTTP 404: check analysis.prometheus.url"),
        (500, "answered HTTP 500"),
        (401, "wants credentials (HTTP 401)"),
        (403, "wants credentials (HTTP 403)"),
    ],
)
async def test_other_answers_say_their_status_alone(status: int, said: str) -> None:
    found = await asked({"message": SECRET}, status)
    assert said in found.error
    assert SECRET not in found.error


@pytest.mark.parametrize("body", [b"", SECRET.encode(), b"\xff\xfe", b"[" * 200_000])
async def test_what_is_not_json_is_an_error(body: bytes) -> None:
    async def plain(_: web.BaseRequest) -> web.Response:
        return web.Response(body=body)

    async with prometheus_that(plain) as server:
        found = await prometheus.ask(asked_of(server.url))
    assert found.error == "Prometheus does not speak Prometheus' language: check analysis.prometheus.url"


@pytest.mark.parametrize("size", [200 << 10, 2 << 20])
async def test_an_answer_is_read_up_to_a_mebibyte(size: int) -> None:
    body = {**vector("1"), "infos": ["x" * size]}
    found = await asked(body)
    if size < 1 << 20:
        assert found == MetricAnswer((1.0,))
    else:
        assert "more than 1 MiB" in found.error


async def test_an_answer_without_end_is_cut_off() -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        except ConnectionError:
            return response

    async with asyncio.timeout(20), prometheus_that(endless) as server:
        assert "more than 1 MiB" in (await prometheus.ask(asked_of(server.url))).error


async def test_a_compressed_answer_is_not_unpacked() -> None:
    async def packed(_: web.BaseRequest) -> web.Response:
        response = web.Response(body=json.dumps({**vector("1"), "infos": ["x" * (50 << 20)]}).encode())
        response.enable_compression(web.ContentCoding.gzip)
        return response

    async with prometheus_that(packed) as server:
        found = await prometheus.ask(asked_of(server.url))
    assert server.headers[0]["Accept-Encoding"] == "identity"
    assert "does not speak" in found.error


async def test_a_server_that_is_slow_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "TIMEOUT", aiohttp.ClientTimeout(total=0.1))
    released = asyncio.Event()

    async def drips(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"{")
        await released.wait()
        return response

    async with asyncio.timeout(10), prometheus_that(drips) as server:
        found = await prometheus.ask(asked_of(server.url))
        released.set()
    assert "did not answer within" in found.error


async def test_a_redirect_is_not_followed() -> None:
    async def elsewhere(request: web.BaseRequest) -> web.Response:
        return web.Response(status=307, headers={"Location": f"/{SECRET}"}, body=b"") if request else web.Response()

    async with prometheus_that(elsewhere) as server:
        found = await prometheus.ask(asked_of(server.url))
    assert len(server.paths) == 1
    assert "answers with a redirect, which is not followed" in found.error
    assert SECRET not in found.error


async def test_nobody_at_the_address_is_an_error(unused_tcp_port: int) -> None:
    found = await prometheus.ask(asked_of(f"http://127.0.0.1:{unused_tcp_port}"))
    assert found.error.startswith("Prometheus cannot be reached (ClientConnectorError): is it up?")


@pytest.mark.parametrize("url", ["http://", "http://:9090", "http://[", "http://a:99999", "http://x..y", "ftp://a"])
async def test_an_address_that_is_none_is_an_error(url: str) -> None:
    assert (await prometheus.ask(asked_of(url))).error.startswith("Prometheus ")


async def test_a_name_that_is_not_known_is_an_error() -> None:
    async with asyncio.timeout(20):
        found = await prometheus.ask(asked_of("http://prometheus.nowhere.invalid:9090"))
    assert found.error.startswith("Prometheus ")


async def test_a_connection_that_breaks_is_an_error() -> None:
    async def broken(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with prometheus_that(broken) as server:
        assert "cannot be reached" in (await prometheus.ask(asked_of(server.url))).error
