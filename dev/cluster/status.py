"""What of the local cluster is up, as rows of a table."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dev.cluster.cluster import Cluster


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One part of the cluster."""

    part: str
    up: bool
    detail: str


def facts(cluster: Cluster) -> list[Fact]:
    """Engine, API server, nodes, DNS and platform; what lies behind something that is down is left out."""
    engine = Fact(part="engine", up=cluster.engine.running(), detail=cluster.engine.title)
    if not engine.up:
        return [engine]
    api = Fact(part="API server", up=cluster.running(), detail=str(cluster.kubeconfig))
    return [engine, api, *_objects(cluster)] if api.up else [engine, api]


def _objects(cluster: Cluster) -> Iterator[Fact]:
    for node in _get(cluster, "nodes"):
        yield node_fact(node)
    for deployment in _get(cluster, "deployments", "--namespace=kube-system"):
        yield deployment_fact(deployment)
    yield from _platform(cluster)


def _platform(cluster: Cluster) -> list[Fact]:
    """The add-ons; none where none was ever installed."""
    from dev.platform import status

    parts = status(cluster)
    return parts if any(part.up for part in parts) else []


def node_fact(node: dict[str, Any]) -> Fact:
    """Whether a Node is Ready."""
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in node["status"]["conditions"])
    info = node["status"]["nodeInfo"]
    detail = f"{info['kubeletVersion']}, {info['containerRuntimeVersion']}"
    return Fact(part=f"node {node['metadata']['name']}", up=ready, detail=detail)


def deployment_fact(deployment: dict[str, Any]) -> Fact:
    """Whether a Deployment has all of its pods ready."""
    wanted, ready = deployment["spec"]["replicas"], deployment["status"].get("readyReplicas", 0)
    name = f"{deployment['metadata']['namespace']}/{deployment['metadata']['name']}"
    return Fact(part=name, up=ready >= wanted, detail=f"{ready} of {wanted} pods ready")


def _get(cluster: Cluster, *what: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(cluster.kubectl("get", *what, "--output=json"))["items"]
    return items
