"""The Job that asks a candidate's servers before anybody else does."""

from __future__ import annotations

from keelway.api.base import Manifest
from keelway.api.durations import seconds
from keelway.api.judging import SmokeCall, SmokeOrder
from keelway.api.model_deployment import ModelDeployment
from keelway.api.rollout import SmokeRequest
from keelway.manifests.names import child_name, hash8
from keelway.manifests.plain_job import plain_job
from keelway.manifests.serving import entry_service
from keelway.manifests.worker_container import worker_container

SMOKE = "smoke"
SMOKE_SECONDS, KEEP_SECONDS = 600, 300
START_SECONDS = 120
"""For what comes before the first request: a node, the image."""
RESOURCES = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}


def smoke_job(
    deployment: ModelDeployment, inference_service: str, *, attempt: str, image: str, pull_policy: str
) -> Manifest:
    """The Job for one attempt; its verdict is a SmokeVerdict."""
    smoke = deployment.spec.rollout.smoke
    base = f"http://{entry_service(inference_service)}.{deployment.namespace}.svc"
    order = SmokeOrder(
        calls=tuple(_call(base, request) for request in smoke.requests), max_seconds=seconds(smoke.max_latency)
    )
    container = worker_container(SMOKE, order, image=image, pull_policy=pull_policy, resources=RESOURCES)
    name = child_name(deployment.name, SMOKE, hash8(attempt, inference_service))
    longest = len(order.calls) * order.max_seconds + order.patience_seconds
    return plain_job(
        deployment, name, container, deadline=max(SMOKE_SECONDS, START_SECONDS + longest), keep=KEEP_SECONDS
    )


def _call(base: str, request: SmokeRequest) -> SmokeCall:
    return SmokeCall(
        url=f"{base}{request.path}",
        method=request.method or ("POST" if request.body else "GET"),
        body=request.body,
        content_type=request.content_type,
        expect_status=request.expect_status,
    )
