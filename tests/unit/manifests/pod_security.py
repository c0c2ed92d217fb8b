"""PodSecurity `restricted` as Kubernetes states it: https://kubernetes.io/docs/concepts/security/pod-security-standards/."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keelway.api.base import Manifest

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
HOST = ("hostNetwork", "hostPID", "hostIPC")


def violations(pod: Manifest) -> list[str]:
    """What the policy has against a pod's spec."""
    found = [f"{name} is set" for name in HOST if pod.get(name)]
    found += [f"volume {v['name']} is of no allowed type" for v in pod.get("volumes", []) if not VOLUMES & set(v)]
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        found += [f"{container['name']}: {wrong}" for wrong in _wrongs(container, pod.get("securityContext", {}))]
    return found


def _wrongs(container: Manifest, of_pod: Manifest) -> Iterator[str]:
    own = container.get("securityContext", {})
    context: dict[str, Any] = {**of_pod, **own}
    if own.get("privileged") or own.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add", []) not in (
        [],
        ["NET_BIND_SERVICE"],
    ):
        yield "keeps capabilities"
    if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
        yield "may run as root"
    if context.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "has no seccomp profile"
