"""What the comparison applies, and what it reads off the pods."""

import json
from typing import Any

import pytest
from obstore.store import MemoryStore

from dev.comparison import careful, plain
from dev.comparison.models import sound
from dev.comparison.servers import Server, in_words, servers
from dev.comparison.sides import ByKeelway, InPlace
from dev.errors import DevError
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
    """Answers kubectl with pods, or with one object of another kind."""

    def __init__(self, *pods: Manifest, **objects: Manifest) -> None:
        self.pods, self.objects = pods, objects

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        del input
        return json.dumps({"items": self.pods} if arguments[1] == "pods" else self.objects[arguments[1]])


def by_keelway(cluster: Pods) -> ByKeelway:
    return ByKeelway(cluster, "c", "models", "lake", {}, MemoryStore())


def deployment(live: int, **candidate: Any) -> Manifest:
    return {"metadata": {}, "status": {"live": {"version": live, "weight": 100}, "candidate": candidate}}


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


def test_in_place_the_broken_object_remains_whatever_it_says_of_itself() -> None:
    said = {"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    waiting: Manifest = {"ready": False, "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    side = InPlace(Pods(pod(version="2", **waiting), inferenceservice=said), "c", "models")
    assert side.has_met(2)
    assert side.remained(2) == (
        "the InferenceService asks for version 2 and says Ready=True; version 2 CrashLoopBackOff, started 3 times"
    )


@pytest.mark.parametrize(
    ("found", "met"),
    [
        (deployment(1, version=2, phase="Canary"), False),
        (deployment(1, version=2, phase="RolledBack"), True),
        (deployment(1, version=2, phase="Rejected"), True),
        (deployment(1, version=1, phase="Rejected"), False),
        (deployment(2), True),
    ],
    ids=["on its way", "rolled back", "rejected", "another one rejected", "live"],
)
def test_keelway_has_met_a_version_once_it_is_refused_or_live(found: Manifest, met: bool) -> None:
    assert by_keelway(Pods(modeldeployment=found)).has_met(2) is met


def test_of_keelway_the_refusal_remains() -> None:
    found = deployment(1, version=2, phase="Rejected", reason="GateFailed")
    served = pod("tumour-classifier-v1-0a1b2c3d", ready=True)
    side = by_keelway(Pods(served, pod("plain", version="2", ready=True), modeldeployment=found))
    assert side.remained(2) == "version 2 is Rejected, GateFailed; version 1 ready"
    side.put_back()


def test_a_bad_version_that_took_over_ends_the_comparison() -> None:
    with pytest.raises(DevError, match="version 1 should be live still"):
        by_keelway(Pods(modeldeployment=deployment(2))).put_back()
