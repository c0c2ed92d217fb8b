"""KServe's controller, the Deployment controller and a gateway in a few lines: what is asked for gets ready, or not."""

from __future__ import annotations

import copy

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

    def heard(self, happened: Happened) -> None:
        """Somebody asks for servers, for more of them, or for a route."""
        kind = happened.manifest["kind"]
        if kind == "InferenceService" and happened.type == "DELETED":
            self.proved.discard(happened.manifest["metadata"]["name"])
        elif kind == "InferenceService" and happened.manifest.get("status") is None:
            later(REACTION_SECONDS, self._deploy, happened.manifest)
        elif kind == "HTTPRoute" and happened.type == "ADDED":
            later(self._fates.slow_gateway, self._accept, happened.manifest)

    def _deploy(self, server: Manifest) -> None:
        if not self._is_there(server):
            return
        deployment = self._api.put(_deployment(server))
        fate = self._fates.of_server(_model_version(server))
        self._api.put(_pod(server, deployment))
        self._say(server, {"conditions": [{"type": "Ready", "status": "False"}]})
        later(fate.seconds, self._load, server, fate)

    def _load(self, server: Manifest, fate: ServerFate) -> None:
        if not self._is_there(server):
            return
        name, pod = server["metadata"]["name"], _pod_key(server)
        if not fate.loads:
            self._api.set_status(pod, {"phase": "Running", "containerStatuses": [_crashed()]})
            return
        self._api.set_status(pod, {"phase": "Running"})
        key = Key("Deployment", server["metadata"]["namespace"], f"{name}-predictor")
        replicas = self._api.read(key)["spec"]["replicas"]
        counts = {"replicas": replicas, "updatedReplicas": replicas, "availableReplicas": replicas}
        self._api.set_status(key, {"observedGeneration": self._api.read(key)["metadata"]["generation"], **counts})
        self.proved.add(name)
        self._say(server, {"conditions": [{"type": "Ready", "status": "True"}]})

    def break_down(self, name: str, namespace: str) -> None:
        """A server that was ready loses its pods for good."""
        key = Key("Deployment", namespace, f"{name}-predictor")
        status = self._api.read(key)["status"]
        self.proved.discard(name)
        self._api.set_status(key, {**status, "availableReplicas": 0})

    def _accept(self, route: Manifest) -> None:
        if self._is_there(route):
            accepted = {"type": "Accepted", "status": "True", "reason": "Accepted"}
            self._api.set_status(key_of(route), {"parents": [{"conditions": [accepted]}]})

    def _say(self, server: Manifest, status: Manifest) -> None:
        self._api.set_status(key_of(server), status)

    def _is_there(self, manifest: Manifest) -> bool:
        stored = self._api.objects.get(key_of(manifest))
        return stored is not None and uid_of(stored.manifest) == uid_of(manifest)


def _model_version(server: Manifest) -> int:
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
