"""A version gets its share of the traffic step by step, and loses it in one write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from keelway.api.kinds import Key
from tests.unit.lifecycle.builders import DEPLOYMENT, NAMESPACE, a_model_version, a_route
from tests.unit.lifecycle.rollouts import (
    STEPS,
    an_analysis,
    challenged,
    clear,
    dark,
    history,
    measures,
    of_candidate,
    passes,
    phase,
    settled,
    shares,
    sharing,
)
from tests.unit.lifecycle.scene import Scene, named, names
from tests.unit.lifecycle.servers import (
    a_server_pod,
    break_down,
    candidate,
    crashed,
    get_ready,
    live,
    play,
    remove_server,
    selected,
    serving,
)


def _server(scene: Scene) -> str:
    """The candidate's InferenceService while it is the candidate."""
    return candidate(scene)


def test_weights_go_up_step_by_step_and_each_is_held() -> None:
    scene = sharing()
    before, wanted = live(scene), candidate(scene)
    assert (phase(scene), of_candidate(scene)["step"], shares(scene)) == ("Canary", 1, {1: 90, 2: 10})
    assert scene.standing(DEPLOYMENT) == "Reconciling Canary"
    assert scene.message(DEPLOYMENT) == "version 2 has 10 % of the traffic, step 1 of 2; version 1 keeps serving"
    assert scene.decide(DEPLOYMENT).look_again_after == 60
    assert selected(scene) == before, "the Service does not share"
    passes(scene, 59)
    assert shares(scene) == {1: 90, 2: 10}
    passes(scene, 1)
    assert (of_candidate(scene)["step"], shares(scene)) == (2, {1: 50, 2: 50})
    passes(scene, 119)
    assert shares(scene) == {1: 50, 2: 50}
    passes(scene, 1)
    assert (live(scene), selected(scene), shares(scene)) == (wanted, wanted, {2: 100})
    assert scene.standing(DEPLOYMENT) == "Ready Serving"
    assert scene.status(DEPLOYMENT)["soaking"]["inferenceService"] == before
    assert history(scene) == [(2, "Promoted", ""), (1, "Replaced", "")]
    assert settled(scene)


def test_each_step_is_told_once() -> None:
    scene = sharing()
    passes(scene, 180)
    assert scene.told() == ["Verifying", "CandidateStarting", "StepReached", "StepReached", "Promoted"]


def test_a_step_is_given_before_it_is_recorded_and_in_one_write() -> None:
    scene = sharing()
    scene.wait(60)
    clear(scene)
    scene.look(DEPLOYMENT)
    assert scene.writes[0] == "apply HTTPRoute"
    assert scene.writes[-1] == "status ModelDeployment"
    assert scene.writes.count("apply HTTPRoute") == 1


def test_requests_that_ask_for_the_candidate_get_it_while_it_has_a_share() -> None:
    scene = sharing()
    assert dark(scene) == candidate(scene)
    passes(scene, 180)
    assert dark(scene) == ""


def test_a_step_without_weight_is_a_dark_launch_that_needs_no_samples() -> None:
    dark_first = [{"weight": 0, "hold": "5m"}, {"weight": 50, "hold": "1m"}]
    scene = sharing(steps=dark_first, analysis=an_analysis(), progressDeadline="1m")
    assert (shares(scene), dark(scene)) == ({1: 100, 2: 0}, candidate(scene))
    passes(scene, 299)
    assert shares(scene) == {1: 100, 2: 0}
    passes(scene, 1)
    assert (of_candidate(scene)["step"], shares(scene)) == (2, {1: 50, 2: 50})


def test_nothing_is_written_while_a_step_is_held() -> None:
    scene = sharing()
    assert passes(scene, 55) == []


DEFAULTS: list[tuple[str, dict[str, Any], list[dict[int, int]]]] = [
    ("with a route", {}, [{1: 90, 2: 10}, {1: 50, 2: 50}, {2: 100}]),
    ("no steps", {"steps": []}, [{2: 100}]),
    ("all at once", {"strategy": "BlueGreen"}, [{2: 100}]),
]


@pytest.mark.parametrize(("rollout", "wanted"), named(DEFAULTS))
def test_the_weights_that_a_rollout_goes_through(rollout: dict[str, Any], wanted: list[dict[int, int]]) -> None:
    scene = challenged(rollout=rollout)
    get_ready(scene, candidate(scene))
    play(scene)
    found = [shares(scene)]
    while phase(scene):
        passes(scene, 60)
        found += [shares(scene)] if shares(scene) != found[-1] else []
    assert found == wanted


def test_without_a_route_the_service_switches_at_once() -> None:
    scene = challenged(route=False)
    before, wanted = live(scene), candidate(scene)
    get_ready(scene, wanted)
    clear(scene)
    play(scene)
    assert (live(scene), selected(scene)) == (wanted, wanted)
    assert scene.status(DEPLOYMENT)["soaking"]["inferenceService"] == before
    assert scene.all("HTTPRoute") == []
    assert scene.writes[0] == "apply Service"


def test_the_first_version_of_all_takes_all_the_traffic_at_once() -> None:
    scene = serving(1, route=a_route())
    assert shares(scene) == {1: 100}
    assert "soaking" not in scene.status(DEPLOYMENT)


# lost


def _crashes(scene: Scene) -> None:
    break_down(scene, _server(scene))
    a_server_pod(scene, _server(scene), containers=[crashed(139, "segmentation fault")])


def _one_of_two_crashes(scene: Scene) -> None:
    get_ready(scene, _server(scene), replicas=2, availableReplicas=1)
    a_server_pod(scene, _server(scene), containers=[crashed(139, "segmentation fault")])


LOST: list[tuple[str, Callable[[Scene], Any], str]] = [
    ("it crashes", _crashes, "ModelLoadFailed"),
    ("one of two replicas crashes", _one_of_two_crashes, "ModelLoadFailed"),
    ("all its replicas are lost", lambda scene: break_down(scene, _server(scene)), "CandidateUnready"),
]


@pytest.mark.parametrize("after", [0, 60], ids=["step 1", "step 2"])
@pytest.mark.parametrize(("happens", "reason"), named(LOST))
def test_a_candidate_that_is_lost_loses_its_share_first(
    happens: Callable[[Scene], Any], reason: str, after: float
) -> None:
    scene = sharing()
    before, wanted = live(scene), candidate(scene)
    passes(scene, after)
    clear(scene)
    happens(scene)
    scene.look(DEPLOYMENT)
    assert scene.writes == ["apply HTTPRoute", "status ModelDeployment"], "traffic, then the record, nothing else"
    assert shares(scene) == {1: 100}
    play(scene)
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("RolledBack", f"Ready {reason}")
    assert names(scene.all("InferenceService")) == [before]
    assert (live(scene), dark(scene)) == (before, "")
    assert history(scene)[0] == (2, "RolledBack", reason)
    assert scene.told() == ["RolledBack", "Retired"]
    assert scene.condition(DEPLOYMENT, "RolledBack")["reason"] == reason
    assert (of_candidate(scene)["weight"], of_candidate(scene)["inferenceService"]) == (0, wanted)
    assert settled(scene)


def _scales_up(scene: Scene) -> None:
    get_ready(scene, _server(scene), replicas=2, availableReplicas=1)


def _no_room_for_another(scene: Scene) -> None:
    _scales_up(scene)
    a_server_pod(scene, _server(scene), containers=[_waits("ErrImagePull")])


def _waits(reason: str) -> dict[str, Any]:
    return {"name": "kserve-container", "image": "x", "state": {"waiting": {"reason": reason, "message": "oh"}}}


def _crashed_once_before(scene: Scene) -> None:
    _scales_up(scene)
    back = {**crashed(running={"startedAt": "2026-03-01T12:00:00Z"}), "ready": True}
    a_server_pod(scene, _server(scene), containers=[back])


STILL_THERE: list[tuple[str, Callable[[Scene], Any]]] = [
    ("a replica more is on its way", _scales_up),
    ("a replica more finds no image", _no_room_for_another),
    ("a replica more is on its way, and one had crashed while it started", _crashed_once_before),
    ("KServe says that it is not ready", lambda scene: scene.say(_key(scene), conditions=[])),
]


def _key(scene: Scene) -> Key:
    return Key("InferenceService", NAMESPACE, _server(scene))


@pytest.mark.parametrize("happens", named(STILL_THERE))
def test_a_candidate_that_answers_keeps_its_share_and_gets_no_more_until_it_is_whole(
    happens: Callable[[Scene], Any],
) -> None:
    scene = sharing()
    happens(scene)
    passes(scene, 120)
    assert (phase(scene), shares(scene)) == ("Canary", {1: 90, 2: 10})
    assert settled(scene)
    get_ready(scene, candidate(scene), replicas=2)
    for pod in scene.all("Pod"):
        scene.remove(Key("Pod", NAMESPACE, pod["metadata"]["name"]))
    play(scene)
    assert shares(scene) == {1: 50, 2: 50}


def test_a_candidate_that_never_gets_whole_is_rolled_back() -> None:
    scene = sharing(progressDeadline="5m")
    _scales_up(scene)
    passes(scene, 60)
    assert scene.decide(DEPLOYMENT).look_again_after == 300
    passes(scene, 299)
    assert phase(scene) == "Canary"
    passes(scene, 1)
    assert (phase(scene), of_candidate(scene)["reason"]) == ("RolledBack", "TimedOut")
    assert "50 % of the traffic" in of_candidate(scene)["message"]
    assert shares(scene) == {1: 100}


def test_servers_that_somebody_deletes_start_again_without_traffic() -> None:
    scene = sharing()
    wanted = candidate(scene)
    passes(scene, 60)
    clear(scene)
    remove_server(scene, wanted)
    scene.look(DEPLOYMENT)
    assert scene.writes[0] == "apply HTTPRoute"
    play(scene)
    assert (phase(scene), shares(scene)) == ("Starting", {1: 100})
    assert wanted in names(scene.all("InferenceService"))
    get_ready(scene, wanted)
    play(scene)
    assert (of_candidate(scene)["step"], shares(scene)) == (1, {1: 90, 2: 10}), "from the beginning"


def test_a_route_that_somebody_edits_is_put_right() -> None:
    scene = sharing()
    route = scene.only("HTTPRoute")
    scene.put({**route, "spec": {**route["spec"], "rules": route["spec"]["rules"][:1]}})
    play(scene)
    assert shares(scene) == {1: 90, 2: 10}


# dark launch

DARK = [{"weight": 0, "hold": "1m"}, {"weight": 10, "hold": "1m"}]


def test_a_step_without_weight_is_for_those_who_ask_by_header_alone() -> None:
    scene = sharing(steps=DARK)
    assert (phase(scene), of_candidate(scene)["step"]) == ("Canary", 1)
    assert (shares(scene), dark(scene)) == ({1: 100, 2: 0}, candidate(scene))
    assert settled(scene)
    passes(scene, 59)
    assert shares(scene) == {1: 100, 2: 0}
    passes(scene, 1)
    assert shares(scene) == {1: 90, 2: 10}


def test_a_step_without_weight_needs_no_data_and_fails_for_bad_ones() -> None:
    scene = sharing(steps=DARK, analysis=an_analysis())
    measures(scene)
    passes(scene, 60)
    assert of_candidate(scene)["step"] == 2
    scene = sharing(steps=DARK, analysis=an_analysis())
    measures(scene, 0.5)
    passes(scene, 15)
    assert phase(scene) == "RolledBack"


def test_a_candidate_that_crashes_in_the_dark_is_rolled_back_too() -> None:
    scene = sharing(steps=DARK)
    _crashes(scene)
    play(scene)
    assert (phase(scene), dark(scene)) == ("RolledBack", "")


# replicas


def _busy(scene: Scene, replicas: int) -> None:
    """The live version has been scaled."""
    get_ready(scene, live(scene), replicas=replicas)
    play(scene)


def test_a_candidate_has_the_replicas_for_its_share_before_it_gets_it() -> None:
    scene = serving(1, route=a_route(), serving={"maxReplicas": 10}, rollout={"steps": STEPS})
    _busy(scene, 8)
    scene.put(a_model_version(2))
    play(scene)
    wanted = candidate(scene)
    assert _least(scene, wanted) == 1
    get_ready(scene, wanted)
    play(scene)
    assert shares(scene) == {1: 90, 2: 10}
    assert _least(scene, wanted) == 4, "for the next step"
    passes(scene, 90)
    assert shares(scene) == {1: 90, 2: 10}, "it waits for them"
    get_ready(scene, wanted, replicas=4)
    play(scene)
    assert (shares(scene), _least(scene, wanted)) == ({1: 50, 2: 50}, 8)
    assert _least(scene, live(scene)) == 1, "the live one is left to its autoscaler"


def _least(scene: Scene, name: str) -> int:
    least: int = scene.get(Key("InferenceService", NAMESPACE, name))["spec"]["predictor"]["minReplicas"]
    return least
