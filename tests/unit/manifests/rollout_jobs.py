"""A ModelDeployment and its model, and what holds for each of its Jobs."""

from __future__ import annotations

from typing import Any

from keelway.api.base import Manifest
from keelway.api.model_deployment import ModelDeployment
from keelway.api.model_version import ModelVersion
from keelway.api.resource import Access
from tests.unit.lifecycle.builders import SHA, a_model_deployment, a_model_version
from tests.unit.manifests.pod_security import violations
from tests.unit.manifests.pods_of_jobs import pod

ATTEMPT = "0123456789ab"
DIGEST = f"sha256:{SHA}"
BUCKET = Access.model_validate(
    {
        "endpoint": "http://minio:9000",
        "region": "eu",
        "secretRef": {"name": "models"},
        "serviceAccountName": "model-reader",
    }
)
SCHEDULING: Manifest = {"nodeSelector": {"zone": "a"}, "tolerations": [{"key": "serving", "operator": "Exists"}]}
LONGEST_NAME = "a" * 253


def deployment(name: str = "churn", **spec: Any) -> ModelDeployment:
    manifest = a_model_deployment(name, **{"serving": {"scheduling": SCHEDULING}, **spec})
    manifest["metadata"]["uid"] = "u-1"
    return ModelDeployment.model_validate(manifest)


def model(number: int = 4, *, uri: str = "", uid: str = "u-4") -> ModelVersion:
    """A version of the model, with the digest DIGEST."""
    manifest = a_model_version(number)
    manifest["metadata"]["uid"] = uid
    if uri:
        manifest["spec"]["artifact"]["uri"] = uri
    return ModelVersion.model_validate(manifest)


def check_job(made: Manifest) -> None:
    """What every Job keeps to: one run, no token, `restricted`, whose it is, names that Kubernetes takes."""
    spec = made["spec"]
    assert (spec["completions"], spec["parallelism"], spec["backoffLimit"]) == (1, 1, 0)
    assert spec["podFailurePolicy"]["rules"][0]["action"] == "Ignore", "disruptions do not count"
    assert pod(made)["restartPolicy"] == "Never"
    assert pod(made)["automountServiceAccountToken"] is False
    assert violations(pod(made)) == []
    assert len(made["metadata"]["name"]) <= 52
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("ModelDeployment", "u-1", True)
    for metadata in (made["metadata"], spec["template"]["metadata"]):
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "keelway"
        assert metadata["annotations"]["keelway.dev/for"] == f"ModelDeployment/{owner['name']}"
    check_volumes(pod(made))


def check_volumes(spec: Manifest) -> None:
    """Every mount has its volume, every volume its name and its claim for itself, every path is mounted once."""
    names = [volume["name"] for volume in spec["volumes"]]
    claims = [one["persistentVolumeClaim"]["claimName"] for one in spec["volumes"] if "persistentVolumeClaim" in one]
    assert len(names) == len(set(names))
    assert len(claims) == len(set(claims))
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        mounts = container.get("volumeMounts", [])
        assert {mount["name"] for mount in mounts} <= set(names)
        assert len({mount["mountPath"] for mount in mounts}) == len(mounts)
