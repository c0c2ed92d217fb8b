"""What a Job's pod is made of."""

from __future__ import annotations

import json
from typing import Any

from keelway.api.base import Manifest
from keelway.api.jobs import ORDER_VARIABLE


def pod(manifest: Manifest) -> Manifest:
    spec: Manifest = manifest["spec"]["template"]["spec"]
    return spec


def container(manifest: Manifest, name: str) -> Manifest:
    spec = pod(manifest)
    return next(c for c in [*spec.get("initContainers", []), *spec["containers"]] if c["name"] == name)


def order(manifest: Manifest, name: str) -> Any:
    parts = [value for variable, value in variables(manifest, name).items() if variable.startswith(ORDER_VARIABLE)]
    return json.loads("".join(parts))


def variables(manifest: Manifest, name: str) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container(manifest, name)["env"]}


def mounted(manifest: Manifest, name: str) -> dict[str, str]:
    """Volume by mount path."""
    return {m["mountPath"]: m["name"] for m in container(manifest, name)["volumeMounts"]}


def secret_volumes(manifest: Manifest) -> set[str]:
    return {volume["name"] for volume in pod(manifest)["volumes"] if "secret" in volume}


def mounted_names(manifest: Manifest, name: str) -> list[str]:
    return [mount["name"] for mount in container(manifest, name).get("volumeMounts", [])]


def claim_mount(manifest: Manifest, name: str) -> Manifest:
    """The one claim that a container mounts."""
    mounts: list[Manifest] = container(manifest, name)["volumeMounts"]
    (mount,) = [mount for mount in mounts if mount["name"].startswith("keelway-claim-")]
    return mount
