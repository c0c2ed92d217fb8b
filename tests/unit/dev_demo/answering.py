"""A gateway in this process, in front of two versions of a model, one of which may fail."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread


class Gateway(ThreadingHTTPServer):
    """Answers predictions: every `every`-th one by version 2, the others by version 1."""

    daemon_threads = True

    def __init__(self, *, every: int = 0, fails: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.every, self.fails, self.asked = every, fails, count(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self) -> tuple[int, str]:
        """Status and version of the next answer."""
        is_second = self.every > 0 and next(self.asked) % self.every == 0
        return (500 if is_second and self.fails else 200), "2" if is_second else "1"


class Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        status, version = self.server.answer()
        body = json.dumps({"outputs": [{"data": [1]}]}).encode()
        self.send_response(status)
        self.send_header("x-model-version", version)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nobody reads it."""


@contextmanager
def gateway(*, every: int = 0, fails: bool = False) -> Iterator[Gateway]:
    server = Gateway(every=every, fails=fails)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
