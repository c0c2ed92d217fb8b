"""The Job that reads a model's files and compares them with the record, before anything of them runs."""

from __future__ import annotations

from keelway.api.base import Manifest
from keelway.api.jobs import StageOrder
from keelway.api.model_deployment import ModelDeployment
from keelway.api.model_version import ModelVersion
from keelway.api.resource import Access
from keelway.manifests.model_volume import reach_model, staged_model
from keelway.manifests.names import child_name, hash8
from keelway.manifests.plain_job import plain_job
from keelway.manifests.staged_pod import STAGE, STAGE_RESOURCES
from keelway.manifests.worker_container import worker_container

VERIFY_SECONDS, KEEP_SECONDS = 3600, 300


def verify_job(
    deployment: ModelDeployment, version: ModelVersion, access: Access, *, attempt: str, image: str, pull_policy: str
) -> Manifest:
    """The Job for one attempt to bring a version out; its verdict is a StageVerdict."""
    reach = reach_model(version, access)
    container = worker_container(
        STAGE,
        StageOrder(model=staged_model(version, reach)),
        image=image,
        pull_policy=pull_policy,
        mounts=reach.mounts,
        resources=STAGE_RESOURCES,
    )
    name = child_name(deployment.name, f"verify-v{version.spec.version}", hash8(attempt, version.metadata.uid))
    return plain_job(
        deployment,
        name,
        container,
        volumes=reach.volumes,
        service_account=access.service_account_name,
        deadline=VERIFY_SECONDS,
        keep=KEEP_SECONDS,
    )
