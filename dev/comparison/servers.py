"""The pods that serve a model: which version each has, and how it is."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from dev.demo.examples import Manifest
from dev.platform.kubectl import Kubectl

LABEL = "serving.kserve.io/inferenceservice"
CONTAINER = "kserve-container"


@dataclass(frozen=True, order=True)
class Server:
    """One pod of an InferenceService."""

    version: str
    state: str
    """`ready`, or why it is not."""
    restarts: int = 0

    @classmethod
    def of(cls, pod: Manifest) -> "Server":
        """What a pod says of itself."""
        (spec,) = [one for one in pod["spec"]["containers"] if one["name"] == CONTAINER]
        (version,) = [one["value"] for one in spec.get("env", []) if one["name"] == "MODEL_VERSION"]
        statuses = pod.get("status", {}).get("containerStatuses", [])
        status: Manifest = next((one for one in statuses if one["name"] == CONTAINER), {})
        return cls(version, _state(status), int(status.get("restartCount", 0)))

    @property
    def has_begun(self) -> bool:
        """Whether it came as far as to serve, or to fail at it."""
        return self.state == "ready" or self.restarts > 0

    def __str__(self) -> str:
        """In words."""
        times = f", started {self.restarts + 1} times" if self.restarts else ""
        return f"version {self.version} {self.state}{times}"


def servers(cluster: Kubectl, namespace: str, which: Callable[[str], bool]) -> list[Server]:
    """The pods that are not on their way out, of the InferenceServices with these names."""
    found = json.loads(cluster.kubectl("get", "pods", f"-n{namespace}", f"-l{LABEL}", "-ojson"))["items"]
    mine = [pod for pod in found if which(pod["metadata"]["labels"][LABEL])]
    return sorted(Server.of(pod) for pod in mine if not pod["metadata"].get("deletionTimestamp"))


def in_words(found: Iterable[Server]) -> str:
    """All of them."""
    return "; ".join(map(str, found)) or "no server"


def _state(status: dict[str, Any]) -> str:
    if status.get("ready"):
        return "ready"
    state = status.get("state", {})
    waiting, ended = state.get("waiting", {}), state.get("terminated", {})
    return str(waiting.get("reason") or ended.get("reason") or "not ready")
