"""What the pods of a Job or a model say: whether they are in trouble, how they ended, which verdict they left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from keelway.api.base import Manifest, Model
from keelway.api.kinds import Key
from keelway.api.reasons import Reason
from keelway.lifecycle.plan import Observed

V = TypeVar("V", bound=Model)

WAITING_REASONS = {
    "ErrImagePull": Reason.IMAGE_PULL_FAILED,
    "ImagePullBackOff": Reason.IMAGE_PULL_FAILED,
    "InvalidImageName": Reason.IMAGE_PULL_FAILED,
    "ErrImageNeverPull": Reason.IMAGE_PULL_FAILED,
    "CreateContainerConfigError": Reason.POD_CONFIG_INVALID,
    "CreateContainerError": Reason.POD_CONFIG_INVALID,
    "RunContainerError": Reason.POD_CONFIG_INVALID,
    "CrashLoopBackOff": Reason.CONTAINER_CRASHING,
}


@dataclass(frozen=True)
class Trouble:
    """Why a pod does not get on, and what to do."""

    reason: Reason
    message: str


def pods_of(seen: Observed, job: Manifest) -> list[Manifest]:
    """Pods of one Job (this one, not an earlier one of the same name), oldest first."""
    key = Key("Job", job["metadata"]["namespace"], job["metadata"]["name"])
    mine = [pod for pod in seen.about(key, "Pod") if controller_uid(pod) == job["metadata"]["uid"]]
    return sorted(mine, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))


def controller_uid(manifest: Manifest) -> str:
    """The uid of an object's controller, or nothing."""
    references = manifest["metadata"].get("ownerReferences", [])
    return next((str(reference.get("uid", "")) for reference in references if reference.get("controller")), "")


def terminal(pod: Manifest) -> bool:
    """Whether all containers of the pod have ended for good."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def disrupted(pod: Manifest) -> bool:
    """Whether the pod was ended from outside: evicted, preempted, its node lost."""
    status = pod.get("status", {})
    told = (c.get("type") == "DisruptionTarget" and c.get("status") == "True" for c in status.get("conditions", []))
    return status.get("phase") == "Failed" and any(told)


def verdict(pods: Iterable[Manifest], container: str, model: type[V]) -> V | None:
    """The verdict that a container left in its termination message, newest pod first."""
    for pod in reversed(list(pods)):
        for status in _statuses(pod):
            ended = _terminated(status)
            if status.get("name") == container and ended and ended.get("message"):
                return _parsed(ended["message"], model)
    return None


def exit_code(pod: Manifest, container: str) -> int | None:
    """The exit code of a container that has ended."""
    ended = next((_terminated(status) for status in _statuses(pod) if status.get("name") == container), None)
    return int(ended["exitCode"]) if ended else None


def out_of_memory(pod: Manifest, container: str) -> bool:
    """Whether the kernel ended the container because it used more memory than it may."""
    ended = next((_terminated(status) for status in _statuses(pod) if status.get("name") == container), None)
    return bool(ended) and (ended or {}).get("reason") == "OOMKilled"


def image_id(pod: Manifest, container: str) -> str:
    """The image that a container ran, by digest, as the node tells it."""
    return next((str(s.get("imageID", "")) for s in _statuses(pod) if s.get("name") == container), "")


def trouble(pods: Sequence[Manifest]) -> Trouble | None:
    """What keeps pods from running, newest pod first; None while nothing is wrong."""
    return next((found for pod in reversed(pods) for found in _troubles(pod)), None)


def _troubles(pod: Manifest) -> Iterator[Trouble]:
    for status in _statuses(pod):
        waiting = status.get("state", {}).get("waiting") or {}
        if reason := WAITING_REASONS.get(waiting.get("reason", "")):
            yield Trouble(reason, _waiting_message(status, waiting))
    for condition in pod.get("status", {}).get("conditions", []):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            yield _unscheduled(condition.get("message", ""))


def _unscheduled(message: str) -> Trouble:
    """The scheduler has one reason for all; a claim that is missing or not bound is known by its words."""
    claim = "persistentvolumeclaim" in message.lower()
    return Trouble(
        Reason.VOLUME_UNAVAILABLE if claim else Reason.POD_UNSCHEDULABLE, f"no node takes the pod: {message}"
    )


def _waiting_message(status: Manifest, waiting: dict[str, Any]) -> str:
    ended = status.get("lastState", {}).get("terminated") or {}
    if waiting.get("reason") == "CrashLoopBackOff":
        said = ended.get("message") or f"exit code {ended.get('exitCode')}, reason {ended.get('reason')}"
        return f"container {status['name']} has crashed {status.get('restartCount', 0)} times, last: {said}"
    return f"container {status['name']}, image {status.get('image', '')}: {waiting.get('message') or waiting['reason']}"


def _statuses(pod: Manifest) -> list[dict[str, Any]]:
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]


def _terminated(status: dict[str, Any]) -> dict[str, Any] | None:
    ended: dict[str, Any] | None = status.get("state", {}).get("terminated")
    return ended or None


def _parsed(text: str, model: type[V]) -> V | None:
    try:
        return model.model_validate_json(text)
    except ValidationError:
        # Not a verdict: the container was killed before it wrote one, and the runtime filled in something else.
        return None
