"""Predictions through the gateway, as a client outside the cluster asks for them."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from dev.demo.data import Row
from dev.processes import wait_until

VERSION_HEADER = "x-model-version"


@dataclass(frozen=True)
class Answer:
    """What a model server said: HTTP status, its model version (empty where no server answered), one label a row."""

    status: int
    version: str = ""
    labels: tuple[int, ...] = ()
    at: float = field(default_factory=time.monotonic, compare=False)
    """When it was there."""

    @property
    def is_prediction(self) -> bool:
        """Whether it is what was asked for."""
        return self.status == HTTPStatus.OK


def infer_request(gateway: str, host: str, model: str, rows: Sequence[Row]) -> urllib.request.Request:
    """A request of the Open Inference Protocol for rows of measures (and the label, which is not sent)."""
    measures = [row[:-1] for row in rows]
    tensor = {
        "name": "tumours",
        "shape": [len(measures), len(measures[0])],
        "datatype": "FP64",
        "data": [value for row in measures for value in row],
    }
    headers = {"Host": host, "Content-Type": "application/json"}
    body = json.dumps({"inputs": [tensor]}).encode()
    return urllib.request.Request(f"{gateway}/v2/models/{model}/infer", data=body, headers=headers)


def ask(request: urllib.request.Request, *, seconds: float = 5) -> Answer:
    """Send a request once; a refusal is an answer too, and status 0 means that nobody answered."""
    try:
        with urllib.request.urlopen(request, timeout=seconds) as response:
            said = json.load(response)
            labels = tuple(int(value) for value in said["outputs"][0]["data"])
            return Answer(response.status, response.headers.get(VERSION_HEADER, ""), labels)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return Answer(refusal.code, refusal.headers.get(VERSION_HEADER, ""))
    except (OSError, http.client.HTTPException):
        return Answer(0)


def predict(gateway: str, host: str, model: str, rows: Sequence[Row], *, seconds: float = 30) -> Answer:
    """The first answer with status 200. Raises DevError with the last status otherwise."""
    request, last = infer_request(gateway, host, model, rows), [Answer(0)]

    def answered() -> bool:
        last[0] = ask(request)
        return last[0].is_prediction

    wait_until(answered, seconds=seconds, what=f"prediction of {model} through {gateway}, Host {host}", every=0.2)
    return last[0]
