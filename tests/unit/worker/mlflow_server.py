"""A real MLflow server for tests, and servers in front of it or in its place that misbehave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode

from dev.environments import python_of
from dev.processes import wait_until
from tests.unit.worker.cloud_servers import free_port

API = "/api/2.0/mlflow/"


@dataclass(frozen=True)
class Mlflow:
    """A server, asked through its REST API."""

    uri: str

    def get(self, path: str, **query: str | int) -> Any:
        with urllib.request.urlopen(f"{self.uri}{API}{path}?{urlencode(query)}") as response:
            return json.load(response)

    def post(self, path: str, **body: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.uri}{API}{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request) as response:
            return json.load(response)

    def runs(self, experiment: str) -> list[LoggedRun]:
        """All runs of an experiment, newest first."""
        found = self.get("experiments/get-by-name", experiment_name=experiment)["experiment"]["experiment_id"]
        runs = self.post("runs/search", experiment_ids=[found], run_view_type="ALL").get("runs", [])
        return [LoggedRun(self, run) for run in runs]

    def run(self, run_id: str) -> LoggedRun:
        return LoggedRun(self, self.get("runs/get", run_id=run_id)["run"])


@dataclass(frozen=True)
class LoggedRun:
    """A run as the server gives it back."""

    server: Mlflow
    run: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.run["info"]["run_id"])

    @property
    def status(self) -> str:
        return str(self.run["info"]["status"])

    @property
    def params(self) -> dict[str, str]:
        return {each["key"]: each["value"] for each in self.run["data"].get("params", [])}

    @property
    def metrics(self) -> dict[str, float]:
        """What the server says is the latest value of each."""
        return {each["key"]: each["value"] for each in self.run["data"].get("metrics", [])}

    @property
    def tags(self) -> dict[str, str]:
        return {each["key"]: each["value"] for each in self.run["data"].get("tags", [])}

    @property
    def inputs(self) -> list[tuple[dict[str, str], dict[str, str]]]:
        """Data sets, each with its tags."""
        inputs = self.run.get("inputs", {}).get("dataset_inputs", [])
        return [(each["dataset"], {tag["key"]: tag["value"] for tag in each["tags"]}) for each in inputs]

    def history(self, metric: str) -> list[tuple[int, float]]:
        """All values that were logged, with their steps."""
        found = self.server.get("metrics/get-history", run_id=self.id, metric_key=metric, max_results=1000)
        return sorted((each.get("step", 0), each["value"]) for each in found.get("metrics", []))


@contextmanager
def mlflow_server(directory: Path) -> Iterator[Mlflow]:
    """MLflow's own server with a database in `directory`, for as long as the context is open."""
    python, port, log = python_of("mlflow"), free_port(), directory / "mlflow.log"
    command = [str(python), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{directory}/mlflow.db", "--no-serve-artifacts"]
    command += ["--default-artifact-root", str(directory / "artifacts")]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    server = Mlflow(f"http://127.0.0.1:{port}")
    with log.open("wb") as output:
        environment = {**os.environ, **quiet}
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
        try:
            wait_until(lambda: _is_up(server), seconds=180, what="MLflow answers", every=0.2, log=log)
            yield server
        finally:
            # It has a child, takes seconds to end by itself, and nobody needs its database any more.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def _is_up(server: Mlflow) -> bool:
    try:
        return bool(server.post("experiments/search", max_results=1))
    except (URLError, OSError):
        return False


@dataclass(frozen=True)
class Request:
    """What a server was asked."""

    path: str
    headers: Message
    body: bytes


@dataclass
class Reply:
    """What it answers."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Stranger:
    """A server that is not, or not quite, what the order takes it for."""

    uri: str
    asked: list[Request] = field(default_factory=list)


@contextmanager
def stranger(answer: Callable[[Request], Reply | None]) -> Iterator[Stranger]:
    """A server that answers as a test wants it to; None hangs up without a word."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            request = Request(self.path, self.headers, body)
            known.asked.append(request)
            if (reply := answer(request)) is None:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = _serve  # noqa: N815 - named by the library

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        known = Stranger(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield known
        server.shutdown()
        thread.join()


def forward(to: Mlflow, request: Request) -> Reply:
    """What the real server answers."""
    with closing(HTTPConnection(to.uri.removeprefix("http://"), timeout=60)) as connection:
        method = "POST" if request.body else "GET"
        headers = {"Content-Type": request.headers["Content-Type"]} if request.body else {}
        connection.request(method, request.path, request.body, headers)
        answer = connection.getresponse()
        return Reply(answer.status, answer.read())
