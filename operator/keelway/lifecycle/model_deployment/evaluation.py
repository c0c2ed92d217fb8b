"""What one evaluator measures of one model on one version of the data: computed once, kept with the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from keelway.api.base import Manifest
from keelway.api.dataset_version import DatasetVersion
from keelway.api.digests import digest, short
from keelway.api.gates import Gate
from keelway.api.judging import MeasureVerdict
from keelway.api.model_version import Evaluation, ModelVersion
from keelway.api.reasons import Reason
from keelway.lifecycle.dataset_inputs import access_to
from keelway.lifecycle.jobs import JobState, end_overdue, ended_at, job_state, stop
from keelway.lifecycle.model_deployment.verification import access_to_model
from keelway.lifecycle.model_deployment.world import World
from keelway.lifecycle.plan import Delete, RecordStatus
from keelway.lifecycle.pods import verdict
from keelway.lifecycle.staged_jobs import Failure, work_failure
from keelway.manifests.gate_job import MEASURE, GateJob, evaluator_name, gate_job
from keelway.manifests.staged_pod import pod_input

KEPT = 32
AGAIN_AFTER = 300
"""Seconds."""
ELSEWHERE = frozenset(
    {
        Reason.DISRUPTED,
        Reason.SOURCE_UNREACHABLE,
        Reason.SOURCE_CHANGING,
        Reason.ACCESS_DENIED,
        Reason.SECRET_MISSING,
        Reason.OUT_OF_SPACE,
        Reason.INTERNAL_ERROR,
    }
)
"""Reasons that lie neither in the model nor in the evaluator: the evaluation is tried again."""


@dataclass(frozen=True)
class Measurement:
    """How far an evaluation is: `metrics` when it is done, `failure` when it cannot be, else it is under way."""

    metrics: dict[str, float] | None = None
    failure: tuple[Reason, str] | None = None
    waiting: str = ""
    trouble: Failure | None = None
    """What keeps it from getting on, where that is more than a matter of time."""
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
    trouble = (state.trouble.reason, state.trouble.message) if state.trouble else None
    return Measurement(
        waiting=trouble[1] if trouble else f"Job {state.name} evaluates",
        trouble=trouble,
        job=state.name,
        deletes=end_overdue(state),
        look_again_after=state.look_again_after,
    )


def _ended(world: World, gate: Gate, model: ModelVersion, data: DatasetVersion, state: JobState) -> Measurement:
    found = _outcome(gate, state)
    if isinstance(found, MeasureVerdict):
        records = (_record(gate, model, data, found),)
        return Measurement(waiting="its evaluation is recorded", job=state.name, records=records)
    if found[0] in ELSEWHERE:
        return _again(world, state, found)
    return Measurement(failure=found, job=state.name)


def _outcome(gate: Gate, state: JobState) -> MeasureVerdict | Failure:
    """What was measured, or why nothing was."""
    too_long = f"the evaluation took longer than {gate.timeout}: raise timeout of gate {gate.name}"
    if failure := work_failure(state, evaluator_name(gate), failed=Reason.EVALUATOR_FAILED, too_long=too_long):
        return failure
    said = verdict(state.pods, MEASURE, MeasureVerdict)
    if said is None:
        return Reason.INTERNAL_ERROR, "its sidecar left no verdict"
    if said.outcome == "Failed":
        return Reason.of(said.reason), said.message
    if missing := _missing(gate, said.metrics):
        found = ", ".join(sorted(said.metrics)[:20]) or "none"
        return Reason.METRIC_MISSING, f"there is no number for {missing}, there is: {found}"
    return said


def _again(world: World, state: JobState, failure: Failure) -> Measurement:
    """A node that was lost is no reason to wait; a store may need some time, or somebody's help."""
    ended = ended_at(state.job)
    wait = AGAIN_AFTER - (world.now - ended).total_seconds() if ended else 0.0
    if failure[0] is Reason.DISRUPTED or wait <= 0:
        return Measurement(waiting=failure[1], job=state.name, deletes=stop(state.job, world.seen))
    return Measurement(waiting=failure[1], trouble=failure, job=state.name, look_again_after=wait)


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
