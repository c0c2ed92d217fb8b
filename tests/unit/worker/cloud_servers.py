"""Object stores that run for the tests of sources."""

from __future__ import annotations

import hmac
import json
import os
import socket
import subprocess
import time
import urllib.request
import uuid
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qsl, quote, unquote, urlencode

from dev.azurite import azurite
from dev.gobuild import build
from dev.processes import wait_until
from keelway.api.digests import sha256
from tests.unit.worker.builders import ACCESS, SECRET, Server


@contextmanager
def running(command: Sequence[str | Path], port: int, log: Path) -> Iterator[None]:
    """A server for as long as the context is open."""
    with log.open("wb") as output:
        process = subprocess.Popen([str(part) for part in command], stdout=output, stderr=output)
        try:
            wait_until(lambda: answers(port), seconds=60, what=f"{command[0]} takes connections", log=log)
            yield
        finally:
            process.terminate()
            process.wait(10)


@contextmanager
def google_storage(directory: Path) -> Iterator[GoogleStorage]:
    """A server that others wrote to speak as Google Cloud Storage does. It takes uploads by another protocol alone."""
    program, port = build(["fake-gcs-server"])["fake-gcs-server"], free_port()
    options = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
    with running([program, "-backend", "memory", *options], port, directory / "gcs.log"):
        yield GoogleStorage(f"http://127.0.0.1:{port}")


@dataclass(frozen=True)
class GoogleStorage:
    """Buckets, filled through the JSON API, which Keelway does not use."""

    endpoint: str

    def bucket(self) -> str:
        """The name of a new one."""
        name = f"lake-{uuid.uuid4().hex[:12]}"
        self._post("/storage/v1/b?project=tests", json.dumps({"name": name}).encode())
        return name

    def put(self, bucket: str, key: str, data: bytes) -> None:
        self._post(f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(key, safe='')}", data)

    def _post(self, target: str, data: bytes) -> None:
        with urllib.request.urlopen(f"{self.endpoint}{target}", data) as response:
            assert response.status == 200


class FrontDoor(BaseHTTPRequestHandler):
    """Lets requests with the right bearer token through to an S3 server with a public bucket.

    Google's XML API is S3's protocol but for how requests are signed.
    """

    behind: int
    admits: Callable[[str], bool]

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if not type(self).admits(self.headers["Authorization"] or ""):
            self._answer(401, {}, b"")
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("authorization", "host")}
        with closing(HTTPConnection("127.0.0.1", self.behind, timeout=30)) as inner:
            inner.request(self.command, self.path, body, {**headers, **self._signed()})
            answer = inner.getresponse()
            self._answer(answer.status, dict(answer.getheaders()), answer.read())

    def _signed(self) -> dict[str, str]:
        """Signature Version 4 of a request to the server behind; a stranger may begin no upload in parts."""
        now, (path, _, query) = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), self.path.partition("?")
        given = {"host": f"127.0.0.1:{self.behind}", "x-amz-content-sha256": "UNSIGNED-PAYLOAD", "x-amz-date": now}
        asked = urlencode(sorted(parse_qsl(query, keep_blank_values=True)), quote_via=quote)
        lines = [self.command, quote(unquote(path)), asked, *(f"{name}:{value}" for name, value in given.items())]
        request = "\n".join([*lines, "", ";".join(given), "UNSIGNED-PAYLOAD"])
        scope = f"{now[:8]}/us-east-1/s3/aws4_request"
        key = f"AWS4{SECRET}".encode()
        for word in scope.split("/"):
            key = hmac.digest(key, word.encode(), "sha256")
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{sha256(request.encode())}"
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        credential = f"Credential={ACCESS}/{scope}, SignedHeaders={';'.join(given)}, Signature={signature}"
        return {**given, "Authorization": f"AWS4-HMAC-SHA256 {credential}"}

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815 - named by the library

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = headers.get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@contextmanager
def front_door(server: Server, admits: Callable[[str], bool]) -> Iterator[str]:
    """An endpoint that speaks as Google Cloud Storage does, uploads too."""
    behind = int(server.endpoint.rpartition(":")[2])
    handler = type("Handler", (FrontDoor,), {"behind": behind, "admits": staticmethod(admits)})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as door:
        thread = Thread(target=door.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{door.server_port}"
        door.shutdown()
        thread.join()


def public_bucket(server: Server) -> str:
    """The name of a new bucket of an S3 server that everybody may read and write."""
    name = f"lake-{uuid.uuid4().hex[:12]}"
    (server.root / name).mkdir()
    resources = [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
    allow = {"Effect": "Allow", "Principal": "*", "Action": ["s3:*"], "Resource": resources}
    policy = {"Version": "2012-10-17", "Statement": [allow]}
    os.setxattr(server.root / name, "user.policy", json.dumps(policy).encode())
    return name


@dataclass(frozen=True)
class AzureStorage:
    """An account of Azurite's, which everybody knows the key of."""

    server: str
    account = "devstoreaccount1"
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    @property
    def endpoint(self) -> str:
        return f"{self.server}/{self.account}"

    def container(self, *, public: bool = False) -> str:
        """The name of a new one."""
        name = f"lake-{uuid.uuid4().hex[:12]}"
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2024-11-04"}
        if public:
            headers["x-ms-blob-public-access"] = "container"
        given = "".join(f"{header}:{headers[header]}\n" for header in sorted(headers))
        resource = f"/{self.account}/{self.account}/{name}\nrestype:container"
        headers["Authorization"] = f"SharedKey {self.account}:{self._signed('PUT' + 12 * chr(10) + given + resource)}"
        target = f"{self.endpoint}/{name}?restype=container"
        request = urllib.request.Request(target, method="PUT", headers=headers)
        with urllib.request.urlopen(request) as response:
            assert response.status == 201
        return name

    def read_token(self, container: str) -> str:
        """A shared access signature to list and read a container: sp, st, se, resource and so on, in their order."""
        permissions, end, version = "rl", "2099-01-01T00:00:00Z", "2022-11-02"
        fields = [permissions, "", end, f"/blob/{self.account}/{container}", "", "", "", version, "c", *7 * [""]]
        signature = self._signed("\n".join(fields))
        return urlencode({"sp": permissions, "se": end, "sv": version, "sr": "c", "sig": signature})

    def _signed(self, text: str) -> str:
        return b64encode(hmac.digest(b64decode(self.key), text.encode(), "sha256")).decode()


@contextmanager
def azure_storage(directory: Path) -> Iterator[AzureStorage]:
    """Azurite, in memory."""
    port = free_port()
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--skipApiVersionCheck"]
    with running([*azurite(), *options, "--disableTelemetry", "--silent"], port, directory / "azurite.log"):
        yield AzureStorage(f"http://127.0.0.1:{port}")


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether somebody listens on this port of loopback."""
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
