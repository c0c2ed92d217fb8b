"""A Prometheus server as far as a query can see it: every expression has the values that a test says."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

from dev.controlplane import LOOPBACK, free_ports


@dataclass(frozen=True)
class Asked:
    """One query and what it was answered."""

    at: float
    query: str
    values: tuple[float, ...]
    headers: dict[str, str]


@dataclass
class FakePrometheus:
    """Listens on loopback within a `with`; `values` may change at any time."""

    values: tuple[float, ...] = (0.0,)
    """One for each series."""
    asked: list[Asked] = field(default_factory=list)
    port: int = field(default_factory=lambda: free_ports(1)[0])

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        self._server = _Server((LOOPBACK, self.port), _handler(self))
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), name="prometheus", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Nobody listens for a while."""
        self.__exit__(None)
        try:
            yield
        finally:
            self.__enter__()

    def queries(self) -> list[str]:
        """What was asked, in order."""
        return [asked.query for asked in list(self.asked)]

    def first(self, values: tuple[float, ...]) -> float:
        """When (monotonic) these values were told for the first time."""
        return next(asked.at for asked in list(self.asked) if asked.values == values)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


def _handler(prometheus: FakePrometheus) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            values = prometheus.values
            prometheus.asked.append(Asked(time.monotonic(), form["query"][0], values, dict(self.headers)))
            series = [{"metric": {}, "value": [time.time(), str(value)]} for value in values]
            body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": series}}).encode()
            self.send_response(200 if self.path == "/api/v1/query" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the test says what was asked."""

    return Handler
