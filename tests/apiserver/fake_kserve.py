"""What the operator can see of KServe in Standard mode: a Deployment for each InferenceService, and its conditions.

No server runs. Whether a model loads is up to the fake node: script its containers named `kserve-container`.
"""

from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from keelway.api.base import Manifest
from keelway.api.durations import to_timestamp
from tests.apiserver.api import Api, Follower, RefusedError
from tests.apiserver.pod_script import Container, Matcher

SERVER = "kserve-container"
SERVICE_LABEL = "serving.kserve.io/inferenceservice"
NOT_COPIED = ("kubectl.kubernetes.io/last-applied-configuration",)
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def serves(version: int, *, namespace: str) -> Matcher:
    """Matches the server container of one version of a model."""

    def matches(container: Container) -> bool:
        is_version = container.environment.get("MODEL_VERSION") == str(version)
        return container.name == SERVER and container.namespace == namespace and is_version

    return matches


class FakeKServe:
    """Follows InferenceServices and their Deployments."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._services = Follower(api, "InferenceService", self._make_deployment)
        self._deployments = Follower(api, "Deployment", self._tell_readiness, selector=SERVICE_LABEL)

    def __enter__(self) -> Self:
        self._services.start()
        self._deployments.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._services.stop()
        self._deployments.stop()

    def _make_deployment(self, event: str, service: Manifest) -> None:
        if event == "DELETED" or service["metadata"].get("deletionTimestamp"):
            return
        try:
            self._api.apply(_deployment(service), manager="kserve")
        except RefusedError as refused:
            if refused.code not in (403, 404, 409):
                raise

    def _tell_readiness(self, event: str, deployment: Manifest) -> None:
        if event == "DELETED" or deployment["metadata"].get("deletionTimestamp"):
            return
        metadata = deployment["metadata"]
        name = metadata["labels"][SERVICE_LABEL]
        try:
            self._api.patch("InferenceService", metadata["namespace"], name, _status(deployment), part="status")
        except RefusedError as refused:
            if refused.code != 404:
                raise


def _deployment(service: Manifest) -> Manifest:
    """KServe copies labels and annotations of the InferenceService and of its predictor to Deployment and pods."""
    metadata, predictor = service["metadata"], service["spec"]["predictor"]
    name = f"{metadata['name']}-predictor"
    labels = {
        **metadata.get("labels", {}),
        **predictor.get("labels", {}),
        "app": f"isvc.{name}",
        "component": "predictor",
        SERVICE_LABEL: metadata["name"],
    }
    copied = {key: value for key, value in metadata.get("annotations", {}).items() if key not in NOT_COPIED}
    annotations = {**copied, **predictor.get("annotations", {})}
    owner = {"apiVersion": service["apiVersion"], "kind": "InferenceService", "controller": True}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [{**owner, "name": metadata["name"], "uid": metadata["uid"]}],
        },
        "spec": {
            "replicas": predictor.get("minReplicas", 1),
            "selector": {"matchLabels": {"app": f"isvc.{name}"}},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": {"containers": [_server(predictor["model"])]},
            },
        },
    }


def _server(model: Manifest) -> Manifest:
    return {
        "name": SERVER,
        "image": "dev.local/model-server:1",
        "args": model.get("args", []),
        "env": model.get("env", []),
        "resources": model.get("resources", {}),
        "securityContext": RESTRICTED,
    }


def _status(deployment: Manifest) -> Manifest:
    conditions = deployment.get("status", {}).get("conditions", [])
    available = any(c["type"] == "Available" and c["status"] == "True" for c in conditions)
    now = to_timestamp(datetime.now(UTC))
    told = [
        {"type": type_, "status": str(available), "lastTransitionTime": now}
        for type_ in ("IngressReady", "PredictorReady", "Ready")
    ]
    return {"status": {"conditions": told, "observedGeneration": deployment["metadata"]["generation"]}}
