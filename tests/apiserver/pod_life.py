"""The life of one pod on the fake node, from its binding to its end, told to the API server as a kubelet tells it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from typing import Any

from keelway.api.base import Manifest
from keelway.api.durations import to_timestamp
from keelway.manifests.trial_job import COLLECT
from tests.apiserver.api import STRATEGIC_MERGE, Api, RefusedError
from tests.apiserver.container_logs import ContainerLogs
from tests.apiserver.pod_script import Container, Outcome, Scripts
from tests.property.lifecycle.curves import relayed

LONGEST_WAIT_SECONDS = 1.0
"""What a script answers may change by itself, too."""


@dataclass
class Life:
    """One pod. `run` returns when it has ended, or was deleted."""

    pod: Manifest
    node: str
    api: Api
    scripts: Scripts
    logs: ContainerLogs
    deleted: Event = field(default_factory=Event)
    abandoned: bool = False
    _ended: dict[str, Outcome] = field(default_factory=dict)
    _statuses: dict[str, Manifest] = field(default_factory=dict)

    def run(self) -> None:
        """Live the whole life. A pod or a namespace that vanishes meanwhile ends it."""
        try:
            self._bind()
            if self._initialize():
                self._work()
            if self.deleted.is_set() and not self.abandoned:
                self._go()
        except RefusedError as refused:
            if refused.code not in (403, 404, 409):
                raise

    def delete(self, *, abandoned: bool = False) -> None:
        """The pod was deleted; or its node is gone, then it says nothing more."""
        self.abandoned = abandoned
        with self.scripts.changed:
            self.deleted.set()
            self.scripts.changed.notify_all()

    def _bind(self) -> None:
        target = {"apiVersion": "v1", "kind": "Node", "name": self.node}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": self._name}, "target": target}
        path = f"/api/v1/namespaces/{self._namespace}/pods/{self._name}/binding"
        self.api.request("POST", path, body=binding)

    def _initialize(self) -> bool:
        """Run the init containers in their order; sidecars stay running. False when the pod is at its end."""
        for spec in self.pod["spec"].get("initContainers", []):
            if _is_sidecar(spec):
                if not self._until_startable(spec):
                    return False
                self._set(spec, _running(ready=True))
            elif not self._run_to_end(spec):
                return False
        return True

    def _run_to_end(self, spec: Manifest) -> bool:
        """Run one init container. False when it failed, or the pod was deleted."""
        outcome = self._until_startable(spec)
        if outcome is None:
            return False
        self._set(spec, _running(ready=False))
        if outcome.seconds or outcome.never_ends:
            self._tell("Pending")
        if not self._pass(outcome):
            return False
        self._end(spec, outcome)
        if outcome.exit_code:
            self._finish("Failed")
        return not outcome.exit_code

    def _work(self) -> None:
        """Run the containers proper, then end the sidecars."""
        specs = self.pod["spec"]["containers"]
        outcomes = {}
        for spec in specs:
            outcome = self._until_startable(spec)
            if outcome is None:
                return
            outcomes[spec["name"]] = outcome
            self._set(spec, _running(ready=outcome.ready))
        if self.pod["spec"].get("restartPolicy") != "Never":
            self._serve(specs)
            return
        self._tell("Running")
        for spec in specs:
            if not self._pass(outcomes[spec["name"]]):
                return
            self._end(spec, outcomes[spec["name"]])
        failed = any(outcome.exit_code for outcome in outcomes.values())
        self._end_sidecars()
        self._finish("Failed" if failed else "Succeeded")

    def _serve(self, specs: Iterable[Manifest]) -> None:
        """Run until deleted; scripts may change meanwhile: ready or not, crashing or not."""
        told: object = None
        while not self.deleted.is_set():
            outcomes = {spec["name"]: self._outcome(spec) for spec in specs}
            if outcomes != told:
                for spec in specs:
                    self._set(spec, self._served_state(spec, outcomes[spec["name"]]))
                self._tell("Running")
                told = outcomes
            self._wait_for_news()

    def _served_state(self, spec: Manifest, outcome: Outcome) -> Manifest:
        if outcome.waiting:
            return _waiting(outcome.waiting, outcome.message)
        if outcome.never_ends:
            return {
                **_running(ready=outcome.ready),
                "restartCount": self._statuses[spec["name"]].get("restartCount", 0),
            }
        self._log(spec, outcome)
        back_off = _waiting("CrashLoopBackOff", "back-off 10s restarting failed container")
        return {**back_off, "restartCount": 3, "lastState": _terminated(outcome)["state"]}

    def _until_startable(self, spec: Manifest) -> Outcome | None:
        """What the container does, once nothing keeps it from starting; None when the pod was deleted before."""
        told = ""
        while (outcome := self._outcome(spec)).waiting:
            if outcome.waiting != told:
                self._set(spec, _waiting(outcome.waiting, outcome.message))
                self._tell("Pending")
                told = outcome.waiting
            self._wait_for_news()
            if self.deleted.is_set():
                return None
        return None if self.deleted.is_set() else outcome

    def _outcome(self, spec: Manifest) -> Outcome:
        return self.scripts.outcome(Container(self.pod, spec, dict(self._ended)))

    def _pass(self, outcome: Outcome) -> bool:
        """Let the time of a running container pass. False when the pod was deleted meanwhile."""
        if outcome.never_ends:
            self.deleted.wait()
        for told in range(1, len(outcome.reports) + 1):
            self.logs.put(self._namespace, self._name, COLLECT, relayed(outcome.reports[:told]))
            if self.deleted.wait(outcome.seconds / len(outcome.reports)):
                return False
        return not self.deleted.wait(0 if outcome.reports else outcome.seconds)

    def _wait_for_news(self) -> None:
        """Wait until a script changes, or the pod is deleted."""
        with self.scripts.changed:
            if not self.deleted.is_set():
                self.scripts.changed.wait(LONGEST_WAIT_SECONDS)

    def _end(self, spec: Manifest, outcome: Outcome) -> None:
        self._ended[spec["name"]] = outcome
        self._log(spec, outcome)
        self._set(spec, _terminated(outcome))

    def _end_sidecars(self) -> None:
        for spec in self.pod["spec"].get("initContainers", []):
            if _is_sidecar(spec):
                self._end(spec, self._outcome(spec))

    def _log(self, spec: Manifest, outcome: Outcome) -> None:
        self.logs.put(self._namespace, self._name, spec["name"], outcome.log)

    def _go(self) -> None:
        """Deleted: kill what runs, tell how it ended, and let the object go, as a kubelet does."""
        for spec in self._specs():
            if "running" in self._statuses.get(spec["name"], {}).get("state", {}):
                self._set(spec, _terminated(Outcome(exit_code=137, reason="Error")))
        self._tell("Failed")
        uid = self.pod["metadata"]["uid"]
        self.logs.forget(self._namespace, self._name)
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
        self.api.delete("Pod", self._namespace, self._name, options=options)

    def _finish(self, phase: str) -> None:
        """Terminal; then wait to be deleted, which a kubelet has to confirm."""
        self._tell(phase)
        self.deleted.wait()

    def _set(self, spec: Manifest, state: Manifest) -> None:
        image = spec["image"]
        base = {"name": spec["name"], "image": image, "imageID": f"{image}@sha256:{'1' * 64}", "restartCount": 0}
        self._statuses[spec["name"]] = {**base, **state}

    def _tell(self, phase: str) -> None:
        """Write the pod's status."""
        ready = all(self._statuses.get(spec["name"], {}).get("ready") for spec in self.pod["spec"]["containers"])
        now = to_timestamp(datetime.now(UTC))
        status = {
            "phase": phase,
            "hostIP": "127.0.0.1",
            "podIP": "10.244.0.9",
            "startTime": now,
            "conditions": [*_conditions(ready=ready and phase == "Running", now=now)],
            "initContainerStatuses": self._told(self.pod["spec"].get("initContainers", [])),
            "containerStatuses": self._told(self.pod["spec"]["containers"]),
        }
        self.api.patch(
            "Pod", self._namespace, self._name, {"status": status}, part="status", content_type=STRATEGIC_MERGE
        )

    def _told(self, specs: Iterable[Manifest]) -> list[Manifest]:
        for spec in specs:
            if spec["name"] not in self._statuses:
                self._set(spec, _waiting("PodInitializing", ""))
        return [self._statuses[spec["name"]] for spec in specs]

    def _specs(self) -> list[Manifest]:
        return [*self.pod["spec"].get("initContainers", []), *self.pod["spec"]["containers"]]

    @property
    def _name(self) -> str:
        return str(self.pod["metadata"]["name"])

    @property
    def _namespace(self) -> str:
        return str(self.pod["metadata"]["namespace"])


def _is_sidecar(spec: Manifest) -> bool:
    return spec.get("restartPolicy") == "Always"


def _running(*, ready: bool) -> Manifest:
    now = to_timestamp(datetime.now(UTC))
    return {"state": {"running": {"startedAt": now}}, "ready": ready, "started": True}


def _waiting(reason: str, message: str) -> Manifest:
    return {"state": {"waiting": {"reason": reason, "message": message}}, "ready": False, "started": False}


def _terminated(outcome: Outcome) -> Manifest:
    now = to_timestamp(datetime.now(UTC))
    ended: dict[str, Any] = {
        "exitCode": outcome.exit_code,
        "reason": outcome.reason or ("Error" if outcome.exit_code else "Completed"),
        "message": outcome.message,
        "startedAt": now,
        "finishedAt": now,
    }
    return {"state": {"terminated": ended}, "ready": False, "started": False}


def _conditions(*, ready: bool, now: str) -> Iterable[Manifest]:
    states = {"PodScheduled": True, "Initialized": True, "ContainersReady": ready, "Ready": ready}
    for type_, state in states.items():
        yield {"type": type_, "status": str(state), "lastTransitionTime": now}
