"""The files in `examples/`, as they are but for the images (those that were just built), and where they are applied."""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from dev.images import BuiltImage
from dev.places import ROOT
from dev.platform.kubectl import Kubectl

Manifest = dict[str, Any]

PLACEHOLDER_TAG = ":example"


def example(name: str, images: Mapping[str, BuiltImage]) -> Manifest:
    """The object in `examples/NAME.yaml`; `dev.local/keelway-X:example` becomes the built image X."""
    text = (ROOT / "examples" / f"{name}.yaml").read_text()
    for image in images.values():
        repository = image.ref.rpartition(":")[0]
        text = text.replace(repository + PLACEHOLDER_TAG, image.ref)
    manifest: Manifest = yaml.safe_load(text)
    return manifest


def restricted_namespace(name: str) -> Manifest:
    """A namespace that refuses every pod which does not pass the PodSecurity standard `restricted`."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def apply(cluster: Kubectl, *manifests: Manifest) -> str:
    """`kubectl apply` as a user does it; gives kubectl's words. Raises DevError with the API server's refusal."""
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
    return cluster.kubectl("apply", "-f-", input=items)
