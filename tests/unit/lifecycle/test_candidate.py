"""Which version should serve, and when it may take the traffic."""

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
    candidate,
    crashed,
    deploy,
    get_ready,
    live,
    play,
    replacing,
    routed,
    selected,
    serving,
    starting,
)

V2 = Key("ModelVersion", NAMESPACE, "churn-v2")


def test_it_waits_for_a_version_then_starts_it_then_serves_it() -> None:
    scene = Scene(a_model_deployment())
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Reconciling NoModelVersion"
    scene.put(a_model_version(1))
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Reconciling ModelStarting"
    assert scene.all("Service") == [], "nothing to send requests to yet"
    get_ready(scene, candidate(scene))
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Ready Serving"
    assert scene.status(DEPLOYMENT)["live"]["version"] == 1
    assert "candidate" not in scene.status(DEPLOYMENT)
    assert scene.status(DEPLOYMENT)["url"] == "http://churn.ml.svc.cluster.local/"
    assert selected(scene) == live(scene)
    assert scene.told() == ["Verifying", "CandidateStarting", "Promoted"]


def test_the_route_gets_all_the_traffic_and_names_the_url() -> None:
    scene = serving(route=a_route(path="/v1"))
    assert routed(scene) == {live(scene): 100}
    assert scene.status(DEPLOYMENT)["url"] == "http://churn.example.com/v1"
    route = scene.only("HTTPRoute")["spec"]
    assert route["parentRefs"] == [{"name": "public", "namespace": "infra"}]
    assert route["hostnames"] == ["churn.example.com"]


def _server(name: str) -> Key:
    return Key("InferenceService", NAMESPACE, name)


def _of_another_revision(scene: Scene, name: str) -> None:
    get_ready(scene, name, revision="other")


def _kserve_says(*conditions: dict[str, Any]) -> Callable[[Scene, str], None]:
    def happens(scene: Scene, name: str) -> None:
        get_ready(scene, name)
        scene.say(_server(name), conditions=list(conditions))

    return happens


UNPROVED: list[tuple[str, Callable[[Scene, str], Any]]] = [
    ("there is no Deployment", nothing),
    ("the Deployment is of another revision", _of_another_revision),
    ("the newest generation was not seen", lambda s, name: get_ready(s, name, observedGeneration=0)),
    ("not every replica is updated", lambda s, name: get_ready(s, name, replicas=2, updatedReplicas=1)),
    ("not every replica is available", lambda s, name: get_ready(s, name, replicas=2, availableReplicas=1)),
    ("nothing is available", lambda s, name: get_ready(s, name, availableReplicas=0)),
    ("KServe has not said Ready", _kserve_says()),
    ("KServe says not Ready", _kserve_says({"type": "Ready", "status": "False"})),
]


@pytest.mark.parametrize("happens", named(UNPROVED))
def test_a_version_that_is_not_proved_ready_gets_no_traffic(happens: Callable[[Scene, str], Any]) -> None:
    scene = replacing(route=a_route(), rollout={"steps": []})
    before, wanted = live(scene), candidate(scene)
    happens(scene, wanted)
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Reconciling ModelStarting"
    assert (live(scene), selected(scene), routed(scene)) == (before, before, {before: 100})
    assert scene.status(DEPLOYMENT)["candidate"]["weight"] == 0
    get_ready(scene, wanted)
    play(scene)
    assert (selected(scene), routed(scene)) == (wanted, {wanted: 100})


def _fails(scene: Scene, name: str, reason: str, message: str = "") -> None:
    failure = {"reason": reason, "message": message}
    scene.say(_server(name), modelStatus={"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": failure})
    deploy(scene, name)


def _waits(reason: str) -> dict[str, Any]:
    return {"name": "kserve-container", "image": "x", "state": {"waiting": {"reason": reason, "message": "oh"}}}


FAILURES: list[tuple[str, Callable[[Scene, str], Any], str]] = [
    ("the server crashes", lambda s, n: a_server_pod(s, n, containers=[crashed()]), "ModelLoadFailed"),
    (
        "the server has ended just now",
        lambda s, n: a_server_pod(s, n, containers=[{"name": "c", "state": {"terminated": {"exitCode": 1}}}]),
        "ModelLoadFailed",
    ),
    ("the image is missing", lambda s, n: a_server_pod(s, n, containers=[_waits("ErrImagePull")]), "ImagePullFailed"),
    (
        "a secret is missing",
        lambda s, n: a_server_pod(s, n, containers=[_waits("CreateContainerConfigError")]),
        "PodConfigInvalid",
    ),
    ("the model cannot be loaded", lambda s, n: _fails(s, n, "ModelLoadFailed", "no such file"), "ModelLoadFailed"),
    ("no runtime knows the format", lambda s, n: _fails(s, n, "NoSupportingRuntime"), "RuntimeNotFound"),
    ("the runtime is not there", lambda s, n: _fails(s, n, "RuntimeNotRecognized"), "RuntimeNotFound"),
    ("the runtime is switched off", lambda s, n: _fails(s, n, "RuntimeDisabled"), "RuntimeNotFound"),
]


@pytest.mark.parametrize(("happens", "reason"), named(FAILURES))
def test_a_version_that_does_not_load_says_why_while_the_one_before_serves(
    happens: Callable[[Scene, str], Any], reason: str
) -> None:
    scene = replacing()
    before, wanted = live(scene), candidate(scene)
    happens(scene, wanted)
    play(scene)
    assert scene.standing(DEPLOYMENT) == f"Stalled {reason}"
    assert scene.message(DEPLOYMENT).endswith("version 1 keeps serving")
    assert scene.condition(DEPLOYMENT, "Progressing")["status"] == "False"
    assert scene.status(DEPLOYMENT)["candidate"]["phase"] == "Failed"
    assert (live(scene), selected(scene)) == (before, before)
    assert scene.told() == ["Verifying", "CandidateStarting", "CandidateFailed"]
    for pod in scene.all("Pod"):
        scene.remove(key_of(pod))
    get_ready(scene, wanted)
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Ready Serving", "mended, it goes on by itself"
    assert selected(scene) == wanted


def test_the_last_words_of_a_server_are_passed_on() -> None:
    scene = starting()
    a_server_pod(scene, candidate(scene), containers=[crashed(message="x" * 3000 + " KeyError: 'coef_'")])
    play(scene)
    assert scene.message(DEPLOYMENT).endswith("KeyError: 'coef_'")
    assert len(scene.message(DEPLOYMENT)) < 700


def test_a_crashed_pod_on_its_way_out_is_not_held_against_a_version() -> None:
    scene = starting()
    a_server_pod(scene, candidate(scene), containers=[crashed()], deletionTimestamp="2026-03-01T12:00:00Z")
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Reconciling ModelStarting"


def test_a_version_that_is_not_ready_in_time_needs_help_and_may_still_come() -> None:
    scene = starting(rollout={"progressDeadline": "5m"})
    assert scene.decide(DEPLOYMENT).look_again_after == 300
    scene.wait(299)
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Reconciling ModelStarting"
    assert scene.decide(DEPLOYMENT).look_again_after == 1
    scene.wait(1)
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Stalled TimedOut"
    assert scene.told()[-1] == "CandidateFailed"
    get_ready(scene, candidate(scene))
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Ready Serving"


def test_the_version_before_stays_ready_for_its_soak_and_goes_then() -> None:
    scene = replacing(rollout={"soak": "2m"})
    before = live(scene)
    get_ready(scene, candidate(scene))
    play(scene)
    assert len(scene.all("InferenceService")) == 2
    assert scene.status(DEPLOYMENT)["soaking"]["inferenceService"] == before
    assert scene.decide(DEPLOYMENT).look_again_after == 120
    scene.wait(119)
    assert play(scene) == []
    scene.wait(1)
    play(scene)
    assert names(scene.all("InferenceService")) == [live(scene)]
    assert "soaking" not in scene.status(DEPLOYMENT)
    assert scene.told() == ["Verifying", "CandidateStarting", "Promoted", "Retired"]
    assert play(scene) == []


def test_without_a_soak_the_version_before_goes_at_once() -> None:
    scene = replacing(rollout={"soak": "0s"})
    get_ready(scene, candidate(scene))
    play(scene)
    assert names(scene.all("InferenceService")) == [live(scene)]


def test_a_pin_to_the_version_that_soaks_takes_over_at_once() -> None:
    scene = replacing(route=a_route(), rollout={"steps": []})
    before = live(scene)
    get_ready(scene, candidate(scene))
    play(scene)
    newer = live(scene)
    scene.change(DEPLOYMENT, model={"name": "churn", "version": "1"})
    play(scene)
    assert (live(scene), selected(scene), routed(scene)) == (before, before, {before: 100})
    assert scene.status(DEPLOYMENT)["soaking"]["inferenceService"] == newer
    history = scene.status(DEPLOYMENT)["history"]
    assert [(line["version"], line["outcome"]) for line in history] == [
        (1, "Promoted"),
        (2, "Replaced"),
        (1, "Replaced"),
    ]


def test_a_pin_to_an_older_version_starts_it_beside_the_live_one() -> None:
    scene = serving(1, 2)
    newer = live(scene)
    scene.change(DEPLOYMENT, model={"name": "churn", "version": "1"})
    play(scene)
    assert (live(scene), selected(scene)) == (newer, newer)
    get_ready(scene, candidate(scene))
    play(scene)
    assert scene.status(DEPLOYMENT)["live"]["version"] == 1
    scene.put(a_model_version(3))
    assert play(scene) == [], "a pin does not follow"


def test_a_pin_to_a_version_that_is_not_there_needs_help_and_goes_on_when_it_comes() -> None:
    scene = serving(1)
    before = live(scene)
    scene.change(DEPLOYMENT, model={"name": "churn", "version": "7"})
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Stalled ModelVersionMissing"
    assert (live(scene), selected(scene)) == (before, before)
    scene.put(a_model_version(7))
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Reconciling ModelStarting"


def test_a_newer_version_takes_the_place_of_one_that_still_starts() -> None:
    scene = replacing()
    before, overtaken = live(scene), candidate(scene)
    scene.put(a_model_version(3))
    play(scene)
    assert scene.status(DEPLOYMENT)["candidate"]["version"] == 3
    assert set(names(scene.all("InferenceService"))) == {before, candidate(scene)}
    assert overtaken not in names(scene.all("InferenceService"))
    assert live(scene) == before
    assert scene.told() == ["Verifying", "CandidateStarting", "Verifying", "Retired", "CandidateStarting"]


def test_a_version_that_is_withdrawn_while_it_starts_leaves_nothing() -> None:
    scene = replacing()
    before = live(scene)
    scene.remove(V2)
    play(scene)
    assert names(scene.all("InferenceService")) == [before]
    assert scene.standing(DEPLOYMENT) == "Ready Serving"
    assert "candidate" not in scene.status(DEPLOYMENT)


def test_a_pin_that_is_withdrawn_while_its_version_starts_leaves_nothing() -> None:
    scene = replacing()
    before = live(scene)
    scene.change(DEPLOYMENT, model={"name": "churn", "version": "9"})
    play(scene)
    assert names(scene.all("InferenceService")) == [before]
    assert "candidate" not in scene.status(DEPLOYMENT)


def test_a_live_version_whose_record_goes_keeps_serving() -> None:
    scene = serving(1)
    before = live(scene)
    scene.remove(Key("ModelVersion", NAMESPACE, "churn-v1"))
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Reconciling NoModelVersion"
    assert scene.message(DEPLOYMENT).endswith("version 1 keeps serving")
    assert selected(scene) == before


def test_the_highest_number_is_the_newest_whatever_order_they_come_in() -> None:
    scene = starting(2, 10, 9)
    assert scene.status(DEPLOYMENT)["candidate"]["version"] == 10


def test_versions_of_another_model_do_not_matter() -> None:
    scene = serving(1)
    scene.put(a_model_version(5, model="other"))
    assert play(scene) == []
