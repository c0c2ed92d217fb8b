"""KServe's controller, the Deployment controller and a gateway in a few lines: what is asked for gets ready, or not."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.engine.objects import key_of, uid_of
from keelway.manifests.serving import ISVC_LABEL
from tests.property.engine.memory_api import Happened
from tests.property.lifecycle.cluster_api import ClusterApi
from tests.property.lifecycle.fates import Fates, ServerFate
from tests.property.lifecycle.job_controller import later

REACTION_SECONDS = 1.0


class KServe:
    """Makes a Deployment with pods of each InferenceService, and accepts routes."""

    def __init__(self, api: ClusterApi, fates: Fates) -> None:
        self._api = api
        self._fates = fates
        self.proved: set[str] = set()
        """InferenceServices whose model is loaded now, in all replicas."""
        self.answering: set[str] = set()
        """InferenceServices of which at least one replica answers now."""
        self.lost: dict[tuple[str, str], float] = {}
        """("proved" or "answering", InferenceService) to when it last ceased to be that."""
        self._crashed: set[str] = set()
        self._generations: dict[str, int] = {}

    def heard(self, happened: Happened) -> None:
        """Somebody asks for servers, for other ones, or for a route."""
        manifest, kind = happened.manifest, happened.manifest["kind"]
        if kind == "InferenceService" and happened.type == "DELETED":
            self._gone(manifest["metadata"]["name"])
        elif kind == "InferenceService":
            self._asked(manifest, self._deploy if manifest.get("status") is None else self._roll)
        elif kind == "HTTPRoute" and happened.type != "DELETED":
            self._tried(manifest)
            if happened.type == "ADDED":
                later(self._fates.slow_gateway, self._accept, manifest)

    def was(self, what: str, name: str, within: float) -> bool:
        """Whether servers are "proved", or "answering", or were so many seconds ago."""
        if name in (self.proved if what == "proved" else self.answering):
            return True
        lost = self.lost.get((what, name))
        return lost is not None and asyncio.get_running_loop().time() - lost <= within

    def _asked(self, server: Manifest, action: Callable[[Manifest], None]) -> None:
        uid, generation = uid_of(server), server["metadata"]["generation"]
        if self._generations.get(uid) != generation:
            self._generations[uid] = generation
            later(REACTION_SECONDS, action, server)

    def _deploy(self, server: Manifest) -> None:
        if not self._is_there(server):
            return
        server = self._api.read(key_of(server))
        deployment = self._api.put(_deployment(server))
        fate = self._fates.of_server(model_version(server))
        self._api.put(_pod(server, deployment))
        self._say(server, {"conditions": [{"type": "Ready", "status": "False"}]})
        later(fate.seconds, self._load, server, fate)

    def _roll(self, server: Manifest) -> None:
        """New pods first, then the old ones go: what answers goes on to answer."""
        if not self._is_there(server):
            return
        before = self._api.objects.get(_deployment_key(server))
        old = before.manifest["spec"] if before else None
        server = self._api.read(key_of(server))
        if self._api.put(_deployment(server))["spec"] == old:
            return
        self._lose("proved", server["metadata"]["name"])
        fate = self._fates.of_server(model_version(server))
        later(fate.seconds, self._load, server, fate)

    def _load(self, server: Manifest, fate: ServerFate) -> None:
        name, pod = server["metadata"]["name"], _pod_key(server)
        if not self._is_there(server) or not {pod, _deployment_key(server)} <= set(self._api.objects):
            return
        if not fate.loads or name in self._crashed:
            self._api.set_status(pod, {"phase": "Running", "containerStatuses": [_crashed()]})
            return
        key = _deployment_key(server)
        self._api.set_status(pod, {"phase": "Running"})
        replicas = self._api.read(key)["spec"]["replicas"]
        counts = {"replicas": replicas, "updatedReplicas": replicas, "availableReplicas": replicas}
        self.proved.add(name)
        self.answering.add(name)
        self._api.set_status(key, {"observedGeneration": self._api.read(key)["metadata"]["generation"], **counts})
        self._say(server, {"conditions": [{"type": "Ready", "status": "True"}]})

    def break_down(self, name: str, namespace: str) -> None:
        """A server that was ready loses its pods, until somebody repairs it."""
        key = Key("Deployment", namespace, f"{name}-predictor")
        if name in self.answering and key in self._api.objects:
            self._lose("proved", name)
            self._lose("answering", name)
            self._api.set_status(key, {**self._api.read(key)["status"], "availableReplicas": 0})

    def repair(self, name: str, namespace: str) -> None:
        """The pods that a server lost come back."""
        stored = self._api.objects.get(Key("InferenceService", namespace, name))
        if stored and name not in self.answering and stored.manifest.get("status"):
            self._load(stored.manifest, self._fates.of_server(model_version(stored.manifest)))

    def _tried(self, route: Manifest) -> None:
        """Traffic comes: some servers do not bear it."""
        backends = [backend for rule in route["spec"]["rules"] for backend in rule["backendRefs"] if backend["weight"]]
        namespace = route["metadata"]["namespace"]
        for name in {backend["name"].removesuffix("-predictor") for backend in backends}:
            stored = self._api.objects.get(Key("InferenceService", namespace, name))
            after = self._fates.of_server(model_version(stored.manifest)).crashes_after if stored else None
            if stored and after is not None:
                later(after, self._crash, stored.manifest)

    def _crash(self, server: Manifest) -> None:
        name = server["metadata"]["name"]
        if not self._is_there(server) or name in self._crashed:
            return
        self._crashed.add(name)
        if _pod_key(server) in self._api.objects:
            self._api.set_status(_pod_key(server), {"phase": "Running", "containerStatuses": [_crashed()]})
        self.break_down(name, server["metadata"]["namespace"])
        self._say(server, {"conditions": [{"type": "Ready", "status": "False"}]})

    def _gone(self, name: str) -> None:
        self._crashed.discard(name)
        self._lose("proved", name)
        self._lose("answering", name)

    def _lose(self, what: str, name: str) -> None:
        holders = self.proved if what == "proved" else self.answering
        if name in holders:
            holders.discard(name)
            self.lost[what, name] = asyncio.get_running_loop().time()

    def _accept(self, route: Manifest) -> None:
        if self._is_there(route):
            accepted = {"type": "Accepted", "status": "True", "reason": "Accepted"}
            self._api.set_status(key_of(route), {"parents": [{"conditions": [accepted]}]})

    def _say(self, server: Manifest, status: Manifest) -> None:
        self._api.set_status(key_of(server), status)

    def _is_there(self, manifest: Manifest) -> bool:
        stored = self._api.objects.get(key_of(manifest))
        return stored is not None and uid_of(stored.manifest) == uid_of(manifest)


def _deployment_key(server: Manifest) -> Key:
    return Key("Deployment", server["metadata"]["namespace"], f"{server['metadata']['name']}-predictor")


def model_version(server: Manifest) -> int:
    """The version of the model that these servers serve."""
    variables = server["spec"]["predictor"]["model"]["env"]
    return int(next(variable["value"] for variable in variables if variable["name"] == "MODEL_VERSION"))


def _copied(server: Manifest) -> Manifest:
    """Labels and annotations as KServe copies them to everything below an InferenceService."""
    metadata, predictor = server["metadata"], server["spec"]["predictor"]
    labels = {**metadata["labels"], **predictor["labels"], ISVC_LABEL: metadata["name"], "component": "predictor"}
    return {"labels": labels, "annotations": {**metadata["annotations"], **predictor["annotations"]}}


def _deployment(server: Manifest) -> Manifest:
    metadata = server["metadata"]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            **_copied(server),
            "name": f"{metadata['name']}-predictor",
            "namespace": metadata["namespace"],
            "ownerReferences": [_owner(server)],
        },
        "spec": {
            "replicas": server["spec"]["predictor"]["minReplicas"],
            "template": {"metadata": copy.deepcopy(_copied(server))},
        },
    }


def _pod(server: Manifest, deployment: Manifest) -> Manifest:
    metadata = {**_copied(server), "ownerReferences": [_owner(deployment)]}
    key = _pod_key(server)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**metadata, "name": key.name, "namespace": key.namespace},
        "spec": {},
    }


def _pod_key(server: Manifest) -> Key:
    return Key("Pod", server["metadata"]["namespace"], f"{server['metadata']['name']}-predictor-0")


def _owner(manifest: Manifest) -> Manifest:
    return {
        "apiVersion": manifest["apiVersion"],
        "kind": manifest["kind"],
        "name": manifest["metadata"]["name"],
        "uid": uid_of(manifest),
        "controller": True,
    }


def _crashed() -> Manifest:
    ended = {"exitCode": 1, "reason": "Error", "message": "ValueError: cannot unpickle"}
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s"}
    return {
        "name": "kserve-container",
        "restartCount": 2,
        "state": {"waiting": waiting},
        "lastState": {"terminated": ended},
    }
