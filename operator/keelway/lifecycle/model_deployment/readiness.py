"""Proof that the servers of one model version are ready; KServe's own word is not enough: docs/model-deployments.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.api.reasons import Reason
from keelway.lifecycle.conditions import last_words, shortened
from keelway.lifecycle.plan import Observed
from keelway.lifecycle.pods import Trouble, trouble
from keelway.lifecycle.staged_jobs import Failure
from keelway.manifests.serving import REVISION_ANNOTATION, components


@dataclass(frozen=True)
class Readiness:
    """Whether the servers are proved ready; if not, why, and whether that is more than a matter of time."""

    ready: bool
    trouble: Trouble | None = None
    waiting_for: str = ""
    there: bool = True
    """Whether the InferenceService is there."""
    available: int = 0
    """How many replicas answer."""

    @property
    def failure(self) -> Failure:
        """Why nothing answers any more."""
        if self.trouble:
            return self.trouble.reason, self.trouble.message
        return Reason.CANDIDATE_UNREADY, f"none of its replicas answers: it waits for {self.waiting_for}"


def readiness(seen: Observed, namespace: str, inference_service: str, revision: str) -> Readiness:
    """Look at the InferenceService, its Deployments and its pods."""
    key = Key("InferenceService", namespace, inference_service)
    server = seen.get(key)
    if server is None:
        return Readiness(False, waiting_for="the InferenceService to be made", there=False)
    deployments = {name: seen.get(Key("Deployment", namespace, name)) for name in components(inference_service)}
    available = min(_available(deployment) for deployment in deployments.values())
    if missing := _unproved(server, deployments, revision):
        return Readiness(
            False, _trouble(server, deployments.values(), seen.about(key, "Pod")), missing, available=available
        )
    return Readiness(True, available=available)


def _available(deployment: Manifest | None) -> int:
    return int((deployment or {}).get("status", {}).get("availableReplicas", 0))


def _unproved(server: Manifest, deployments: Mapping[str, Manifest | None], revision: str) -> str:
    """What the proof still lacks; nothing when it is whole."""
    for name, deployment in deployments.items():
        if missing := _missing(deployment, revision):
            return f"{missing} ({name.rpartition('-')[2]})" if len(deployments) > 1 else missing
    return "" if _is_ready(server) else "the InferenceService to be Ready"


def _missing(deployment: Manifest | None, revision: str) -> str:
    if deployment is None:
        return "KServe to make the Deployment"
    wanted, status = deployment["spec"].get("replicas", 1), deployment.get("status", {})
    template = deployment["spec"]["template"]["metadata"].get("annotations", {})
    if template.get(REVISION_ANNOTATION) != revision:
        return "KServe to roll out this revision"
    if status.get("observedGeneration") != deployment["metadata"].get("generation"):
        return "Kubernetes to see the Deployment's newest generation"
    if not wanted == status.get("updatedReplicas", 0) == status.get("availableReplicas", 0):
        return f"{wanted} replicas, of which {status.get('availableReplicas', 0)} are available"
    return ""


def _is_ready(server: Manifest) -> bool:
    conditions = server.get("status", {}).get("conditions", [])
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _trouble(server: Manifest, deployments: Iterable[Manifest | None], pods: Sequence[Manifest]) -> Trouble | None:
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    refused = (_refused(deployment) for deployment in deployments)
    return _crash(alive) or trouble(alive) or next(filter(None, refused), None) or _kserve_trouble(server)


def _refused(deployment: Manifest | None) -> Trouble | None:
    """A quota or an admission policy that lets no pod come into being."""
    conditions = (deployment or {}).get("status", {}).get("conditions", [])
    failure = next((c for c in conditions if c.get("type") == "ReplicaFailure" and c.get("status") == "True"), None)
    return Trouble(Reason.POD_REFUSED, shortened(failure.get("message", ""))) if failure else None


def _crash(pods: list[Manifest]) -> Trouble | None:
    """A server that has ended and is not back: its last words say more than the back-off that follows."""
    for pod in pods:
        status = pod.get("status", {})
        for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
            ended = (
                container.get("lastState", {}).get("terminated") or container.get("state", {}).get("terminated") or {}
            )
            if ended.get("exitCode") and not container.get("ready"):
                how = f"container {container['name']} ended with exit code {ended['exitCode']}"
                words = last_words(ended.get("message") or ended.get("reason", ""))
                return Trouble(Reason.MODEL_LOAD_FAILED, f"{how}: {words}")
    return None


def _kserve_trouble(server: Manifest) -> Trouble | None:
    status = server.get("status", {})
    failure = status.get("modelStatus", {}).get("lastFailureInfo") or {}
    if failure.get("reason") in ("NoSupportingRuntime", "RuntimeNotRecognized", "RuntimeDisabled"):
        return Trouble(Reason.RUNTIME_NOT_FOUND, shortened(f"{failure['reason']}: {failure.get('message', '')}"))
    if status.get("modelStatus", {}).get("transitionStatus") == "BlockedByFailedLoad" and failure:
        return Trouble(Reason.MODEL_LOAD_FAILED, last_words(failure.get("message") or str(failure.get("reason"))))
    return None
