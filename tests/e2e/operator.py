"""The operator's pod and what the API server saw of it."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dev.cluster import Cluster
from dev.release import NAMESPACE, RELEASE
from keelway.api.kinds import OWN_KINDS
from tests.e2e.audit import WRITES, Request, requests

USER = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
SELECTOR = f"app.kubernetes.io/instance={RELEASE}"


@dataclass(frozen=True)
class Operator:
    """The installed operator."""

    cluster: Cluster
    audit_from: int
    """Size in bytes of the audit log when the tests began."""

    def pod(self) -> dict[str, Any]:
        """The one pod that is not on its way out."""
        found = json.loads(self.cluster.kubectl("get", "pods", f"-n{NAMESPACE}", f"-l{SELECTOR}", "-ojson"))["items"]
        (pod,) = [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]
        return dict(pod)

    def restart(self) -> None:
        """End the pod and wait until the one that takes its place is ready and has looked at everything."""
        before = self.pod()["metadata"]["name"]
        self.cluster.kubectl("delete", "pod", before, f"-n{NAMESPACE}", "--wait=true")
        rollout = ("rollout", "status", f"deployment/{RELEASE}", f"-n{NAMESPACE}", "--timeout=60s")
        self.cluster.kubectl(*rollout)
        self.settle()

    def kill(self) -> None:
        """`kill -9` the process, without a word to the API server; the kubelet starts it again in the same pod."""
        container = self.pod()["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
        self.cluster.on_node("ctr", "--namespace=k8s.io", "tasks", "kill", "--signal=SIGKILL", container)

    def kill_for_good(self) -> None:
        """`kill -9` the process and take its pod away: another one takes its place, as after the loss of a node.

        The kubelet would start a container that dies again and again later each time.
        """
        before = self.pod()["metadata"]["name"]
        self.kill()
        self.cluster.kubectl("delete", "pod", before, f"-n{NAMESPACE}", "--force", "--grace-period=0", "--wait=false")

    def restarts(self) -> int:
        """How often the kubelet has started the container again."""
        return int(self.pod()["status"]["containerStatuses"][0]["restartCount"])

    def settle(self) -> None:
        """Wait until the operator has looked at every object of Keelway's kinds and has nothing to do now."""
        deadline = time.monotonic() + 60
        while (open_ends := list(self._open_ends())) and time.monotonic() < deadline:
            time.sleep(0.5)
        assert open_ends == []

    def _open_ends(self) -> Iterator[str]:
        metrics = self.metrics()
        for lane in ("urgent", "normal", "running"):
            if waiting := _sum(metrics, "keelway_queue_depth", f'lane="{lane}"'):
                yield f"{waiting:g} keys are {lane}"
        for kind in OWN_KINDS:
            looks, objects = _sum(metrics, "keelway_reconciles_total", f'kind="{kind.name}"'), self._count(kind.plural)
            if looks < objects:
                yield f"{looks:g} looks at {objects} objects of kind {kind.name}"

    def _count(self, plural: str) -> int:
        return len(self.cluster.kubectl("get", plural, "--all-namespaces", "-oname").split())

    def metrics(self) -> str:
        """What /metrics says."""
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{self.pod()['metadata']['name']}:8080/proxy/metrics"
        return self.cluster.kubectl("get", "--raw", path)

    def peak_memory(self) -> int:
        """The most memory that the operator's process was ever resident with, in bytes."""
        name = self.pod()["metadata"]["name"]
        status = self.cluster.kubectl(
            "exec", name, f"-n{NAMESPACE}", "--", "python3", "-c", "print(open('/proc/1/status').read())"
        )
        kilobytes = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
        assert kilobytes, status
        return int(kilobytes[1]) * 1024

    def seconds_to_ready(self) -> float:
        """From the start of the container to the pod's Ready condition, in whole seconds."""
        status = self.pod()["status"]
        started = status["containerStatuses"][0]["state"]["running"]["startedAt"]
        ready = next(c["lastTransitionTime"] for c in status["conditions"] if c["type"] == "Ready")
        return (datetime.fromisoformat(ready) - datetime.fromisoformat(started)).total_seconds()

    def audit_size(self) -> int:
        """Where the audit log ends now."""
        return len(self.cluster.audit_log())

    def requests(self, *, since: int | None = None) -> list[Request]:
        """The operator's requests since a place in the audit log, or since the tests began."""
        start = self.audit_from if since is None else since
        return [request for request in requests(self.cluster, since=start, mention=USER) if request.user == USER]

    def writes(self, namespace: str, *, since: int) -> list[Request]:
        """What of it was meant to change something in a namespace."""
        asked = self.requests(since=since)
        return [request for request in asked if request.namespace == namespace and request.verb in WRITES]


def _sum(metrics: str, name: str, label: str = "") -> float:
    lines = [line for line in metrics.splitlines() if re.match(rf"{name}(\{{|\s)", line) and label in line]
    return sum(float(line.rpartition(" ")[2]) for line in lines)
