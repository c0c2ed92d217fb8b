"""The pod that a trial and a derivation share: stage (fetch) → a sidecar that waits → the containers that work.

The storage's secrets are mounted into the first two alone. The containers that work stay as their author wrote them but
for safe defaults and for what the one that matters sees besides.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from keelway.api.base import Manifest
from keelway.api.dataset_version import DatasetVersion, Schema
from keelway.api.jobs import Column, Source, StagedModel, StageInput, StageOrder
from keelway.api.ready import READY_VARIABLE
from keelway.api.resource import Access
from keelway.manifests.manifest_volume import Mounted, mounted_manifest
from keelway.manifests.names import variable
from keelway.manifests.storage import ROOT, VOLUME_PREFIX, Storage, storage
from keelway.manifests.worker_container import RESTRICTED, memory_for_tables, scratch_volume, worker_container

STAGE = "stage"
DATA = f"{ROOT}/data"
READY_FILE = "/tmp/ready"
STAGE_RESOURCES = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}


@dataclass(frozen=True)
class PodInput:
    """One data set of a pod: what to stage, how to reach it, where its list of files is."""

    stage: StageInput
    reach: Storage
    manifest: Mounted
    version: DatasetVersion
    service_account: str = ""
    """By which the data may be read; empty where a Secret or nothing is needed."""


@dataclass(frozen=True, kw_only=True)
class Sees:
    """What the container that matters gets besides what its author wrote."""

    container: str
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[Manifest] = ()


def pod_input(index: int, name: str, version: DatasetVersion, access: Access, *, split: str = "") -> PodInput:
    """How a pod gets a version; `index` tells the inputs of one pod apart."""
    spec = version.spec
    reach = storage(spec.source.uri, access, f"input-{index}", read_only=True)
    manifest, mounted = mounted_manifest(version, f"input-{index}")
    stage = StageInput(
        name=name,
        source=Source(
            location=reach.location.model_copy(update={"revision": spec.source.revision}),
            include=spec.source.include,
            exclude=spec.source.exclude,
            format=spec.source.format,
        ),
        format=spec.source.format,
        digest=spec.digest,
        manifest=manifest,
        columns=_columns(spec.schema_),
        split=split,
        splits=spec.split_rule.rules,
        split_key=spec.split_rule.key,
        target=f"{DATA}/{name}",
    )
    return PodInput(stage, reach, mounted, version, access.service_account_name)


def _columns(schema: Schema) -> tuple[Column, ...]:
    """All of them, or none where the record does not list all: whoever reads the data finds the same ones again."""
    return schema.columns if schema.total <= len(schema.columns) else ()


def stage_container(
    inputs: Sequence[PodInput],
    *,
    image: str,
    pull_policy: str,
    parameters: Mapping[str, float | int | str] | None = None,
    parameters_file: str = "",
    model: StagedModel | None = None,
    mounts: Iterable[Manifest] = (),
) -> Manifest:
    """The init container that fetches and verifies the data before anything else begins."""
    order = StageOrder(
        inputs=tuple(given.stage for given in inputs),
        parameters=dict(parameters or {}),
        parameters_file=parameters_file,
        model=model,
        memory_limit=memory_for_tables(STAGE_RESOURCES),
    )
    reached = [mount for given in inputs for mount in (given.manifest.mount, *given.reach.mounts)]
    return worker_container(
        STAGE,
        order,
        image=image,
        pull_policy=pull_policy,
        mounts=[{"name": f"{VOLUME_PREFIX}data", "mountPath": DATA}, *mounts, *reached],
        resources=STAGE_RESOURCES,
    )


def sidecar(container: Manifest) -> Manifest:
    """A worker's container as one that waits beside the others and ends after them.

    The others begin when the hook is done: from then on the SIGTERM at their end cannot be lost.
    """
    return {
        **container,
        "restartPolicy": "Always",
        "env": [*container["env"], {"name": READY_VARIABLE, "value": READY_FILE}],
        "lifecycle": {
            "postStart": {"exec": {"command": ["sh", "-c", f"until [ -e {READY_FILE} ]; do sleep 0.1; done"]}}
        },
    }


def staged_template(
    template: Manifest,
    *,
    first: Sequence[Manifest],
    volumes: Iterable[Manifest],
    upload_seconds: int,
    service_accounts: Iterable[str] = (),
    sees: Sees | None = None,
) -> Manifest:
    """A pod template with Keelway's containers before its own, safe defaults, and time for what the sidecar does last.

    A pod has one service account: its own where it names one, else the first of `service_accounts` that is not empty.
    """
    template = copy.deepcopy(template)
    pod = template["spec"]
    pod["initContainers"] = [*first, *map(_secured, pod.get("initContainers", []))]
    pod["containers"] = [_seeing(_secured(container), sees) for container in pod["containers"]]
    # Inputs and output may name one claim: a pod has it once.
    ours = {volume["name"]: volume for volume in (scratch_volume(), scratch("data"), *volumes)}
    pod["volumes"] = [*pod.get("volumes", []), *ours.values()]
    pod["securityContext"] = {
        "fsGroup": 65532,
        "fsGroupChangePolicy": "OnRootMismatch",
        **pod.get("securityContext", {}),
    }
    pod["terminationGracePeriodSeconds"] = max(pod.get("terminationGracePeriodSeconds", 0), upload_seconds)
    if account := next(filter(None, (pod.get("serviceAccountName"), *service_accounts)), None):
        pod["serviceAccountName"] = account
    return template


def volumes_of(inputs: Iterable[PodInput]) -> list[Manifest]:
    """What reading the inputs takes."""
    return [volume for given in inputs for volume in (given.manifest.volume, *given.reach.volumes)]


def scratch(name: str) -> Manifest:
    """A volume on the node that the pod's containers share and that ends with it."""
    return {"name": f"{VOLUME_PREFIX}{name}", "emptyDir": {}}


def data_variables(inputs: Iterable[PodInput]) -> dict[str, str]:
    """KEELWAY_DATA_<NAME> of every input."""
    return {f"KEELWAY_DATA_{variable(given.stage.name)}": given.stage.target for given in inputs}


def read_data() -> Manifest:
    """The staged data, read-only."""
    return {"name": f"{VOLUME_PREFIX}data", "mountPath": DATA, "readOnly": True}


def _secured(container: Manifest) -> Manifest:
    return {**container, "securityContext": {**RESTRICTED, **container.get("securityContext", {})}}


def _seeing(container: Manifest, sees: Sees | None) -> Manifest:
    if sees is None or container.get("name") != sees.container:
        return container
    variables = [{"name": name, "value": value} for name, value in sees.environment.items()]
    return {
        **container,
        "env": [*container.get("env", []), *variables],
        "volumeMounts": [*container.get("volumeMounts", []), *sees.mounts],
    }
