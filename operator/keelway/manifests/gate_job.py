"""The Job of one evaluation: the pod of `staged_pod`, in which the model comes with the data and `measure` reads what
was found out."""

from __future__ import annotations

from dataclasses import dataclass

from keelway.api.base import Manifest
from keelway.api.durations import seconds
from keelway.api.gates import Gate
from keelway.api.judging import MeasureOrder
from keelway.api.model_deployment import ModelDeployment
from keelway.api.model_version import ModelVersion
from keelway.api.resource import Access
from keelway.manifests.job import job
from keelway.manifests.metadata import child_metadata
from keelway.manifests.model_volume import MODEL, model_mount, reach_model, staged_model
from keelway.manifests.names import child_name, hash8
from keelway.manifests.staged_pod import (
    PodInput,
    Sees,
    data_variables,
    read_data,
    scratch,
    sidecar,
    stage_container,
    staged_template,
    volumes_of,
)
from keelway.manifests.storage import ROOT, VOLUME_PREFIX
from keelway.manifests.worker_container import worker_container

MEASURE = "measure"
RUN = f"{ROOT}/run"
METRICS_FILE = f"{RUN}/metrics.jsonl"
MEASURE_SECONDS, KEEP_SECONDS = 30, 3600
RESOURCES = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}


@dataclass(frozen=True, kw_only=True)
class GateJob:
    """Everything that makes one evaluation's Job."""

    gate: Gate
    model: ModelVersion
    access: Access
    data: PodInput
    evaluator: str
    attempt: str


def evaluator_name(gate: Gate) -> str:
    """Name of the container that evaluates: the one that the gate names, or the first."""
    containers = gate.template.get("spec", {}).get("containers", [])
    return gate.container or str(containers[0].get("name", ""))


def gate_job(deployment: ModelDeployment, order: GateJob, *, image: str, pull_policy: str) -> Manifest:
    """The Job; its verdict is a MeasureVerdict."""
    reach, run = reach_model(order.model, order.access), f"{VOLUME_PREFIX}run"
    wanted = tuple(sorted({check.metric for check in order.gate.checks}))
    stage = stage_container(
        (order.data,),
        image=image,
        pull_policy=pull_policy,
        model=staged_model(order.model, reach, target=MODEL),
        mounts=[model_mount(read_only=False), *reach.mounts],
    )
    measure = worker_container(
        MEASURE,
        MeasureOrder(metrics_file=METRICS_FILE, wanted=wanted),
        image=image,
        pull_policy=pull_policy,
        mounts=[{"name": run, "mountPath": RUN, "readOnly": True}],
        resources=RESOURCES,
    )
    template = staged_template(
        order.gate.template,
        first=[stage, sidecar(measure)],
        volumes=[scratch("model"), scratch("run"), *volumes_of([order.data]), *reach.volumes],
        upload_seconds=MEASURE_SECONDS,
        service_accounts=[order.access.service_account_name, order.data.service_account],
        sees=Sees(
            container=evaluator_name(order.gate),
            environment={
                **data_variables([order.data]),
                "KEELWAY_MODEL_DIR": MODEL,
                "KEELWAY_METRICS": METRICS_FILE,
            },
            mounts=(read_data(), model_mount(read_only=True), {"name": run, "mountPath": RUN}),
        ),
    )
    data, gate = order.data.stage, order.gate
    facts = (order.attempt, gate.name, order.evaluator, order.model.metadata.uid, data.digest, data.split)
    role = f"{gate.name[:20].rstrip('-')}-v{order.model.spec.version}"
    return job(
        child_metadata(deployment, child_name(deployment.name, role, hash8(*facts))),
        template,
        deadline=seconds(order.gate.timeout),
        keep=KEEP_SECONDS,
    )
