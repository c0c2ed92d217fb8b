"""A real S3 server for this folder's tests, and directories that look like what a Job mounts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from dev.gobuild import build
from dev.processes import wait_until
from keelway.api.base import Model
from keelway.api.jobs import Location
from tests.unit.worker.builders import ACCESS, SECRET, Bucket, ListingServer, Observer, Server, write_secret
from tests.unit.worker.cloud_servers import (
    AzureStorage,
    answers,
    azure_storage,
    free_port,
    front_door,
    public_bucket,
)
from tests.unit.worker.destinations import Bucket as AnyBucket
from tests.unit.worker.destinations import Place, Volume
from tests.unit.worker.running import Start, Worker


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    program = build(["versitygw"])["versitygw"]
    root = tmp_path_factory.mktemp("s3")
    port = free_port()
    log, requests = root.parent / "s3.log", root.parent / "s3-requests.log"
    command = [str(program), "--access", ACCESS, "--secret", SECRET, "--port", f"127.0.0.1:{port}", "--quiet"]
    command += ["--access-log", str(requests)]
    with log.open("wb") as output:
        process = subprocess.Popen([*command, "posix", str(root)], stdout=output, stderr=output)
        try:
            wait_until(lambda: answers(port), seconds=20, what="the S3 server takes connections", log=log)
            yield Server(f"http://127.0.0.1:{port}", root, requests)
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture
def secret_dir(tmp_path: Path) -> Path:
    return write_secret(tmp_path / "secret", AWS_ACCESS_KEY_ID=ACCESS, AWS_SECRET_ACCESS_KEY=f"{SECRET}\n")


@pytest.fixture
def bucket(server: Server, secret_dir: Path) -> Bucket:
    name = f"lake-{uuid.uuid4().hex[:12]}"
    (server.root / name).mkdir()
    return Bucket(server, name, secret_dir)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A mounted volume."""
    path = tmp_path / "volume"
    path.mkdir()
    return path


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureStorage]:
    with azure_storage(tmp_path_factory.mktemp("azure")) as storage:
        yield storage


@pytest.fixture(params=["s3", "gs", "az", "volume"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Somewhere to keep models: one of each kind."""
    match request.param:
        case "s3":
            bucket: Bucket = request.getfixturevalue("bucket")
            yield AnyBucket(bucket.location(""))
        case "gs":
            server = request.getfixturevalue("server")
            with front_door(server, lambda _: True) as endpoint:
                yield AnyBucket(Location(uri=f"gs://{public_bucket(server)}/", endpoint=endpoint))
        case "az":
            account: AzureStorage = request.getfixturevalue("azure")
            keys = tmp_path / "keys"
            keys.mkdir()
            (keys / "AZURE_STORAGE_ACCOUNT_NAME").write_text(account.account)
            (keys / "AZURE_STORAGE_ACCOUNT_KEY").write_text(account.key)
            uri = f"az://{account.container()}/"
            yield AnyBucket(Location(uri=uri, endpoint=account.endpoint, secret_dir=str(keys)))
        case _:
            (tmp_path / "claim").mkdir()
            yield Volume(Location(mount=str(tmp_path / "claim")))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    workers: list[Worker] = []

    def begin(program: str, order: Model | str | dict[str, str], *, before: Callable[[], None] | None = None) -> Worker:
        log = tmp_path / f"termination-log-{len(workers)}"
        text = json.dumps(order.to_json()) if isinstance(order, Model) else order
        told = {"KEELWAY_ORDER": text} if isinstance(text, str) else text
        process = subprocess.Popen(
            [sys.executable, "-m", "keelway.worker", program],
            env={**os.environ, **told, "KEELWAY_TERMINATION_LOG": str(log)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=before,  # noqa: PLW1509 - between fork and exec is where a signal mask is set
        )
        workers.append(Worker(process, log))
        return workers[-1]

    yield begin
    for worker in workers:
        worker.process.kill()
        worker.process.communicate()


@pytest.fixture
def observe(capsys: pytest.CaptureFixture[str]) -> Observer:
    return Observer(capsys)


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Job's own space; no credentials of this machine are within reach, and no host but this one."""
    path = tmp_path / "scratch"
    path.mkdir()
    monkeypatch.setenv("KEELWAY_SCRATCH", str(path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "*")
    return path


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """Takes connections and never answers."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


@pytest.fixture
def listing_server() -> Iterator[ListingServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = described.answer
            described.headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        described = ListingServer(f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, daemon=True).start()
        yield described
        server.shutdown()
