"""What the comparison applies, and what it reads off the pods."""

import json
from typing import Any

import pytest

from dev.comparison import careful, plain
from dev.comparison.models import sound
from dev.comparison.servers import Server, in_words, servers
from tests.unit.dev_demo.crds import validator

Manifest = dict[str, Any]


def pod(of: str = "plain", version: str = "1", *, leaves: bool = False, **status: Any) -> Manifest:
    metadata: Manifest = {"labels": {"serving.kserve.io/inferenceservice": of}}
    if leaves:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    env = [{"name": "MODEL_VERSION", "value": version}]
    container = {"name": "kserve-container", "env": env}
    known = [{"name": "kserve-container", **status}] if status else []
    return {"metadata": metadata, "spec": {"containers": [container]}, "status": {"containerStatuses": known}}


class Pods:
    def __init__(self, *pods: Manifest) -> None:
        self.pods = pods

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        del arguments, input
        return json.dumps({"items": self.pods})


@pytest.mark.parametrize(
    "manifest",
    [
        careful.dataset("c", "lake"),
        careful.deployment("c", {}),
        careful.model_version("c", "models", sound(), 1),
    ],
    ids=lambda manifest: str(manifest["kind"]),
)
def test_what_is_applied_is_what_the_crds_take(manifest: Manifest) -> None:
    assert [error.message for error in validator(manifest["kind"]).iter_errors(manifest)] == []


def test_both_sides_serve_with_the_same_means() -> None:
    ours = careful.deployment("c", {})["spec"]["serving"]
    theirs = plain.inference_service("c", "models", sound(), 1)["spec"]["predictor"]
    assert theirs["model"]["resources"] == ours["resources"]
    assert theirs["maxReplicas"] == ours["maxReplicas"]
    assert theirs["serviceAccountName"] == ours["serviceAccountName"]


def test_both_sides_read_the_same_files() -> None:
    ours = careful.model_version("c", "models", sound(), 1)["spec"]["artifact"]["uri"]
    assert plain.inference_service("c", "models", sound(), 1)["spec"]["predictor"]["model"]["storageUri"] == ours


def test_pods_in_words() -> None:
    found = servers(
        Pods(
            pod(version="2", ready=False, restartCount=4, state={"waiting": {"reason": "CrashLoopBackOff"}}),
            pod(version="1", ready=True, restartCount=0, state={"running": {}}),
            pod(version="1", leaves=True, ready=True),
            pod(of="another", ready=True),
        ),
        "c",
        lambda name: name == "plain",
    )
    assert in_words(found) == "version 1 ready; version 2 CrashLoopBackOff, started 5 times"
    assert in_words([]) == "no server"


@pytest.mark.parametrize(
    ("server", "begun"),
    [
        (Server("2", "ready"), True),
        (Server("2", "Error", restarts=1), True),
        (Server("2", "ContainerCreating"), False),
    ],
    ids=str,
)
def test_a_version_has_begun_once_it_served_or_failed_to(server: Server, begun: bool) -> None:
    assert server.has_begun is begun
    assert Server.of(pod(version="2")) == Server("2", "not ready")
