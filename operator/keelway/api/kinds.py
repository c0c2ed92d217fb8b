"""Every kind that Keelway reads or writes, and how the API server addresses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from keelway.api import GROUP, VERSION


class Key(NamedTuple):
    """Names one object of the store; `kind` is unique across groups for the kinds that Keelway knows."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Kind:
    """How the API server addresses a kind."""

    name: str
    group: str
    version: str
    plural: str
    selector: str = ""
    """Label selector of the list and watch; empty watches all of them."""

    @property
    def api_version(self) -> str:
        """`group/version`, or `version` alone for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version


MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED = f"{MANAGED_BY}=keelway"

OWN_KINDS = (
    Kind("Dataset", GROUP, VERSION, "datasets"),
    Kind("DatasetVersion", GROUP, VERSION, "datasetversions"),
    Kind("Experiment", GROUP, VERSION, "experiments"),
    Kind("ModelVersion", GROUP, VERSION, "modelversions"),
    Kind("ModelDeployment", GROUP, VERSION, "modeldeployments"),
)
CHILD_KINDS = (
    Kind("Job", "batch", "v1", "jobs", MANAGED),
    Kind("Pod", "", "v1", "pods", MANAGED),
    Kind("ConfigMap", "", "v1", "configmaps", MANAGED),
    Kind("Service", "", "v1", "services", MANAGED),
    Kind("Deployment", "apps", "v1", "deployments", MANAGED),
    Kind("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets", MANAGED),
    Kind("InferenceService", "serving.kserve.io", "v1beta1", "inferenceservices", MANAGED),
    Kind("HTTPRoute", "gateway.networking.k8s.io", "v1", "httproutes", MANAGED),
)
OPTIONAL_GROUPS = frozenset({"serving.kserve.io", "gateway.networking.k8s.io"})
"""Groups whose CRDs may be absent, or appear later."""

KINDS = {kind.name: kind for kind in (*OWN_KINDS, *CHILD_KINDS)}
