"""What stands around the servers: a transformer in front of them, a budget for those that are drained with a node."""

from __future__ import annotations

import copy
from typing import Any

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from tests.unit.lifecycle.builders import DEPLOYMENT, NAMESPACE, a_model_version, a_route
from tests.unit.lifecycle.scene import Scene
from tests.unit.lifecycle.servers import candidate, get_ready, live, play, selected, serving, starting

TRANSFORMER: Manifest = {"transformer": {"image": "registry.example.com/transform:1"}}
BUDGET = Key("PodDisruptionBudget", NAMESPACE, DEPLOYMENT.name)


def transformer_gets_ready(scene: Scene, name: str, **status: Any) -> None:
    """KServe makes the transformer's Deployment as it made the predictor's."""
    made = copy.deepcopy(scene.get(Key("Deployment", NAMESPACE, f"{name}-predictor")))
    key = Key("Deployment", NAMESPACE, f"{name}-transformer")
    said = made.pop("status")
    made["metadata"] = {
        field: value for field, value in made["metadata"].items() if field in ("namespace", "labels", "annotations")
    }
    made["metadata"]["name"] = key.name
    scene.put(made)
    generation = scene.get(key)["metadata"]["generation"]
    scene.say(key, **{**said, "observedGeneration": generation, **status})


def entries(scene: Scene) -> list[str]:
    """Services that the route goes to."""
    route = scene.get(Key("HTTPRoute", NAMESPACE, DEPLOYMENT.name))
    return [backend["name"] for backend in route["spec"]["rules"][-1]["backendRefs"]]


def test_a_model_is_live_only_when_its_transformer_is_ready_too() -> None:
    scene = starting(1, serving=TRANSFORMER, route=a_route())
    name = candidate(scene)
    get_ready(scene, name)
    play(scene)
    assert "live" not in scene.status(DEPLOYMENT)
    assert "transformer" in str(scene.status(DEPLOYMENT)["conditions"])
    transformer_gets_ready(scene, name)
    play(scene)
    assert live(scene) == name
    assert entries(scene) == [f"{name}-transformer"]
    service = scene.get(Key("Service", NAMESPACE, DEPLOYMENT.name))
    assert service["spec"]["selector"]["component"] == "transformer"


def test_a_transformer_without_replicas_is_not_ready() -> None:
    scene = starting(1, serving=TRANSFORMER)
    get_ready(scene, candidate(scene))
    transformer_gets_ready(scene, candidate(scene), availableReplicas=0)
    play(scene)
    assert "live" not in scene.status(DEPLOYMENT)


def test_what_serves_keeps_its_entry_while_a_transformer_is_asked_for() -> None:
    scene = serving(1, route=a_route())
    before = live(scene)
    scene.change(DEPLOYMENT, serving=TRANSFORMER)
    play(scene)
    assert candidate(scene) != before
    assert f"{before}-predictor" in entries(scene)
    assert f"{before}-transformer" not in entries(scene)


def test_several_replicas_have_a_budget_that_follows_the_traffic() -> None:
    scene = starting(1, serving={"minReplicas": 2, "maxReplicas": 4})
    get_ready(scene, candidate(scene), replicas=2)
    play(scene)
    assert scene.get(BUDGET)["spec"]["maxUnavailable"] == 1
    first = live(scene)
    scene.put(a_model_version(2))
    play(scene)
    get_ready(scene, candidate(scene), replicas=2)
    play(scene)
    assert live(scene) != first
    guarded = scene.get(BUDGET)["spec"]["selector"]["matchLabels"]
    assert guarded == {"serving.kserve.io/inferenceservice": live(scene)}
    assert selected(scene) == live(scene)


def test_a_single_replica_has_no_budget_and_loses_the_one_it_had() -> None:
    scene = serving(1)
    assert scene.all("PodDisruptionBudget") == []
    scene.change(DEPLOYMENT, serving={"minReplicas": 2, "maxReplicas": 4})
    play(scene)
    assert scene.get(BUDGET)["metadata"]["ownerReferences"][0]["kind"] == "ModelDeployment"
    scene.change(DEPLOYMENT, serving={"minReplicas": 1, "maxReplicas": 4})
    play(scene)
    assert scene.all("PodDisruptionBudget") == []
