"""Pods and Jobs as kubelet and controllers leave them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keelway.api.base import Manifest
from keelway.api.digests import short
from keelway.api.durations import to_timestamp
from keelway.api.jobs import ORDER_VARIABLE, CollectVerdict, ObserveOrder, ObserveVerdict, StageVerdict
from keelway.engine.objects import key_of, uid_of
from tests.property.lifecycle.lake import Content, Lake
from tests.unit.lifecycle.scene import Scene


@dataclass(frozen=True)
class Ended:
    """One container that has ended."""

    code: int = 0
    message: str = ""
    reason: str = ""
    image: str = ""
    """By digest, as the node tells it."""

    def status(self, name: str) -> Manifest:
        """As the pod's status has it."""
        ended = {"exitCode": self.code, "message": self.message, "reason": self.reason or "Completed"}
        image = self.image or f"registry.example.com/{name}@sha256:1"
        return {"name": name, "imageID": image, "state": {"terminated": ended}}


def a_pod_of(scene: Scene, job: Manifest, name: str = "pod", **status: Any) -> Manifest:
    """A pod of a Job, with this status."""
    owner = {"kind": "Job", "name": job["metadata"]["name"], "uid": uid_of(job), "controller": True}
    metadata = {
        **job["spec"]["template"]["metadata"],
        "name": f"{job['metadata']['name']}-{name}",
        "namespace": job["metadata"]["namespace"],
        "ownerReferences": [{"apiVersion": "batch/v1", **owner}],
    }
    spec = job["spec"]["template"]["spec"]
    return scene.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status})


def a_waiting_pod_of(scene: Scene, job: Manifest, reason: str, message: str = "", container: str = "") -> Manifest:
    """A pod that does not get on."""
    name = container or job["spec"]["template"]["spec"]["containers"][0]["name"]
    state = {"waiting": {"reason": reason, "message": message}}
    waiting = {"name": name, "image": "registry.example.com/x:1", "state": state}
    return a_pod_of(scene, job, phase="Pending", containerStatuses=[waiting])


def an_ended_pod_of(
    scene: Scene, job: Manifest, containers: Mapping[str, Ended], *, pod: str = "pod", evicted: bool = False
) -> Manifest:
    """A pod whose containers have ended like this."""
    ours = ("stage", "collect", "record", "measure")
    first = [ended.status(name) for name, ended in containers.items() if name in ours]
    then = [ended.status(name) for name, ended in containers.items() if name not in ours]
    well = not any(ended.code for ended in containers.values()) and not evicted
    conditions = [{"type": "DisruptionTarget", "status": "True"}] if evicted else []
    return a_pod_of(
        scene,
        job,
        pod,
        phase="Succeeded" if well else "Failed",
        conditions=conditions,
        initContainerStatuses=first,
        containerStatuses=then,
    )


def ends(scene: Scene, job: Manifest, reason: str = "") -> None:
    """The Job controller says that a Job is complete, or has failed for a reason."""
    condition = {
        "type": "Failed" if reason else "Complete",
        "status": "True",
        "reason": reason,
        "lastTransitionTime": to_timestamp(scene.now),
    }
    scene.say(key_of(job), startTime=job["metadata"]["creationTimestamp"], conditions=[condition])


def observe_ends(scene: Scene, verdict: ObserveVerdict, log: str = "") -> None:
    """The Job that looks at a source ends with this verdict."""
    job = scene.only("Job")
    pod = an_ended_pod_of(scene, job, {"observe": Ended(message=verdict.model_dump_json())})
    scene.logs[uid_of(pod)] = log
    ends(scene, job)


def observe_finds(scene: Scene, content: Content) -> None:
    """The Job that looks at a source finds this."""
    order = observe_order(scene.only("Job"))
    observe_ends(scene, *Lake({order.source.location.uri: content}).observe(order))


def observe_fails(scene: Scene, reason: str, message: str = "as the case says") -> None:
    """The Job that looks at a source says what is wrong."""
    observe_ends(scene, ObserveVerdict(outcome="Failed", reason=reason, message=message))


def trial_ends(scene: Scene, job: Manifest, value: float, **fields: Any) -> None:
    """A trial's Job ends well, with this value of its metric."""
    digest = f"sha256:{round(value * 1000):012d}{52 * '0'}"
    verdict = CollectVerdict(
        outcome="Collected", metrics={"auc": value}, digest=digest, directory=short(digest), files=1, bytes=10, **fields
    )
    trial_ends_with(scene, job, collect=verdict)


def trial_ends_with(
    scene: Scene,
    job: Manifest,
    *,
    stage: StageVerdict | None = None,
    train: Ended | None = None,
    collect: CollectVerdict | None = None,
) -> None:
    """A trial's Job ends with these verdicts; what is not mentioned went well and said nothing."""
    staged = stage or StageVerdict(outcome="Staged")
    containers = {"stage": Ended(int(staged.outcome == "Failed"), staged.model_dump_json())}
    if staged.outcome == "Staged":
        containers["collect"] = Ended(message=collect.model_dump_json() if collect else "")
        containers["train"] = train or Ended()
    pod = an_ended_pod_of(scene, job, containers)
    ends(scene, job, "" if pod["status"]["phase"] == "Succeeded" else "BackoffLimitExceeded")


def observe_order(job: Manifest) -> ObserveOrder:
    """What a Job that looks at a source was told."""
    variables = job["spec"]["template"]["spec"]["containers"][0]["env"]
    return ObserveOrder.model_validate_json(next(v["value"] for v in variables if v["name"] == ORDER_VARIABLE))
