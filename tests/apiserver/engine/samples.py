"""Objects as a decision would state them."""

from __future__ import annotations

from typing import Any

from keelway.api.base import Manifest
from keelway.api.kinds import KINDS, MANAGED_BY
from tests.apiserver.fake_kserve import RESTRICTED


def stated(kind: str, namespace: str, name: str, *, owner: Manifest | None = None, **content: Any) -> Manifest:
    """A labelled object, controlled by `owner`."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": {MANAGED_BY: "keelway"}}
    if owner:
        names = {field: owner["metadata"][field] for field in ("name", "uid")}
        reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], **names, "controller": True}
        metadata["ownerReferences"] = [reference]
    return {"apiVersion": KINDS[kind].api_version, "kind": kind, "metadata": metadata, **content}


def dataset(namespace: str, name: str = "churn") -> Manifest:
    """A Dataset as a person writes it."""
    given = stated("Dataset", namespace, name, spec={"source": {"uri": "s3://lake/churn/"}})
    del given["metadata"]["labels"]
    return given


def job(namespace: str, name: str, *, owner: Manifest | None = None) -> Manifest:
    """A Job of one container."""
    container = {"name": "main", "image": "dev.local/x:1", "securityContext": RESTRICTED}
    pod = {"restartPolicy": "Never", "containers": [container]}
    template = {"metadata": {"labels": {MANAGED_BY: "keelway"}}, "spec": pod}
    return stated("Job", namespace, name, owner=owner, spec={"backoffLimit": 0, "template": template})


APPLIED: dict[str, dict[str, Any]] = {
    "ConfigMap": {"data": {"a": "1", "b": ""}},
    "Service": {
        "spec": {
            "selector": {"app": "x"},
            "ports": [
                {"name": "http", "port": 80, "targetPort": 8080},
                {"name": "grpc", "port": 81, "targetPort": "grpc"},
            ],
        }
    },
    "HTTPRoute": {
        "spec": {
            "parentRefs": [{"name": "public", "namespace": "infra"}],
            "hostnames": ["churn.example.com"],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                    "backendRefs": [{"name": "a", "port": 80, "weight": 90}, {"name": "b", "port": 80, "weight": 0}],
                }
            ],
        }
    },
    "InferenceService": {
        "spec": {
            "predictor": {
                "minReplicas": 1,
                "annotations": {"keelway.dev/revision": "1"},
                "model": {
                    "modelFormat": {"name": "sklearn"},
                    "storageUri": "s3://models/churn/1",
                    "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
                },
            }
        }
    },
}
"""Content of every kind that is applied, with what servers default, keep apart by keys, or leave out."""
