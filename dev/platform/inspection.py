"""What of the platform is up, asked of the cluster."""

import json
from typing import Any

from dev.cluster.status import Fact, deployment_fact
from dev.errors import DevError
from dev.platform.endpoints import GATEWAY_NAME, GATEWAY_NAMESPACE
from dev.platform.kubectl import Kubectl

DEPLOYMENTS = (
    ("kserve", "kserve-controller-manager"),
    (GATEWAY_NAMESPACE, "traefik"),
    ("storage", "s3"),
    ("monitoring", "prometheus"),
)


def status(cluster: Kubectl) -> list[Fact]:
    """Every part of the platform; those that are not installed are there too, as not up."""
    return [*(_deployment(cluster, *where) for where in DEPLOYMENTS), _gateway(cluster), _runtimes(cluster)]


def _deployment(cluster: Kubectl, namespace: str, name: str) -> Fact:
    found = _get(cluster, "deployment", name, f"-n{namespace}")
    return deployment_fact(found) if found else Fact(part=f"{namespace}/{name}", up=False, detail="not installed")


def _gateway(cluster: Kubectl) -> Fact:
    found = _get(cluster, "gateway", GATEWAY_NAME, f"-n{GATEWAY_NAMESPACE}")
    conditions = {item["type"]: item["status"] for item in found.get("status", {}).get("conditions", ())}
    programmed = conditions.get("Programmed", "Unknown")
    return Fact(part=f"Gateway {GATEWAY_NAME}", up=programmed == "True", detail=f"Programmed={programmed}")


def _runtimes(cluster: Kubectl) -> Fact:
    names = [item["metadata"]["name"] for item in _get(cluster, "clusterservingruntimes").get("items", ())]
    return Fact(part="model servers", up=bool(names), detail=", ".join(names) or "none")


def _get(cluster: Kubectl, *what: str) -> dict[str, Any]:
    """An object or a list; empty when it, or its kind, is not there."""
    try:
        answer = cluster.kubectl("get", *what, "--ignore-not-found", "--output=json")
    except DevError as error:
        if "doesn't have a resource type" not in str(error):
            raise
        return {}
    found: dict[str, Any] = json.loads(answer) if answer.strip() else {}
    return found
