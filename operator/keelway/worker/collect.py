"""`collect`: a sidecar that waits for the trial's end, takes its last metrics and keeps its model.

The model's files go into a directory named by their digest; the list of them comes last, beside it. Whoever finds the
list finds every file of it.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from keelway.api.curves import Curve
from keelway.api.digests import short, tree_digest
from keelway.api.jobs import CollectOrder, CollectVerdict, File, list_beside
from keelway.worker import following
from keelway.worker.errors import WorkerError
from keelway.worker.metrics import read_metrics
from keelway.worker.model_files import ModelFile, model_list, read_model
from keelway.worker.staging import scratch_directory
from keelway.worker.storage import KEEP, ChangedError, Storage, open_storage
from keelway.worker.storage_errors import place
from keelway.worker.transfer import each, put_all


def run(order: CollectOrder) -> CollectVerdict:
    """Wait for SIGTERM, which Kubernetes sends when the other containers have ended, then collect."""
    print("waiting for the end of the trial's containers", flush=True)
    with following.relay(Path(order.metrics_file), order.objective, enabled=order.follow):
        signal.sigwait({signal.SIGTERM})
    return collect(order)


def collect(order: CollectOrder) -> CollectVerdict:
    """Check the metrics, then digest the model and upload what is not there yet, then tell MLflow. Raises WorkerError.

    Where MLflow is told, a failure is in the verdict and not raised: it is told of that, too.
    """
    trial = Trial(order)
    if order.follow or order.mlflow:
        trial.curve = following.curve(Path(order.metrics_file), order.objective)
    try:
        verdict = trial.collected()
    except WorkerError as error:
        if order.mlflow is None:
            raise
        verdict = trial.failed(error)
    return trial.told(verdict)


@dataclass
class Trial:
    """What is known of a trial, as far as it was read."""

    order: CollectOrder
    curve: Curve = ()
    metrics: dict[str, float] = field(default_factory=dict)

    def collected(self) -> CollectVerdict:
        """Read and keep everything. Raises WorkerError."""
        order = self.order
        self.metrics = read_metrics(Path(order.metrics_file), order.objective)
        files = read_model(Path(order.model_dir))
        digest = tree_digest((file.path, file.size, file.sha256) for file in files)
        sent = asyncio.run(keep(open_storage(order.destination, KEEP), files, digest))
        print(f"{digest}: sent {sent} of {len(files)} files to {place(order.destination)}", flush=True)
        return CollectVerdict(
            outcome="Collected",
            metrics=self.metrics,
            digest=digest,
            directory=short(digest),
            files=len(files),
            bytes=sum(file.size for file in files),
        )

    def failed(self, error: WorkerError) -> CollectVerdict:
        """The verdict on a trial whose result could not be kept."""
        print(f"failed: {error.reason}: {error.message}", flush=True)
        return CollectVerdict(outcome="Failed", reason=error.reason, message=error.message, metrics={})

    def told(self, verdict: CollectVerdict) -> CollectVerdict:
        """The verdict with the curve, once MLflow has been told of the trial where it is to be."""
        order, run, error = self.order.mlflow, "", ""
        if order:
            from keelway.worker import mlflow  # an HTTP client takes a while to load, and few trials need it

            run, error = mlflow.log(
                order,
                metrics=self.metrics,
                curve=self.curve,
                digest=verdict.digest,
                directory=verdict.directory,
                outcome=verdict.outcome,
                reason=verdict.reason,
            )
        curve = self.curve if self.order.follow else ()
        return verdict.model_copy(update={"curve": curve, "mlflow_run": run, "mlflow_error": error})


async def keep(storage: Storage, files: list[ModelFile], digest: str) -> int:
    """Make a directory hold these files and no others, then list them beside it; returns how many files were sent.

    An upload appears whole or not at all, and the directory is named by the content's digest: a file that is there with
    the right size is the right file. Raises WorkerError.
    """
    directory, wanted = short(digest), model_list(files, digest)
    there = await storage.contents(directory)
    missing = [file for file in files if there.get(f"{directory}/{file.path}") != file.size]
    strays = there.keys() - {f"{directory}/{file.path}" for file in files}
    is_listed = await _is_listed(storage, directory, wanted)
    if is_listed and not missing and not strays:
        return 0
    if missing or strays:
        await storage.delete(list_beside(directory))
    await put_all(storage, ((file.local, f"{directory}/{file.path}", file.size) for file in missing))
    await each(strays, storage.delete)
    with tempfile.TemporaryDirectory(dir=scratch_directory(), prefix="collect-") as name:
        local = Path(name) / "list"
        local.write_bytes(wanted)
        await storage.put(list_beside(directory), local)
    return len(missing)


async def _is_listed(storage: Storage, directory: str, wanted: bytes) -> bool:
    """Whether just this list is there: a finished upload of the same model."""
    found: File | None = await storage.head(list_beside(directory))
    if found is None or found.size != len(wanted):
        return False
    try:
        return b"".join([chunk async for chunk in storage.get(found, only_if_same=True)]) == wanted
    except ChangedError:
        return False
