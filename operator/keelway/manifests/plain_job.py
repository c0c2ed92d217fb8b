"""A Job of one worker program for a ModelDeployment, beside the pods of models that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keelway.api.base import Manifest
from keelway.api.model_deployment import ModelDeployment
from keelway.manifests.job import job
from keelway.manifests.metadata import child_metadata
from keelway.manifests.worker_container import scratch_volume


def plain_job(
    deployment: ModelDeployment,
    name: str,
    container: Manifest,
    *,
    volumes: Sequence[Manifest] = (),
    service_account: str = "",
    deadline: float,
    keep: float,
) -> Manifest:
    """The Job: one container, on nodes where the servers may run, too."""
    scheduling = deployment.spec.serving.scheduling
    spec: dict[str, Any] = {
        "containers": [container],
        "volumes": [scratch_volume(), *volumes],
        "terminationGracePeriodSeconds": 5,
        "securityContext": {"fsGroup": 65532, "fsGroupChangePolicy": "OnRootMismatch"},
    }
    if scheduling.node_selector:
        spec["nodeSelector"] = scheduling.node_selector
    if scheduling.tolerations:
        spec["tolerations"] = list(scheduling.tolerations)
    if service_account:
        spec["serviceAccountName"] = service_account
    return job(child_metadata(deployment, name), {"spec": spec}, deadline=deadline, keep=keep)
