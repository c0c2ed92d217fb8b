"""The part of a kubelet that the API server asks for logs: `/containerLogs/NAMESPACE/POD/CONTAINER` over TLS."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import ClassVar
from urllib.parse import urlsplit

from dev.pki import Credentials
from tests.apiserver.tls import server_context


class ContainerLogs:
    """Logs by namespace, pod and container. `port` is where the API server finds them."""

    def __init__(self, credentials: Credentials) -> None:
        self._texts: dict[str, str] = {}
        self.reads: list[str] = []
        """`NAMESPACE/POD/CONTAINER` of every log that was asked for, in order."""
        self._lock = Lock()
        handler = type("Handler", (_Handler,), {"logs": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.socket = server_context(credentials).wrap_socket(self._server.socket, server_side=True)
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), name="container-logs", daemon=True)

    @property
    def port(self) -> int:
        """The port on loopback."""
        return self._server.server_port

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()

    def put(self, namespace: str, pod: str, container: str, text: str) -> None:
        """From now on this is the container's log."""
        with self._lock:
            self._texts[f"{namespace}/{pod}/{container}"] = text

    def forget(self, namespace: str, pod: str) -> None:
        """The pod is gone, and its logs with it."""
        with self._lock:
            gone = [key for key in self._texts if key.startswith(f"{namespace}/{pod}/")]
            for key in gone:
                del self._texts[key]

    def get(self, key: str) -> str | None:
        """The log at `NAMESPACE/POD/CONTAINER`."""
        with self._lock:
            self.reads.append(key)
            return self._texts.get(key)


class _Handler(BaseHTTPRequestHandler):
    logs: ClassVar[ContainerLogs]

    def do_GET(self) -> None:
        """Answer one request for a log."""
        text = self.logs.get(urlsplit(self.path).path.removeprefix("/containerLogs/"))
        body = (text if text is not None else f"no such container: {self.path}").encode()
        self.send_response(404 if text is None else 200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing on standard error."""
