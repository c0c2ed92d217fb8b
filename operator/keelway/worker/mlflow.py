"""Tells an MLflow server of one trial. Whatever the server does, the trial is what it is.

One request follows another, all of them within SECONDS; what fails in passing is tried again from the start, which
makes nothing twice: the trial's run is looked for first, and a batch that is sent again is the same batch.
"""

from __future__ import annotations

import asyncio
import math
import os
import posixpath
import re
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any, Literal
from urllib.parse import urlsplit

from keelway.api.digests import canonical_json, sha256
from keelway.api.tracking import MlflowOrder, TrackedInput
from keelway.worker.errors import WorkerError
from keelway.worker.mlflow_api import LoggedRun, MlflowServer, TrackingError, connected, pairs

SECONDS = 9.0
"""For all requests together."""
MOST_SECONDS = 10.0
"""The same, with what asyncio cannot interrupt: looking up a host's name."""
PAUSES = (0.2, 0.5, 1.0)
"""Before another try, in seconds."""
TRIAL_TAG, DIGEST_TAG, MODEL_TAG = "keelway.trial_id", "keelway.model.digest", "keelway.model.uri"
POINTS = 800
"""Of a curve: a batch has 1000 numbers at most."""
NAME, DIGEST, VALUE, TAG = 250, 36, 500, 5000
"""How long what MLflow keeps may be at every server: names, digests of data sets, values of parameters and of tags."""
ERROR = 300
"""Characters of what went wrong: a verdict has little room."""

Curve = Sequence[tuple[int, float]]
Outcome = Literal["Collected", "Failed"]


def log(
    order: MlflowOrder,
    *,
    metrics: Mapping[str, float],
    curve: Curve = (),
    digest: str = "",
    directory: str = "",
    outcome: Outcome = "Collected",
    reason: str = "",
) -> tuple[str, str]:
    """Log a trial that has ended: its run's id at the server, and why not everything was logged; either may be empty.

    Never raises, and returns within MOST_SECONDS. `curve` are intermediate values of the objective by step,
    `digest` and `directory` those of the model; a trial that Failed has what is known of it, and `reason`.
    """
    trial = _Trial(order, dict(metrics), tuple(curve), digest, directory, outcome, reason)
    telling = _Telling(trial)
    thread = Thread(target=telling.run, daemon=True)
    thread.start()
    thread.join(MOST_SECONDS)
    return telling.run_id, telling.error[:ERROR]


@dataclass(frozen=True)
class _Trial:
    """What there is to say of a trial, in MLflow's words. Times are Unix milliseconds."""

    order: MlflowOrder
    metrics: Mapping[str, float]
    curve: Curve
    digest: str
    directory: str
    outcome: Outcome
    reason: str
    now: int = field(default_factory=lambda: int(time.time() * 1000))

    @property
    def status(self) -> str:
        return "FINISHED" if self.outcome == "Collected" else "FAILED"

    def is_told_by(self, run: LoggedRun) -> bool:
        """Whether a run of an earlier try says all this already."""
        return self.outcome == "Collected" and run.info.status == "FINISHED" and run.tag(DIGEST_TAG) == self.digest

    @property
    def tags(self) -> dict[str, str]:
        own = {TRIAL_TAG: self.order.trial, "keelway.reason": self.reason, DIGEST_TAG: self.digest}
        if self.digest and self.order.artifact_uri:
            own[MODEL_TAG] = f"{self.order.artifact_uri.rstrip('/')}/{self.directory}"
        return {key: value[:TAG] for key, value in {**self.order.tags, **own}.items() if value}

    @property
    def batch(self) -> dict[str, Any]:
        parameters = {name: str(value)[:VALUE] for name, value in self.order.parameters.items()}
        return {"metrics": self._metrics(), "params": pairs(parameters), "tags": pairs(self.tags)}

    def _metrics(self) -> list[dict[str, Any]]:
        """The curve by its steps, then the result at the last of them: MLflow shows what has the greatest step."""
        objective, last = self.order.objective, self.curve[-1][0] if self.curve else 0
        names = metric_names([objective, *self.metrics])
        points = [(objective, *point) for point in self.curve[-POINTS:] if objective]
        result = [(key, last, value) for key, value in self.metrics.items()]
        if objective in self.metrics:
            points = [point for point in points if point[1] != last]
        return [
            {"key": names[key], "value": value, "step": step, "timestamp": self.now}
            for key, step, value in points + result
            if math.isfinite(value)
        ]


@dataclass
class _Telling:
    """One attempt to tell a server, in a thread of its own: its caller does not wait for what does not end."""

    trial: _Trial
    run_id: str = ""
    error: str = f"the MLflow server does not answer within {SECONDS:g} s"

    def run(self) -> None:
        """Tell the server; how it went is in `run_id` and `error`."""
        try:
            asyncio.run(asyncio.wait_for(self._tell(), SECONDS))
        except TimeoutError:
            return  # `error` says so, or what went wrong until then
        except (TrackingError, WorkerError) as error:
            self.error = str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the trial goes on; its text may hold secrets
            traceback.print_tb(error.__traceback__)
            self.error = f"unexpected {type(error).__qualname__}; the log of the container collect says where"
        else:
            self.error = ""

    async def _tell(self) -> None:
        async with connected(self.trial.order) as server:
            for pause in PAUSES:
                try:
                    return await self._log(server)
                except TrackingError as error:
                    if not error.is_passing:
                        raise
                    self.error = str(error)
                await asyncio.sleep(pause)
            return await self._log(server)

    async def _log(self, server: MlflowServer) -> None:
        trial, order = self.trial, self.trial.order
        experiment = await server.experiment_id(order.experiment)
        before = await server.runs_tagged(experiment, TRIAL_TAG, order.trial) if order.trial else ()
        if told := next(filter(trial.is_told_by, before), None):
            self.run_id = told.info.run_id
            return
        # One that was begun and never ended is an earlier try of ours.
        begun = next((run.info.run_id for run in before if run.info.status == "RUNNING"), "")
        self.run_id = begun or await server.create_run(experiment, order.run_name, _started(), trial.tags)
        await server.log(self.run_id, trial.batch)
        if order.inputs:
            await server.log_inputs(self.run_id, [_dataset(given) for given in order.inputs])
        await server.end_run(self.run_id, trial.status, trial.now)
        for run in before:
            if run.info.status == "FINISHED":
                await self._supersede(server, run.info.run_id)

    async def _supersede(self, server: MlflowServer, run_id: str) -> None:
        """A finished run of this trial whose end was never recorded: its model is not the one that is kept."""
        await server.log(run_id, {"tags": pairs({"keelway.superseded_by": self.run_id})})
        await server.end_run(run_id, "KILLED", self.trial.now)


def metric_names(keys: Sequence[str]) -> dict[str, str]:
    """A name of its own for each key, of which MLflow takes every one."""
    names: dict[str, str] = {}
    for key in dict.fromkeys(keys):
        name = _metric_name(key)
        is_taken = name in names.values()
        names[key] = f"{name[: NAME - 9]}-{sha256(key.encode())[:8]}" if is_taken else name
    return names


def _metric_name(key: str) -> str:
    """The key with `_` for what MLflow refuses: other characters, and slashes and dots that make an odd path."""
    name = re.sub(r"[^\w.\- /]", "_", key)[:NAME]
    if posixpath.normpath(name) != name or name == "." or name.startswith(("/", "..")):
        name = re.sub(r"[./]", "_", name)
    return name or "_"


def _dataset(given: TrackedInput) -> dict[str, Any]:
    """A data set as the API wants it. Its digest there is too short for ours, which a tag has in full."""
    scheme = urlsplit(given.uri).scheme
    source_type, source = ("http", "url") if scheme in ("http", "https") else (scheme, "uri")
    tags = {
        "mlflow.data.context": given.name,
        "keelway.digest": given.digest,
        "keelway.split": given.split,
        "keelway.dataset_version": given.dataset_version,
    }
    dataset = {
        "name": given.dataset,
        "digest": given.digest.rpartition(":")[2][:DIGEST],
        "source_type": source_type,
        "source": canonical_json({source: given.uri}).decode(),
    }
    return {"dataset": dataset, "tags": pairs({key: value for key, value in tags.items() if value})}


def _started() -> int:
    """When this process was, which waits beside the trial: Unix milliseconds (proc_pid_stat(5), field 22)."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return int((time.time() - age) * 1000)
