"""A small API server on loopback: objects by path, lists of a kind, merge patches."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from keelway.api.kinds import Key
from keelway.kube.paths import object_path


class Records(ThreadingHTTPServer):
    """Answers with the objects that it holds; 404 for others, 403 in the namespace `closed`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, Any] = {}
        self.patches: list[tuple[str, str, Any]] = []
        """(path, content type, body) of every change."""

    def put(self, key: Key, manifest: dict[str, Any]) -> None:
        """Hold this object."""
        self.objects[object_path(key)] = manifest

    def remove(self, key: Key) -> None:
        """Hold it no longer."""
        del self.objects[object_path(key)]

    def answer(self, path: str) -> tuple[int, Any]:
        """Status and body."""
        if "/namespaces/closed/" in path:
            return 403, {"kind": "Status", "code": 403}
        if path in self.objects:
            return 200, self.objects[path]
        if path.rpartition("/")[2] in ("experiments", "modelversions"):
            return 200, {"items": [found for key, found in self.objects.items() if key.rpartition("/")[0] == path]}
        return 404, {"kind": "Status", "code": 404}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Records

    def do_GET(self) -> None:
        self._send(*self.server.answer(self.path))

    def do_PATCH(self) -> None:
        path = self.path.partition("?")[0]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, found = self.server.answer(path)
        if status == 200:
            self.server.patches.append((path, self.headers["Content-Type"], body))
        self._send(status, found)

    def _send(self, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: what was asked shows in the answers."""
