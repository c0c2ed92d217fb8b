"""A node without containers: registers itself, binds pods, and lets them live as the scripts say."""

from contextlib import AbstractContextManager
from functools import partial
from threading import Thread
from types import TracebackType
from typing import Self

from dev.controlplane import LOOPBACK, ControlPlane
from keelway.api.base import Manifest
from tests.apiserver.api import Api, Follower
from tests.apiserver.container_logs import ContainerLogs
from tests.apiserver.fake_worker import FakeWorker, Lake
from tests.apiserver.pod_life import Life
from tests.apiserver.pod_script import Behaviour, Matcher, Outcome, Scripts

NODE = "fake-node"


class FakeNode:
    """Scheduler, kubelet and container runtime for every pod of a control plane.

    `lake` is what Keelway's own containers find in object stores. `script` says what other containers do.
    """

    def __init__(self, plane: ControlPlane) -> None:
        self.lake = Lake()
        self._api = Api(plane.admin_kubeconfig_for(f"system:node:{NODE}"))
        self._scripts = Scripts(FakeWorker(self.lake, partial(self._api.get, "ConfigMap")))
        self._logs = ContainerLogs(plane.serving_credentials(LOOPBACK))
        self._follower = Follower(self._api, "Pod", self._handle)
        self._lives: dict[str, tuple[Life, Thread]] = {}

    def __enter__(self) -> Self:
        self._logs.start()
        self._register()
        self._follower.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._follower.stop()
        for life, thread in list(self._lives.values()):
            life.delete(abandoned=True)
            thread.join(5)
        self._logs.stop()

    def script(self, matches: Matcher, outcome: Outcome | Behaviour) -> "Scripted":
        """From now on matching containers do this: until taken back, or within a `with`."""
        return Scripted(self._scripts, matches, outcome)

    def logs_read(self, namespace: str) -> list[str]:
        """`POD/CONTAINER` of every log in a namespace that the API server was asked for, in order."""
        reads = (key.split("/", 1) for key in list(self._logs.reads))
        return [rest for place, rest in reads if place == namespace]

    def _register(self) -> None:
        self._api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        status = {
            "addresses": [{"type": "InternalIP", "address": LOOPBACK}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._logs.port}},
            "capacity": {"cpu": "100", "memory": "1000Gi", "pods": "1000"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        }
        self._api.patch("Node", "", NODE, {"status": status}, part="status")

    def _handle(self, event: str, pod: Manifest) -> None:
        """Called by one thread: begin a pod's life, or tell it that it is deleted."""
        uid = pod["metadata"]["uid"]
        is_going = event == "DELETED" or "deletionTimestamp" in pod["metadata"]
        if uid in self._lives and is_going:
            self._lives[uid][0].delete()
        elif not is_going and uid not in self._lives:
            life = Life(pod, NODE, self._api, self._scripts, self._logs)
            thread = Thread(target=life.run, name=f"pod-{pod['metadata']['name']}", daemon=True)
            self._lives[uid] = (life, thread)
            thread.start()
        if event == "DELETED":
            self._lives.pop(uid, None)


class Scripted(AbstractContextManager["Scripted"]):
    """One script in force."""

    def __init__(self, scripts: Scripts, matches: Matcher, outcome: Outcome | Behaviour) -> None:
        self.take_back = scripts.add(matches, outcome)

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.take_back()
