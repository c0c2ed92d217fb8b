"""A small model server: one scikit-learn model behind the Open Inference Protocol (KServe V2, HTTP).

    POST /v2/models/NAME/infer    {"inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP64", "data": [...]}]}
    GET  /v2/health/ready, /v2/health/live, /v2/models/NAME, /v2/models/NAME/ready, /v2, /metrics

It answers nothing before the model is loaded, so an open port is a loaded model. A model that does not load ends it
with exit code 1 and one line that says why. Every answer carries the header `x-model-version` (from MODEL_VERSION).
"""

import argparse
import json
import os
import signal
import sys
import threading
import warnings
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import joblib
import numpy as np
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest

NUMPY_TYPES = {
    "FP64": "float64",
    "FP32": "float32",
    "INT64": "int64",
    "INT32": "int32",
    "BOOL": "bool",
    "BYTES": "object",
}
PROTOCOL_TYPES = {numpy_type: datatype for datatype, numpy_type in NUMPY_TYPES.items()}
LARGEST_REQUEST = 64 * 2**20

PREDICTIONS = Counter("model_predictions", "Requests by result.", ["model_name", "version", "result"])
SECONDS = Histogram("request_predict_seconds", "Time inside the model.", ["model_name"])


class BadRequestError(ValueError):
    """What the caller sent is not a request of the protocol."""


class Predictor(Protocol):
    """What scikit-learn calls an estimator that is fitted."""

    def predict(self, rows: np.ndarray[Any, Any]) -> Any:
        """One value for each row."""


@dataclass(frozen=True)
class Model:
    """A loaded model with the names it is served under."""

    name: str
    version: str
    predictor: Predictor

    @classmethod
    def load(cls, name: str, version: str, directory: Path) -> "Model":
        """Load the one `*.joblib` or `*.pkl` of a directory. Raises OSError, or whatever the file's content raises."""
        files = sorted([*directory.glob("*.joblib"), *directory.glob("*.pkl")])
        if len(files) != 1:
            raise FileNotFoundError(f"needs exactly one *.joblib or *.pkl, found {len(files)}")
        predictor = joblib.load(files[0])
        if not callable(getattr(predictor, "predict", None)):
            raise TypeError(f"{files[0].name} holds a {type(predictor).__name__}, which cannot predict")
        return cls(name, version, predictor)

    def infer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one inference request. Raises BadRequestError, or whatever the model raises."""
        rows = rows_of(request)
        with SECONDS.labels(self.name).time():
            predicted = np.asarray(self.predictor.predict(rows))
        output = {
            "name": "predict",
            "shape": list(predicted.shape),
            "datatype": PROTOCOL_TYPES.get(str(predicted.dtype), "BYTES"),
            "data": predicted.ravel().tolist(),
        }
        answer = {"model_name": self.name, "model_version": self.version, "outputs": [output]}
        return {**answer, "id": request["id"]} if "id" in request else answer

    def count(self, result: str) -> None:
        """Count one request by its result: ok, bad_request or error."""
        PREDICTIONS.labels(self.name, self.version, result).inc()


def rows_of(request: Any) -> np.ndarray[Any, Any]:
    """The one input tensor of a request. Raises BadRequestError that says what is wrong with it."""
    try:
        (tensor,) = request["inputs"]
        rows = np.array(tensor["data"], dtype=NUMPY_TYPES[tensor["datatype"]])
        return rows.reshape(tensor["shape"])
    except KeyError as error:
        raise BadRequestError(f"missing or unknown: {error}") from None
    except (TypeError, ValueError) as error:
        raise BadRequestError(f"one input tensor with datatype, shape and data is needed: {error}") from None


class Handler(BaseHTTPRequestHandler):
    """Routes requests; a class of its own is made for each model by `serve`."""

    model: Model
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer leaves in one piece

    def do_GET(self) -> None:
        """Health, metadata and metrics."""
        if self.path == "/metrics":
            self._send(200, generate_latest(), CONTENT_TYPE_LATEST)
        elif (answer := self._facts().get(self.path)) is not None:
            self._answer(200, answer)
        else:
            self._answer(404, {"error": f"{self.path} is not served"})

    def do_POST(self) -> None:
        """Inference."""
        length = int(self.headers.get("content-length") or 0)
        if length > LARGEST_REQUEST:
            self.close_connection = True
            return self._answer(413, {"error": f"at most {LARGEST_REQUEST} bytes are read"})
        body = self.rfile.read(length)
        if self.path != f"/v2/models/{self.model.name}/infer":
            return self._answer(404, {"error": f"{self.path} is not served"})
        return self._infer(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are counted in /metrics, not logged."""

    def _infer(self, body: bytes) -> None:
        try:
            answer = self.model.infer(json.loads(body))
        except (BadRequestError, UnicodeDecodeError, json.JSONDecodeError) as error:
            self.model.count("bad_request")
            return self._answer(400, {"error": str(error)})
        except Exception as error:  # noqa: BLE001  the model is somebody else's code
            self.model.count("error")
            return self._answer(500, {"error": f"{type(error).__name__}: {error}"})
        self.model.count("ok")
        return self._answer(200, answer)

    def _facts(self) -> dict[str, dict[str, Any]]:
        model = f"/v2/models/{self.model.name}"
        about = {"name": self.model.name, "versions": [self.model.version], "platform": "sklearn"}
        return {
            "/v2": {"name": "keelway-example-server", "version": "1", "extensions": []},
            "/v2/health/live": {"live": True},
            "/v2/health/ready": {"ready": True},
            model: {**about, "inputs": [], "outputs": []},
            f"{model}/ready": {"name": self.model.name, "ready": True},
        }

    def _answer(self, status: int, answer: dict[str, Any]) -> None:
        self._send(status, json.dumps(answer).encode(), "application/json")

    def _send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-model-version", self.model.version)
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """A thread for each connection, and room for a burst of new ones."""

    daemon_threads = True
    request_queue_size = 128


def serve(model: Model, port: int) -> None:
    """Answer requests until SIGTERM or SIGINT."""
    server = Server(("", port), type("ModelHandler", (Handler,), {"model": model}))
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"serving {model.name} {model.version} on port {server.server_port}".replace("  ", " "), flush=True)
    stop.wait()
    server.shutdown()


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command-line arguments; the last of a repeated one wins, and what KServe adds for other servers is ignored."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_name", default="model")
    parser.add_argument("--model_dir", type=Path, default=Path("/mnt/models"))
    parser.add_argument("--http_port", type=int, default=8080)
    return parser.parse_known_args(arguments)[0]


def main() -> None:
    """Load the model, then serve it."""
    arguments = parse()
    warnings.simplefilter("ignore")  # a model of a neighbouring scikit-learn release loads, or fails with an error
    try:
        model = Model.load(arguments.model_name, os.environ.get("MODEL_VERSION", ""), arguments.model_dir)
    except Exception as error:  # noqa: BLE001  unpickling raises anything
        reason = " ".join(str(error).split())
        sys.exit(f"cannot load the model in {arguments.model_dir}: {type(error).__name__}: {reason}")
    serve(model, arguments.http_port)


if __name__ == "__main__":
    main()
