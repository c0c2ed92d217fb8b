"""What stays as it is while a model serves, what is put right, what shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from keelway.api.kinds import Key
from keelway.engine.objects import key_of
from tests.unit.lifecycle.builders import DEPLOYMENT, NAMESPACE, a_model_deployment, a_model_version, a_route
from tests.unit.lifecycle.scene import Scene, named, names, nothing
from tests.unit.lifecycle.servers import (
    a_server_pod,
    break_down,
    candidate,
    crashed,
    get_ready,
    live,
    play,
    refuse_route,
    remove_server,
    routed,
    selected,
    serving,
    starting,
)

V2 = Key("ModelVersion", NAMESPACE, "churn-v2")


OTHER_SERVERS: list[dict[str, Any]] = [
    {"runtime": "kserve-sklearnserver"},
    {"protocol": "v1"},
    {"resources": {"limits": {"memory": "1Gi"}}},
    {"serviceAccountName": "models"},
    {"minReplicas": 2, "maxReplicas": 2},
]


@pytest.mark.parametrize("change", OTHER_SERVERS, ids=str)
def test_another_way_to_serve_the_same_version_starts_beside_the_live_one(change: dict[str, Any]) -> None:
    scene = serving(1)
    before = live(scene)
    scene.change(DEPLOYMENT, serving=change)
    play(scene)
    assert len(scene.all("InferenceService")) == 2
    assert (live(scene), selected(scene)) == (before, before)
    get_ready(scene, candidate(scene), replicas=change.get("minReplicas", 1))
    play(scene)
    assert live(scene) != before


def test_more_replicas_are_an_edit_that_touches_no_metadata() -> None:
    scene = serving(1)
    before = scene.only("InferenceService")
    scene.change(DEPLOYMENT, serving={"minReplicas": 2, "maxReplicas": 5})
    play(scene)
    after = scene.only("InferenceService")
    assert after["spec"]["predictor"]["minReplicas"] == 2
    assert after["spec"]["predictor"]["maxReplicas"] == 5
    for part in ("labels", "annotations", "name"):
        assert after["metadata"][part] == before["metadata"][part]
    same = ("minReplicas", "maxReplicas")
    assert _but(after["spec"]["predictor"], *same) == _but(before["spec"]["predictor"], *same)


def _but(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


def test_suspended_keeps_what_serves_and_starts_nothing() -> None:
    scene = serving(1)
    before = live(scene)
    scene.change(DEPLOYMENT, suspend=True)
    scene.put(a_model_version(2))
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Ready Suspended"
    assert names(scene.all("InferenceService")) == [before]
    scene.change(DEPLOYMENT, suspend=False)
    play(scene)
    assert scene.status(DEPLOYMENT)["candidate"]["version"] == 2


def test_suspended_from_the_start_nothing_serves() -> None:
    scene = starting(suspend=True)
    assert scene.standing(DEPLOYMENT) == "- Suspended"
    assert scene.all("InferenceService") == []


WHILE: list[tuple[str, Callable[[Scene], Any]]] = [
    ("nothing else happens", nothing),
    ("another version starts", lambda scene: scene.put(a_model_version(2))),
    ("it is suspended", lambda scene: scene.change(DEPLOYMENT, suspend=True)),
    (
        "the spec asks for a version that is not there",
        lambda s: s.change(DEPLOYMENT, model={"name": "churn", "version": "8"}),
    ),
]


@pytest.mark.parametrize("meanwhile", named(WHILE))
def test_live_servers_service_and_route_that_somebody_deletes_come_back(meanwhile: Callable[[Scene], Any]) -> None:
    scene = serving(1, route=a_route())
    before = live(scene)
    meanwhile(scene)
    play(scene)
    remove_server(scene, before)
    scene.remove(key_of(scene.only("Service")))
    scene.remove(key_of(scene.only("HTTPRoute")))
    play(scene)
    assert before in names(scene.all("InferenceService"))
    assert (selected(scene), routed(scene)) == (before, {before: 100})


def test_traffic_objects_that_somebody_edits_are_put_right() -> None:
    scene = serving(1, route=a_route())
    service, route = scene.only("Service"), scene.only("HTTPRoute")
    scene.put({**service, "spec": {**service["spec"], "selector": {"app": "other"}}})
    scene.put({**route, "spec": {**route["spec"], "hostnames": ["other.example.com"]}})
    play(scene)
    assert selected(scene) == live(scene)
    assert scene.only("HTTPRoute")["spec"]["hostnames"] == ["churn.example.com"]


def test_a_live_server_that_breaks_down_shows_and_recovers() -> None:
    scene = serving(1)
    break_down(scene, live(scene))
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Reconciling ModelStarting"
    a_server_pod(scene, live(scene), containers=[crashed(137, "killed")])
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Stalled ModelLoadFailed"
    assert scene.message(DEPLOYMENT).startswith("live version 1: ")
    get_ready(scene, live(scene))
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Ready Serving"


def test_a_live_server_that_somebody_deletes_is_made_again_and_shows_until_it_is_ready() -> None:
    scene = serving(1)
    remove_server(scene, live(scene))
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Reconciling ModelStarting"
    get_ready(scene, live(scene))
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Ready Serving"


def test_a_refused_route_shows_with_the_gateways_words_and_recovers() -> None:
    scene = serving(1, route=a_route())
    refuse_route(scene, "no listener for churn.example.com")
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Stalled RouteNotAccepted"
    assert "NoMatchingParent: no listener for churn.example.com" in scene.message(DEPLOYMENT)
    scene.say(key_of(scene.only("HTTPRoute")), parents=[{"conditions": [{"type": "Accepted", "status": "True"}]}])
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Ready Serving"


FINE: list[dict[str, Any]] = [
    {"type": "PartiallyInvalid", "status": "False", "reason": "NothingWrong"},
    {"type": "Accepted", "status": "True", "reason": "Accepted"},
    {"type": "Accepted", "status": "Unknown", "reason": "Pending"},
    {"type": "Accepted", "status": "False", "reason": "NoMatchingParent", "observedGeneration": 0},
]


@pytest.mark.parametrize("condition", FINE, ids=lambda condition: f"{condition['type']}={condition['status']}")
def test_what_a_gateway_says_of_an_older_route_or_means_well_is_no_refusal(condition: dict[str, Any]) -> None:
    scene = serving(1, route=a_route())
    scene.say(key_of(scene.only("HTTPRoute")), parents=[{"conditions": [condition]}])
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Ready Serving"


def test_a_backend_that_the_gateway_does_not_find_shows() -> None:
    scene = serving(1, route=a_route())
    condition = {"type": "ResolvedRefs", "status": "False", "reason": "BackendNotFound", "observedGeneration": 1}
    scene.say(key_of(scene.only("HTTPRoute")), parents=[{"conditions": [condition]}])
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Stalled RouteNotAccepted"


def test_a_route_that_is_not_asked_for_any_more_goes() -> None:
    scene = serving(1, route=a_route())
    spec = {name: value for name, value in scene.get(DEPLOYMENT)["spec"].items() if name != "route"}
    scene.put({**scene.get(DEPLOYMENT), "spec": spec})
    play(scene)
    assert scene.all("HTTPRoute") == []
    assert scene.standing(DEPLOYMENT) == "Ready Serving"
    assert scene.status(DEPLOYMENT)["url"] == "http://churn.ml.svc.cluster.local/"


@pytest.mark.parametrize(("kind", "reason"), [("InferenceService", "KServeAbsent"), ("HTTPRoute", "GatewayApiAbsent")])
def test_what_the_cluster_does_not_know_is_waited_for(kind: str, reason: str) -> None:
    scene = Scene(a_model_deployment(route=a_route()), a_model_version(1))
    scene.store.set_served(kind, False)
    play(scene)
    assert scene.standing(DEPLOYMENT) == f"Reconciling {reason}"
    assert scene.all("InferenceService") == []
    scene.store.set_served(kind, True)
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Reconciling ModelStarting"


def test_without_a_route_the_gateway_api_is_not_needed() -> None:
    scene = Scene(a_model_deployment(), a_model_version(1))
    scene.store.set_served("HTTPRoute", False)
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Reconciling ModelStarting"


def test_a_leaving_deployment_begins_nothing() -> None:
    leaving = a_model_deployment()
    leaving["metadata"].update(deletionTimestamp="2026-03-01T12:00:00Z", finalizers=["keelway.dev/x"])
    plan = Scene(leaving, a_model_version(1)).decide(DEPLOYMENT)
    assert (plan.reason, plan.applies, plan.status) == ("leaving", (), None)


def test_the_history_is_bounded() -> None:
    scene = serving(1, rollout={"soak": "0s"})
    for number in range(2, 30):
        scene.put(a_model_version(number))
        play(scene)
        get_ready(scene, candidate(scene))
        play(scene)
    history = scene.status(DEPLOYMENT)["history"]
    assert len(history) == 20
    assert [line["version"] for line in history[:2]] == [29, 28]
    assert all(("to" in line) is (line["outcome"] == "Replaced") for line in history)


def test_a_model_version_says_whether_it_serves_did_or_waits() -> None:
    scene = Scene(a_model_deployment(), a_model_version(1))
    first = Key("ModelVersion", NAMESPACE, "churn-v1")
    play(scene)
    scene.settle()
    assert (scene.status(first)["state"], scene.status(first)["deployments"]) == ("Candidate", [])
    get_ready(scene, candidate(scene))
    scene.settle()
    assert (scene.status(first)["state"], scene.status(first)["deployments"]) == ("Live", ["churn"])
    assert scene.standing(first) == "Ready Ready"
    scene.put(a_model_version(2))
    play(scene)
    get_ready(scene, candidate(scene))
    scene.settle()
    assert (scene.status(first)["state"], scene.status(V2)["state"]) == ("Retired", "Live")
    scene.remove(DEPLOYMENT)
    scene.settle()
    assert (scene.status(first)["state"], scene.status(V2)["state"]) == ("Retired", "Retired")


def test_a_model_version_may_serve_in_several_places() -> None:
    scene = serving(1)
    scene.put(a_model_deployment("churn-eu"))
    other = Key("ModelDeployment", NAMESPACE, "churn-eu")
    play(scene, other)
    get_ready(scene, scene.status(other)["candidate"]["inferenceService"])
    scene.settle()
    first = Key("ModelVersion", NAMESPACE, "churn-v1")
    assert scene.status(first)["deployments"] == ["churn", "churn-eu"]
    scene.remove(other)
    scene.settle()
    assert (scene.status(first)["state"], scene.status(first)["deployments"]) == ("Live", ["churn"])
