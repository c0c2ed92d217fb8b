"""An HTTP server on loopback that answers as a test says, and a client that is connected to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from aiohttp import web

from keelway.kube.client import Client

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
TOKEN = "s3cr3t-token"


@dataclass
class Asked:
    """One request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class ScriptedServer:
    """Answers by `handler`; remembers what it was asked."""

    handler: Handler
    url: str = ""
    asked: list[Asked] = field(default_factory=list)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Remember and answer."""
        text = await request.text()
        body = json.loads(text) if text else None
        self.asked.append(Asked(request.method, request.path, dict(request.query), dict(request.headers), body))
        return await self.handler(request)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[ScriptedServer]:
    """A server as long as it is needed."""
    server = ScriptedServer(handler)
    runner = web.ServerRunner(web.Server(server.handle), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = site.name
    try:
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def connected(handler: Handler, folder: Path) -> AsyncIterator[tuple[ScriptedServer, Client]]:
    """A server and a client of it."""
    async with serving(handler) as server:
        client = await Client.connect(write_kubeconfig(folder, server.url, TOKEN))
        try:
            yield server, client
        finally:
            await client.close()


def write_kubeconfig(folder: Path, url: str, token: str) -> Path:
    """Credentials with a bearer token."""
    path = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {"token": token}}],
    }
    path.write_text(json.dumps(config))
    return path


def answer(body: Any, status: int = 200, **headers: str) -> Handler:
    """Always the same answer."""

    async def handle(_: web.BaseRequest) -> web.Response:
        return web.json_response(body, status=status, headers=headers)

    return handle


def refusal(code: int, reason: str, message: str) -> dict[str, Any]:
    """A metav1.Status of a failure."""
    return {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}


async def stream(request: web.BaseRequest, *lines: bytes, open_for: float = 0.0) -> web.StreamResponse:
    """Answer in chunks, keep the connection open for a while, and end it well."""
    response = web.StreamResponse()
    await response.prepare(request)
    for line in lines:
        await response.write(line)
    await asyncio.sleep(open_for)
    return response


async def broken_stream(request: web.BaseRequest, *lines: bytes) -> web.StreamResponse:
    """Answer in chunks and cut the connection."""
    response = await stream(request, *lines)
    assert request.transport is not None
    request.transport.abort()
    return response
