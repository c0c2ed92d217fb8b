"""Asks Prometheus servers, which people name in a spec: they are never trusted with more than the question.

Each question has a session of its own: none of the operator's credentials, no cookie and no proxy of its environment
goes to an address that a spec may choose, and what such a server answers can neither keep the operator waiting nor
fill its memory.
"""

from __future__ import annotations

import json
import logging
from typing import Any

import aiohttp

from keelway.lifecycle.plan import MetricAnswer, MetricQuery

logger = logging.getLogger(__name__)
TIMEOUT_SECONDS = 5.0
TIMEOUT = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
MOST_BYTES = 1 << 20
MOST_SERIES = 1000
SAID_LENGTH = 200
PLAIN = {"Accept": "application/json", "Accept-Encoding": "identity"}
CHECK_URL = "check analysis.prometheus.url"
NOT_PROMETHEUS = f"does not speak Prometheus' language: {CHECK_URL}"


class _NoAnswerError(Exception):
    """There is no usable answer; `str()` says why, after the server's name."""


async def ask(query: MetricQuery) -> MetricAnswer:
    """The value of an expression now. Never raises: what goes wrong is the answer's error."""
    try:
        return MetricAnswer(numbers(parsed(*await _post(query))))
    except _NoAnswerError as error:
        found = str(error)
    except TimeoutError:
        found = f"did not answer within {TIMEOUT_SECONDS:g} s: is it overloaded, or does a NetworkPolicy drop requests?"
    except (aiohttp.InvalidURL, UnicodeError):
        found = f"has no usable address: {CHECK_URL}"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        found = f"cannot be reached ({type(error).__name__}): is it up? If it is, {CHECK_URL}"
    logger.warning("Prometheus was asked %s and %s", query.round, found)
    return MetricAnswer(error=f"Prometheus {found}")


async def _post(query: MetricQuery) -> tuple[int, bytes]:
    """Status and body. Sent as a form: an expression may be longer than an address."""
    form = {"query": query.query, "timeout": f"{TIMEOUT_SECONDS:g}s"}
    async with (
        aiohttp.ClientSession(
            timeout=TIMEOUT, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, headers=PLAIN
        ) as session,
        session.post(f"{query.url.rstrip('/')}/api/v1/query", data=form, allow_redirects=False) as response,
    ):
        if 300 <= response.status < 400:
            raise _NoAnswerError(f"answers with a redirect, which is not followed: {CHECK_URL}")
        return response.status, await _body(response)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MOST_BYTES:
            raise _NoAnswerError(f"answered more than {MOST_BYTES >> 20} MiB: aggregate in the query, by sum or max")
    return bytes(body)


def parsed(status: int, body: bytes) -> dict[str, Any]:
    """The data of an answer; an error says Prometheus' own words and nothing else of the body."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict) and said.get("status") == "error":
        raise _NoAnswerError(f"refused the query: {str(said.get('error'))[:SAID_LENGTH]}")
    if status in (401, 403):
        raise _NoAnswerError(f"wants credentials (HTTP {status}), which Keelway does not have: {CHECK_URL}")
    if status != 200:
        raise _NoAnswerError(f"answered HTTP {status}: {CHECK_URL}")
    data = said.get("data") if isinstance(said, dict) else None
    if not isinstance(data, dict):
        raise _NoAnswerError(NOT_PROMETHEUS)
    return data


def numbers(data: dict[str, Any]) -> tuple[float, ...]:
    """The values of a vector or a scalar."""
    kind, result = data.get("resultType"), data.get("result")
    if kind in ("matrix", "string"):
        raise _NoAnswerError(f"answered a {kind}: write a query whose value is a number now")
    if kind not in ("vector", "scalar") or not isinstance(result, list):
        raise _NoAnswerError(NOT_PROMETHEUS)
    if len(result) > MOST_SERIES:
        raise _NoAnswerError(f"answered {len(result)} series: aggregate in the query, by sum or max")
    return tuple(_number(pair) for pair in ([result] if kind == "scalar" else map(_sample, result)))


def _sample(series: object) -> object:
    return series.get("value") if isinstance(series, dict) else None


def _number(pair: object) -> float:
    """The number of `[time, "1.5"]`; a histogram has none."""
    number = pair[1] if isinstance(pair, list) and len(pair) == 2 else None
    try:
        return float(number if isinstance(number, str) else "")
    except ValueError:
        raise _NoAnswerError("answered something that is not a number: does the query give histograms?") from None
