"""The PodDisruptionBudget of a ModelDeployment: a node that is drained takes one of its servers at a time."""

from __future__ import annotations

from keelway.api.base import Manifest
from keelway.api.model_deployment import ModelDeployment
from keelway.manifests.metadata import child_metadata
from keelway.manifests.serving import ISVC_LABEL


def has_disruption_budget(deployment: ModelDeployment) -> bool:
    """Whether there is one: with a single replica it would keep every node from being drained, or mean nothing."""
    return deployment.spec.serving.min_replicas > 1


def disruption_budget(deployment: ModelDeployment, inference_service: str) -> Manifest:
    """The budget of the servers that have the traffic."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": child_metadata(deployment, deployment.name),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": {ISVC_LABEL: inference_service}},
            # A pod that is not ready serves nobody: it must not keep a node.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
