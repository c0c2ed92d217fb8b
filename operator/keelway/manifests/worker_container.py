"""The container that runs one of Keelway's worker programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from keelway.api.base import Manifest, Model
from keelway.api.digests import canonical_json
from keelway.api.jobs import ORDER_PART_BYTES, ORDER_VARIABLE
from keelway.api.quantities import bytes_of
from keelway.manifests.storage import ROOT, VOLUME_PREFIX

SCRATCH = f"{ROOT}/scratch"
RESTRICTED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
DEFAULT_RESOURCES: dict[str, Any] = {
    "requests": {"cpu": "50m", "memory": "128Mi"},
    "limits": {"memory": "1Gi"},
}


def worker_container(
    program: str,
    order: Model,
    *,
    image: str,
    pull_policy: str,
    mounts: Iterable[Manifest] = (),
    resources: Mapping[str, Any] | None = None,
) -> Manifest:
    """A container named after its program, with its order in the environment, that passes PodSecurity `restricted`."""
    return {
        "name": program,
        "image": image,
        "imagePullPolicy": pull_policy,
        "args": [program],
        "env": [
            *_told(order),
            {"name": "KEELWAY_SCRATCH", "value": SCRATCH},
        ],
        "resources": dict(resources or DEFAULT_RESOURCES),
        "securityContext": {**RESTRICTED, "readOnlyRootFilesystem": True},
        "volumeMounts": [
            {"name": f"{VOLUME_PREFIX}scratch", "mountPath": SCRATCH, "subPath": program},
            {"name": f"{VOLUME_PREFIX}scratch", "mountPath": "/tmp", "subPath": f"{program}-tmp"},
            *mounts,
        ],
    }


def _told(order: Model) -> list[Manifest]:
    """The variables that hold an order, more than one where it is long."""
    # Kubernetes rewrites `$$` and `$(NAME)` in a variable. JSON can spell the character so that there is none.
    text = canonical_json(order.to_json()).decode().replace("$", r"\u0024")
    length = len(text) if len(text.encode()) <= ORDER_PART_BYTES else ORDER_PART_BYTES // 4
    parts = [text[begin : begin + length] for begin in range(0, len(text), length)]
    return [
        {"name": f"{ORDER_VARIABLE}_{number}" if number else ORDER_VARIABLE, "value": part}
        for number, part in enumerate(parts)
    ]


def memory_for_tables(resources: Mapping[str, Any]) -> str:
    """How much of a container's memory the tables may take: half of its limit, the rest is for reading and writing."""
    limit = (resources or DEFAULT_RESOURCES).get("limits", {}).get("memory")
    try:
        size = bytes_of(limit or DEFAULT_RESOURCES["limits"]["memory"])
    except ValueError:
        size = 0  # Kubernetes refuses the Job and says why
    return f"{max(size // 2**21, 64)}MiB"


def scratch_volume() -> Manifest:
    """Space on the node that ends with the pod."""
    return {"name": f"{VOLUME_PREFIX}scratch", "emptyDir": {}}
