"""Applying objects to the cluster, and waiting for what they start."""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from string import Template
from typing import Any, Protocol

import yaml

from dev.errors import DevError

MANIFESTS = Path(__file__).parent / "manifests"
FIELD_MANAGER = "keelway-dev"
CONFIGURATION = "keelway.dev/configuration"
"""Annotation of pod templates with a hash of what the pods read when they start."""
PASSING = ("failed calling webhook", "connection refused", "no endpoints available", "no matches for kind")
"""What the API server says while a Service's rules or a CRD's endpoint are still being written."""

Manifest = dict[str, Any]


class Kubectl(Protocol):
    """What runs kubectl against one cluster."""

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        """Standard output. Raises DevError when kubectl fails."""


class LoadingKubectl(Kubectl, Protocol):
    """What also gets images into the cluster's nodes."""

    def load(self, archives: Iterable[Path], /) -> None:
        """Load image archives; those that are there already cost nothing."""


def manifests(name: str, **values: str | int) -> list[Manifest]:
    """The objects of `manifests/NAME.yaml`, with `values` in the places of their `$names`."""
    text = Template((MANIFESTS / f"{name}.yaml").read_text()).substitute(values)
    return list(yaml.safe_load_all(text))


def apply(cluster: Kubectl, objects: Iterable[Manifest]) -> None:
    """Make the cluster's objects be as given: the fields that are named here, no others."""
    apply_text(cluster, json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def apply_text(cluster: Kubectl, text: str) -> None:
    """Same, for YAML or JSON."""
    cluster.kubectl(
        "apply", "--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}", "-f-", input=text
    )


def apply_patiently(cluster: Kubectl, objects: Iterable[Manifest], *, seconds: float = 60) -> None:
    """Same, but tries again while the webhooks that have to admit the objects do not answer yet."""
    wanted, deadline = list(objects), time.monotonic() + seconds
    while True:
        try:
            return apply(cluster, wanted)
        except DevError as error:
            if time.monotonic() > deadline or not any(sign in str(error) for sign in PASSING):
                raise
        time.sleep(0.5)


def wait_for_deployments(cluster: Kubectl, objects: Iterable[Manifest], *, seconds: int = 120) -> None:
    """Wait until every Deployment among the objects runs as last applied. Raises DevError with what its pods say."""
    for item in objects:
        if item["kind"] == "Deployment":
            name, namespace = item["metadata"]["name"], item["metadata"]["namespace"]
            try:
                cluster.kubectl("rollout", "status", f"deploy/{name}", f"-n{namespace}", f"--timeout={seconds}s")
            except DevError as error:
                pods = cluster.kubectl("describe", "pods", f"-n{namespace}")
                raise DevError(f"{error}\n{pods[-2000:]}") from None
