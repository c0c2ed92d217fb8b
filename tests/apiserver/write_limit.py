"""A proxy between operator and API server that lets a number of writes in a namespace through, and no more.

The last write takes effect, but its answer never arrives, nor that of any write that comes later: to the API server
the operator is dead from that moment on. The test kills it then, at the hardest moment to die.
"""

import asyncio
import json
import ssl
from base64 import b64decode
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

from dev.controlplane import LOOPBACK, ControlPlane
from dev.pki import Credentials
from tests.apiserver.tls import client_context, server_context

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
NOT_COUNTED = ("/leases", "/apis/authorization.k8s.io/", "/apis/authentication.k8s.io/")
HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})


@dataclass
class WriteLimit:
    """Speaks to the API server as `user`. `kubeconfig` leads an operator through it."""

    plane: ControlPlane
    user: str
    writes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """By namespace: `METHOD path` of every write that went through, in the order in which they took effect."""
    _left: dict[str, int] = field(default_factory=dict)
    _url: str = ""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._ready = Event()
        self._thread = Thread(target=self._run, name="write-limit", daemon=True)
        self._thread.start()
        assert self._ready.wait(10), "the proxy did not start"
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)

    @property
    def kubeconfig(self) -> Path:
        """Credentials of `user`, through this proxy."""
        return self.plane.kubeconfig_for(self.user, server=self._url)

    def allow(self, namespace: str, writes: int) -> None:
        """Let so many more writes pass in a namespace. Others pass freely."""
        self._left[namespace] = writes

    def is_spent(self, namespace: str) -> bool:
        """Whether the last write that was allowed has taken effect."""
        return self._left.get(namespace) == 0

    def lift(self) -> None:
        """Let everything pass from now on. What was held back is dropped: who asked for it must be dead by now."""
        self._left.clear()
        self.drop()

    def drop(self) -> None:
        """Forget what was held back; what comes late of who asked for it counts as what `allow` allows."""
        self._loop.call_soon_threadsafe(self._drop_held)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._ended, self._lifted = asyncio.Event(), asyncio.Event()
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        application = web.Application(client_max_size=2**26)
        application.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        connector = aiohttp.TCPConnector(ssl=self._client_context(), limit=0)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as self._session:
            await runner.setup()
            site = web.TCPSite(runner, LOOPBACK, 0, ssl_context=self._server_context())
            await site.start()
            self._url = f"https://{LOOPBACK}:{runner.addresses[0][1]}"
            self._ready.set()
            await self._ended.wait()
            await runner.cleanup()

    def _server_context(self) -> ssl.SSLContext:
        return server_context(self.plane.serving_credentials(LOOPBACK))

    def _client_context(self) -> ssl.SSLContext:
        return client_context(_credentials(self.plane, self.user), authority=self.plane.certificate_authority)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.method not in WRITES or any(part in request.path for part in NOT_COUNTED):
            return await self._forward(request)
        namespace = request.path.partition("/namespaces/")[2].partition("/")[0]
        async with self._locks[namespace]:
            if not self.is_spent(namespace):
                answer = await self._write(request, namespace)
                if not self.is_spent(namespace):
                    return answer
        return await self._hold()

    async def _write(self, request: web.Request, namespace: str) -> web.Response:
        """Carry out one write, and count it."""
        async with self._ask(request, await request.read()) as answer:
            body = await answer.read()
        self.writes[namespace].append(f"{request.method} {request.path} -> {answer.status}")
        if namespace in self._left:
            self._left[namespace] -= 1
        return web.Response(status=answer.status, body=body, headers=_kept(answer.headers))

    async def _hold(self) -> web.Response:
        """Never answer."""
        await self._lifted.wait()
        raise web.HTTPServiceUnavailable(text="held back for too long")

    def _drop_held(self) -> None:
        self._lifted.set()
        self._lifted = asyncio.Event()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        async with self._ask(request, await request.read()) as answer:
            response = web.StreamResponse(status=answer.status, headers=_kept(answer.headers))
            # An operator that was killed hears nothing more of its watches.
            with suppress(ConnectionResetError):
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            return response

    def _ask(self, request: web.Request, body: bytes) -> "aiohttp.client._RequestContextManager":
        """Without a body where there is none: aiohttp gives an empty one a content type, which a GET may not have."""
        return self._session.request(
            request.method,
            f"{self.plane.url}{request.raw_path}",
            data=body or None,
            headers=_kept(request.headers),
            timeout=aiohttp.ClientTimeout(total=None),
            allow_redirects=False,
        )


def _kept(headers: "aiohttp.typedefs.LooseHeaders") -> dict[str, str]:
    return {key: value for key, value in dict(headers).items() if key.lower() not in HOP_BY_HOP}


def _credentials(plane: ControlPlane, user: str) -> Credentials:
    keys = json.loads(plane.kubeconfig_for(user).read_text())["users"][0]["user"]
    certificate, key = (b64decode(keys[f"client-{part}-data"]).decode() for part in ("certificate", "key"))
    return Credentials(certificate=certificate, key=key)
