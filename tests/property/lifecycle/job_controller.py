"""Kubelet and Job controller in a few lines: Jobs get pods, pods end as fated with a worker's verdict, Jobs end too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from keelway.api.base import Manifest
from keelway.api.curves import Curve
from keelway.api.durations import to_timestamp
from keelway.api.kinds import Key
from keelway.engine.objects import controller, key_of, uid_of
from keelway.lifecycle.experiment.trials import facts
from keelway.manifests.trial_job import COLLECT, RUN_ANNOTATION
from tests.property.engine.memory_api import Happened
from tests.property.lifecycle.cluster_api import ClusterApi, virtual_now
from tests.property.lifecycle.curves import relayed
from tests.property.lifecycle.fates import Fate, Fates
from tests.property.lifecycle.lake import Lake
from tests.property.lifecycle.mounts import mounted
from tests.property.lifecycle.pod_ends import containers, end_of, followed, is_verification, verified

SCHEDULING_SECONDS = 1.0
BOOKKEEPING_SECONDS = 0.5


def later(seconds: float, action: Callable[..., None], *arguments: Any) -> None:
    """Do something in so many virtual seconds."""
    asyncio.get_running_loop().call_later(seconds, action, *arguments)


class JobController:
    """Runs Jobs of one pod each, with `backoffLimit: 0` and disrupted pods replaced."""

    def __init__(self, api: ClusterApi, lake: Lake, fates: Fates) -> None:
        self._api = api
        self._lake = lake
        self._fates = fates
        self.verified: dict[str, bool] = {}
        """URI of each model whose bytes were ever compared with its record, to whether they were the same at last."""

    def heard(self, happened: Happened) -> None:
        """A Job was made: its pod comes. A pod was deleted: its Job has failed."""
        match happened.type, happened.manifest["kind"]:
            case "ADDED", "Job":
                later(SCHEDULING_SECONDS, self._start, happened.manifest, 0)
            case "DELETED", "Pod":
                later(BOOKKEEPING_SECONDS, self._miss, happened.manifest)

    def _miss(self, pod: Manifest) -> None:
        name = controller(pod)["name"]
        job = self._api.objects.get(Key("Job", pod["metadata"]["namespace"], name))
        if job and uid_of(job.manifest) == controller(pod)["uid"] and "conditions" not in job.manifest["status"]:
            self._end_job(job.manifest, "BackoffLimitExceeded")

    def _start(self, job: Manifest, number: int) -> None:
        if not self._is_there(job):
            return
        fate = self._fate(job)
        pod = self._api.put(_pod(job, number))
        self._set(job, {"startTime": _now(), "active": 1})
        if fate.image_missing:
            self._api.set_status(key_of(pod), _waiting(pod, "ErrImagePull", "no such image"))
        later(fate.image_missing, self._run, job, pod, number, fate)

    def _fate(self, job: Manifest) -> Fate:
        names = {spec["name"] for spec in containers(job["spec"]["template"])}
        if "observe" in names:
            return self._fates.of_look()
        if "record" in names:
            return self._fates.of_derivation()
        if "sweep" in names:
            return self._fates.of_sweep()
        if "smoke" in names:
            return self._fates.of_smoke()
        if "measure" in names:
            return self._fates.of_evaluation()
        if is_verification(job["spec"]["template"]):
            return self._fates.of_verification()
        if RUN_ANNOTATION not in job["metadata"]["annotations"]:
            return self._fates.of_reproduction()
        said = facts(job)
        return self._fates.of_trial(said.number, said.attempt)

    def _run(self, job: Manifest, pod: Manifest, number: int, fate: Fate) -> None:
        if self._is_there(pod):
            self._api.set_status(key_of(pod), _running(pod))
            points = followed(pod)
            for told in range(len(points) + 1):
                later(fate.seconds * told / (len(points) + 1), self._relay, pod, points[:told])
            later(fate.seconds, self._end, job, pod, number, fate)

    def _relay(self, pod: Manifest, points: Curve) -> None:
        if self._is_there(pod):
            self._api.logs[uid_of(pod), COLLECT] = relayed(points)

    def _end(self, job: Manifest, pod: Manifest, number: int, fate: Fate) -> None:
        if not self._is_there(pod):
            return
        match fate.end:
            case "node_lost":
                self._api.remove(key_of(pod))
            case "times_out":
                self._end_job(job, "DeadlineExceeded")
                self._api.remove(key_of(pod))
            case "job_deleted":
                self._api.remove(key_of(job))
            case "evicted":
                self._api.set_status(key_of(pod), {**self._ended(pod, fate), "conditions": [_disrupted()]})
                later(BOOKKEEPING_SECONDS, self._start, job, number + 1)
            case _:
                status = self._ended(pod, fate)
                self._api.set_status(key_of(pod), status)
                reason = "" if status["phase"] == "Succeeded" else "BackoffLimitExceeded"
                later(BOOKKEEPING_SECONDS, self._end_job, job, reason)

    def _end_job(self, job: Manifest, reason: str) -> None:
        if not self._is_there(job):
            return
        type_ = "Failed" if reason else "Complete"
        ended = {
            "type": type_,
            "status": "True",
            "reason": reason or "CompletionsReached",
            "lastTransitionTime": _now(),
        }
        completion = {} if reason else {"completionTime": _now()}
        self._set(job, {"conditions": [ended], **completion})
        if controller(job)["kind"] == "ModelDeployment":
            # Other Jobs are deleted by the operator long before.
            later(job["spec"]["ttlSecondsAfterFinished"], self._collect, job)

    def _collect(self, job: Manifest) -> None:
        if self._is_there(job):
            self._api.remove(key_of(job))

    def _ended(self, pod: Manifest, fate: Fate) -> Manifest:
        seen = {spec["name"]: self._mounted(pod, spec) for spec in containers(pod)}
        ended = end_of(pod, fate, self._lake, seen, self._fates.of_model)
        self.verified |= verified(pod, ended)
        for container, log in ended.logs.items():
            self._api.logs[uid_of(pod), container] = log
        return ended.status

    def _mounted(self, pod: Manifest, container: Manifest) -> dict[str, bytes]:
        def read(name: str) -> Manifest | None:
            stored = self._api.objects.get(Key("ConfigMap", pod["metadata"]["namespace"], name))
            return stored.manifest if stored else None

        return mounted(pod, container, read)

    def _set(self, job: Manifest, change: Manifest) -> None:
        before = self._api.read(key_of(job)).get("status", {})
        self._api.set_status(key_of(job), {**before, **change})

    def _is_there(self, manifest: Manifest) -> bool:
        stored = self._api.objects.get(key_of(manifest))
        return stored is not None and uid_of(stored.manifest) == uid_of(manifest)


def _now() -> str:
    return to_timestamp(virtual_now())


def _waiting(pod: Manifest, reason: str, message: str) -> Manifest:
    container = pod["spec"]["containers"][-1]
    state = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", "containerStatuses": [{"name": container["name"], "image": "", "state": state}]}


def _running(pod: Manifest) -> Manifest:
    states = [{"name": spec["name"], "state": {"running": {}}} for spec in pod["spec"]["containers"]]
    return {"phase": "Running", "containerStatuses": states}


def _disrupted() -> Manifest:
    return {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}


def _pod(job: Manifest, number: int) -> Manifest:
    metadata, template = job["metadata"], job["spec"]["template"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": uid_of(job), "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **template["metadata"],
            "name": f"{metadata['name']}-{number}",
            "namespace": metadata["namespace"],
            "ownerReferences": [owner],
        },
        "spec": template["spec"],
    }
