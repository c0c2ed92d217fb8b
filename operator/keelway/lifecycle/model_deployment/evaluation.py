"""What one evaluator measures of one model on one version of the data: computed once, kept with the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from keelway.api.base import Manifest
from keelway.api.dataset_version import DatasetVersion
from keelway.api.digests import digest, short
from keelway.api.gates import Gate
from keelway.api.jobs import MeasureVerdict
from keelway.api.model_version import Evaluation, ModelVersion
from keelway.api.reasons import Reason
from keelway.lifecycle.dataset_inputs import access_to
from keelway.lifecycle.jobs import JobState, end_overdue, job_state, stop
from keelway.lifecycle.model_deployment.verification import access_to_model
from keelway.lifecycle.model_deployment.world import World
from keelway.lifecycle.plan import Delete, RecordStatus
from keelway.lifecycle.pods import verdict
from keelway.lifecycle.staged_jobs import work_failure
from keelway.manifests.gate_job import MEASURE, GateJob, evaluator_name, gate_job
from keelway.manifests.staged_pod import pod_input

KEPT = 32


@dataclass(frozen=True)
class Measurement:
    """How far an evaluation is: `metrics` when it is done, `failure` when it cannot be, else it is under way."""

    metrics: dict[str, float] | None = None
    failure: tuple[Reason, str] | None = None
    waiting: str = ""
    job: str = ""
    """Name of the Job that somebody waits for."""
    creates: tuple[Manifest, ...] = ()
    deletes: tuple[Delete, ...] = ()
    records: tuple[RecordStatus, ...] = ()
    look_again_after: float | None = None


def evaluator(gate: Gate) -> str:
    """Hash of what evaluates: the pod and which of its containers."""
    return short(digest([gate.template, evaluator_name(gate)]))


def measured(world: World, gate: Gate, model: ModelVersion, data: DatasetVersion) -> Measurement:
    """The metrics of a model at a gate, from its record, or from a Job that is made for that."""
    if known := recorded(gate, model, data):
        return Measurement(metrics=known.metrics)
    job = _job(world, gate, model, data)
    name = job["metadata"]["name"]
    found = world.job(name)
    if found is None:
        return Measurement(waiting="its evaluation begins", job=name, creates=(job,))
    state = job_state(found, world.seen, world.now)
    if state.phase == "Running":
        return _running(state)
    return _ended(world, gate, model, data, state)


def recorded(gate: Gate, model: ModelVersion, data: DatasetVersion) -> Evaluation | None:
    """The evaluation that the model's record keeps of this, with all that the gate wants to know."""
    sought = (evaluator(gate), data.spec.digest, gate.dataset.split)
    kept = [one for one in model.status.evaluations if (one.evaluator, one.digest, one.split) == sought]
    return next((one for one in kept if not _missing(gate, one.metrics)), None)


def _missing(gate: Gate, metrics: Mapping[str, float]) -> str:
    """Metrics that the gate checks and that have no number."""
    wanted = {check.metric for check in gate.checks}
    return ", ".join(sorted(metric for metric in wanted if not math.isfinite(metrics.get(metric, math.nan))))


def _job(world: World, gate: Gate, model: ModelVersion, data: DatasetVersion) -> Manifest:
    order = GateJob(
        gate=gate,
        model=model,
        access=access_to_model(world, model),
        data=pod_input(0, gate.name, data, access_to(data, world.seen), split=gate.dataset.split),
        evaluator=evaluator(gate),
        attempt=world.attempt,
    )
    image, policy = world.settings.worker_image, world.settings.worker_pull_policy
    return gate_job(world.deployment, order, image=image, pull_policy=policy)


def _running(state: JobState) -> Measurement:
    waiting = state.trouble.message if state.trouble else f"Job {state.name} evaluates"
    return Measurement(
        waiting=waiting, job=state.name, deletes=end_overdue(state), look_again_after=state.look_again_after
    )


def _ended(world: World, gate: Gate, model: ModelVersion, data: DatasetVersion, state: JobState) -> Measurement:
    too_long = f"the evaluation took longer than {gate.timeout}: raise timeout of gate {gate.name}"
    container = evaluator_name(gate)
    failure = work_failure(state, container, failed=Reason.EVALUATOR_FAILED, too_long=too_long)
    said = verdict(state.pods, MEASURE, MeasureVerdict)
    if failure is None and said is None:
        failure = (Reason.DISRUPTED, "its sidecar left no verdict")
    if failure is None and said and said.outcome == "Failed":
        failure = (Reason.of(said.reason), said.message)
    if failure is None and said and (missing := _missing(gate, said.metrics)):
        found = ", ".join(sorted(said.metrics)[:20]) or "none"
        failure = (Reason.METRIC_MISSING, f"there is no number for {missing}, there is: {found}")
    if failure and failure[0] is Reason.DISRUPTED:
        return Measurement(waiting=failure[1], job=state.name, deletes=stop(state.job, world.seen))
    if failure or said is None:
        return Measurement(failure=failure, job=state.name)
    return Measurement(
        waiting="its evaluation is recorded", job=state.name, records=(_record(gate, model, data, said),)
    )


def _record(gate: Gate, model: ModelVersion, data: DatasetVersion, said: MeasureVerdict) -> RecordStatus:
    """The model's status with one more evaluation."""
    one = Evaluation(
        evaluator=evaluator(gate),
        dataset_version=data.name,
        digest=data.spec.digest,
        split=gate.dataset.split,
        metrics=said.metrics,
    )
    status = model.status.model_copy(update={"evaluations": (*model.status.evaluations, one)[-KEPT:]})
    manifest = {
        "apiVersion": "keelway.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": model.name, "namespace": model.namespace, "uid": model.metadata.uid},
    }
    return RecordStatus(manifest, status.to_json())
