"""As much of MLflow's REST API as it takes to log one run (https://mlflow.org/docs/latest/rest-api.html).

An answer is believed only as far as it has the shape that the API gives it, and read only up to ANSWER_BYTES.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from httpx2 import AsyncClient, Response, Timeout, TransportError
from pydantic import Field, ValidationError

from keelway.api.base import Model
from keelway.api.jobs import Location
from keelway.api.tracking import MlflowOrder
from keelway.worker.storage_errors import storage_failure
from keelway.worker.stores.http_client import AGAIN, HTTP_ERRORS, IDENTITY, trust
from keelway.worker.stores.secrets import Keys, read_secret

ANSWER_BYTES = 4 * 2**20
CONNECT_SECONDS = 3
TOKEN, USERNAME, PASSWORD = "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
Id = Annotated[str, Field(pattern=r"^[\w\-]{1,128}$")]
RACE = "BAD_REQUEST"
"""What goes wrong in the server's database, and that alone, is called so: trials that end together log one data set."""
ABSENT, EXISTS = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"


class TrackingError(Exception):
    """The server could not be told; the message says what to do, and holds nothing that a stranger's server chose."""

    def __init__(self, message: str, *, code: str = "", is_passing: bool = False) -> None:
        super().__init__(message)
        self.code = code
        """MLflow's name of the error, where the server gave one."""
        self.is_passing = is_passing
        """Whether the same request may do better a moment later."""


class Nothing(Model):
    """An answer that says nothing."""


class Experiment(Model):
    """An experiment of the server's."""

    experiment_id: Id
    lifecycle_stage: str = "active"


class Tag(Model):
    """A label of a run."""

    key: str
    value: str = ""


class RunInfo(Model):
    """Which run, and how it stands: RUNNING, SCHEDULED, FINISHED, FAILED or KILLED."""

    run_id: Id
    status: str = ""


class RunData(Model):
    """What was logged of it, as far as it is asked for here."""

    tags: tuple[Tag, ...] = ()


class LoggedRun(Model):
    """A run of the server's."""

    info: RunInfo
    data: RunData = RunData()

    def tag(self, key: str) -> str:
        """The value of a tag; empty when the run does not have it."""
        return next((tag.value for tag in self.data.tags if tag.key == key), "")


class _Found(Model):
    experiment: Experiment


class _Created(Model):
    experiment_id: Id


class _Runs(Model):
    runs: tuple[LoggedRun, ...] = ()


class _Run(Model):
    run: LoggedRun


class _Refused(Model):
    error_code: str = ""


Answer = TypeVar("Answer", bound=Model)


@dataclass(frozen=True)
class MlflowServer:
    """Speaks to one server. Every method raises TrackingError."""

    order: MlflowOrder
    client: AsyncClient

    async def experiment_id(self, name: str) -> str:
        """The experiment of that name, made when it is not there."""
        if found := await self._experiment(name):
            return found
        try:
            return (await self._post("experiments/create", {"name": name}, _Created)).experiment_id
        except TrackingError as error:
            # Trials that end together make it together.
            if error.code == EXISTS and (found := await self._experiment(name)):
                return found
            raise

    async def _experiment(self, name: str) -> str:
        try:
            found = await self._ask("GET", "experiments/get-by-name", _Found, params={"experiment_name": name})
        except TrackingError as error:
            if error.code == ABSENT:
                return ""
            raise
        if found.experiment.lifecycle_stage == "deleted":
            raise TrackingError(f"the experiment {name!r} is deleted at {self._name}: restore it, or name another one")
        return found.experiment.experiment_id

    async def runs_tagged(self, experiment_id: str, key: str, value: str) -> tuple[LoggedRun, ...]:
        """Runs of an experiment that carry a tag, newest first; `value` has no quotes in it."""
        search = {"experiment_ids": [experiment_id], "filter": f"tags.`{key}` = '{value}'", "max_results": 20}
        return (await self._post("runs/search", search, _Runs)).runs

    async def create_run(self, experiment_id: str, name: str, start: int, tags: Mapping[str, str]) -> str:
        """A new run that has begun at `start` (Unix milliseconds); returns its id."""
        body = {"experiment_id": experiment_id, "run_name": name, "start_time": start, "tags": pairs(tags)}
        return (await self._post("runs/create", body, _Run)).run.info.run_id

    async def log(self, run_id: str, batch: Mapping[str, Any]) -> None:
        """Metrics, params and tags at once: 1000 in all, 100 params and 100 tags at most."""
        await self._post("runs/log-batch", {"run_id": run_id, **batch}, Nothing)

    async def log_inputs(self, run_id: str, datasets: list[dict[str, Any]]) -> None:
        """The data sets that a run read."""
        await self._post("runs/log-inputs", {"run_id": run_id, "datasets": datasets}, Nothing)

    async def end_run(self, run_id: str, status: str, end: int) -> None:
        """Set how a run ended, and when (Unix milliseconds)."""
        await self._post("runs/update", {"run_id": run_id, "status": status, "end_time": end}, Nothing)

    @property
    def _name(self) -> str:
        """The server in messages."""
        return _host(self.order.uri)

    async def _post(self, path: str, body: Mapping[str, Any], answer: type[Answer]) -> Answer:
        return await self._ask("POST", path, answer, json=body)

    async def _ask(self, method: str, path: str, answer: type[Answer], **content: Any) -> Answer:
        url = f"{self.order.uri.rstrip('/')}/api/2.0/mlflow/{path}"
        try:
            async with self.client.stream(method, url, **content) as response:
                body = await _bounded(response)
        except HTTP_ERRORS as error:
            failure = storage_failure(error, Location(uri=self.order.uri), unreachable="SourceUnreachable")
            raise TrackingError(failure.message, is_passing=isinstance(error, TransportError)) from error
        if response.status_code != 200:
            raise self._refusal(path, response, _error_code(body))
        try:
            return answer.model_validate_json(body)
        except ValidationError as error:
            raise TrackingError(
                f"{self._name} does not answer {path} as an MLflow server does: correct the URI"
            ) from error

    def _refusal(self, path: str, response: Response, code: str) -> TrackingError:
        status = response.status_code
        if response.has_redirect_location:
            # Never followed: what is sent may be secret, and a POST seldom survives it.
            target = _host(str(response.url.join(response.headers["location"])))
            return TrackingError(f"{self._name} redirects to {target}: write down the URI that it ends at")
        if status == 404 and not code:
            return TrackingError(f"{self._name} has no MLflow API at this path: correct the URI")
        message = _DENIALS.get(status, "{server} answers {path} with {status}{code}").format(
            server=self._name,
            path=path,
            status=status,
            code=f" {code}" if code else "",
            secret=f"the Secret {self.order.secret_name!r}" if self.order.secret_name else "tracking.mlflow.secretRef",
        )
        return TrackingError(message, code=code, is_passing=status in AGAIN or code == RACE)


_DENIALS = {
    401: "{server} refuses the credentials, or their absence: check {secret}",
    403: "{server} denies access: check what {secret} allows, and which host names the server takes (--allowed-hosts)",
}


@asynccontextmanager
async def connected(order: MlflowOrder) -> AsyncIterator[MlflowServer]:
    """The server of an order. Raises WorkerError SecretMissing, or TrackingError; talks to nobody yet."""
    headers = {**IDENTITY, **_credentials(order), "User-Agent": "keelway"}
    certificates = trust(urlsplit(order.uri).scheme)
    # How long an answer may take is bounded by the caller, all requests together.
    waits = Timeout(None, connect=CONNECT_SECONDS)
    async with AsyncClient(headers=headers, verify=certificates, timeout=waits, follow_redirects=False) as client:
        yield MlflowServer(order, client)


def pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    """A mapping as the API wants it."""
    return [{"key": key, "value": value} for key, value in values.items()]


def _credentials(order: MlflowOrder) -> dict[str, str]:
    """What the mounted Secret is good for, as MLflow's own client understands its keys."""
    location = Location(uri=order.uri, secret_dir=order.secret_dir, secret_name=order.secret_name)
    secret = read_secret(location, (Keys(TOKEN), Keys(USERNAME, PASSWORD)))
    if TOKEN in secret:
        if not (secret[TOKEN].isascii() and secret[TOKEN].isprintable()):
            raise TrackingError(f"{TOKEN} in the Secret {order.secret_name!r} has characters that no header can carry")
        return {"Authorization": f"Bearer {secret[TOKEN]}"}
    if USERNAME in secret:
        packed = b64encode(f"{secret[USERNAME]}:{secret[PASSWORD]}".encode()).decode()
        return {"Authorization": f"Basic {packed}"}
    return {}


async def _bounded(response: Response) -> bytes:
    """The body as it was sent, or as much of it as is more than any answer has."""
    body = bytearray()
    async for chunk in response.aiter_raw(64 * 1024):
        body += chunk
        if len(body) > ANSWER_BYTES:
            break
    return bytes(body)


def _error_code(body: bytes) -> str:
    """MLflow's name of an error; empty when the body is no error of MLflow's."""
    try:
        code = _Refused.model_validate_json(body).error_code
    except ValidationError:
        return ""
    return code if re.fullmatch("[A-Z_]{1,64}", code) else ""


def _host(uri: str) -> str:
    """Scheme, host and port, without whatever else stands before or after them."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"[:160]
