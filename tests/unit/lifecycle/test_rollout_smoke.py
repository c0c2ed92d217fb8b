"""A version answers requests of its own before anybody else's."""

from __future__ import annotations

import pytest

from keelway.api.jobs import ORDER_VARIABLE
from keelway.api.judging import SmokeOrder
from keelway.engine.objects import key_of
from tests.unit.lifecycle.builders import DEPLOYMENT, a_model_version
from tests.unit.lifecycle.pods import Ended, a_pod_of, a_waiting_pod_of, an_ended_pod_of, ends
from tests.unit.lifecycle.rollouts import (
    SMOKE,
    STEPS,
    challenged,
    clear,
    disrupted,
    history,
    jobs,
    of_candidate,
    passes,
    phase,
    settled,
    shares,
    smoke_ends,
    verification_ends,
    working,
)
from tests.unit.lifecycle.scene import Scene, names
from tests.unit.lifecycle.servers import break_down, candidate, get_ready, live, play, remove_server, starting


def _smoking(**rollout: object) -> Scene:
    """Version 2 is ready and is asked."""
    scene = challenged(rollout={"smoke": SMOKE, "steps": STEPS, **rollout})
    get_ready(scene, candidate(scene))
    play(scene)
    return scene


def test_a_version_that_is_ready_is_asked_before_it_has_any_traffic() -> None:
    scene = _smoking()
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("Smoke", "Reconciling SmokeTesting")
    assert shares(scene) == {1: 100}
    (job,) = working(scene, "smoke")
    variables = job["spec"]["template"]["spec"]["containers"][0]["env"]
    order = SmokeOrder.model_validate_json(next(v["value"] for v in variables if v["name"] == ORDER_VARIABLE))
    (call,) = order.calls
    assert call.url == f"http://{candidate(scene)}-predictor.ml.svc/v2/models/churn/infer", "the candidate alone"
    assert (call.method, call.expect_status, order.max_seconds) == ("POST", 200, 10)
    assert settled(scene)


def test_who_answers_gets_a_share() -> None:
    scene = _smoking()
    clear(scene)
    smoke_ends(scene)
    assert (phase(scene), shares(scene)) == ("Canary", {1: 90, 2: 10})
    assert scene.writes[0] == "status ModelDeployment", "recorded before anything follows from it"
    for job in jobs(scene, "smoke"):
        scene.remove(key_of(job))
    assert settled(scene)


def test_who_does_not_answer_is_rolled_back_and_had_no_traffic() -> None:
    scene = _smoking()
    clear(scene)
    smoke_ends(scene, "POST /v2/models/churn/infer was answered 500, not 200")
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("RolledBack", "Ready SmokeFailed")
    assert "POST /v2/models/churn/infer was answered 500, not 200" in scene.message(DEPLOYMENT)
    assert of_candidate(scene)["message"] == "POST /v2/models/churn/infer was answered 500, not 200"
    assert history(scene)[0] == (2, "RolledBack", "SmokeFailed")
    assert names(scene.all("InferenceService")) == [live(scene)]
    assert "apply HTTPRoute" not in scene.writes
    assert scene.told() == ["RolledBack", "Retired"]
    condition = scene.condition(DEPLOYMENT, "RolledBack")
    assert (condition["status"], condition["reason"]) == ("True", "SmokeFailed")
    assert settled(scene)


def test_a_program_that_fails_without_a_word_fails_the_smoke_requests() -> None:
    scene = _smoking()
    (job,) = working(scene)
    an_ended_pod_of(scene, job, {"smoke": Ended(2)})
    ends(scene, job, "BackoffLimitExceeded")
    play(scene)
    assert (phase(scene), of_candidate(scene)["reason"]) == ("RolledBack", "SmokeFailed")


def test_an_answer_that_does_not_come_in_time_rolls_back() -> None:
    scene = _smoking(progressDeadline="3m")
    a_pod_of(scene, working(scene)[0], phase="Running")
    assert scene.decide(DEPLOYMENT).look_again_after == 180
    passes(scene, 179)
    assert phase(scene) == "Smoke"
    passes(scene, 1)
    assert (phase(scene), of_candidate(scene)["reason"]) == ("RolledBack", "TimedOut")
    assert working(scene) == []
    assert settled(scene)


def test_the_time_begins_with_the_requests_not_with_the_servers() -> None:
    scene = challenged(rollout={"smoke": SMOKE, "steps": STEPS, "progressDeadline": "3m"})
    passes(scene, 170)
    get_ready(scene, candidate(scene))
    play(scene)
    passes(scene, 170)
    assert phase(scene) == "Smoke"


def test_a_disrupted_smoke_job_begins_anew_at_once() -> None:
    scene = _smoking()
    (first,) = working(scene)
    disrupted(scene, "smoke", "smoke")
    (second,) = working(scene)
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    assert phase(scene) == "Smoke"
    smoke_ends(scene)
    assert phase(scene) == "Canary"


def test_a_smoke_job_that_does_not_start_shows_until_its_time_is_up() -> None:
    scene = _smoking()
    (job,) = working(scene)
    a_waiting_pod_of(scene, job, "ErrImagePull", "not found")
    play(scene)
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("Smoke", "Stalled ImagePullFailed")
    assert "version 1 keeps serving" in scene.message(DEPLOYMENT)
    assert settled(scene)


def test_servers_that_go_while_they_are_asked_are_for_the_requests_to_tell() -> None:
    scene = _smoking()
    break_down(scene, candidate(scene))
    play(scene)
    assert (phase(scene), shares(scene)) == ("Smoke", {1: 100})
    smoke_ends(scene, "no answer")
    assert phase(scene) == "RolledBack"


def test_servers_that_go_after_their_answer_get_no_traffic() -> None:
    scene = _smoking()
    remove_server(scene, candidate(scene))
    smoke_ends(scene)
    assert (phase(scene), shares(scene)) == ("Starting", {1: 100})
    get_ready(scene, candidate(scene))
    play(scene)
    assert shares(scene) == {1: 90, 2: 10}


def test_without_steps_servers_that_are_not_whole_after_their_answer_do_not_take_over() -> None:
    scene = challenged(route=False, rollout={"smoke": SMOKE})
    wanted = candidate(scene)
    get_ready(scene, wanted)
    play(scene)
    get_ready(scene, wanted, replicas=2, availableReplicas=1)
    smoke_ends(scene)
    assert (phase(scene), live(scene) == wanted) == ("Starting", False)
    get_ready(scene, wanted, replicas=2)
    play(scene)
    assert live(scene) == wanted


def test_the_first_version_of_all_answers_too_before_it_serves() -> None:
    scene = starting(1, rollout={"smoke": SMOKE})
    get_ready(scene, candidate(scene))
    play(scene)
    assert (phase(scene), scene.all("Service")) == ("Smoke", [])
    smoke_ends(scene)
    assert (scene.standing(DEPLOYMENT), live(scene)) == ("Ready Serving", names(scene.all("InferenceService"))[0])


def test_the_first_version_of_all_that_does_not_answer_needs_help() -> None:
    scene = starting(1, rollout={"smoke": SMOKE})
    get_ready(scene, candidate(scene))
    play(scene)
    smoke_ends(scene, "answered 500")
    assert scene.standing(DEPLOYMENT) == "Stalled SmokeFailed"
    assert scene.all("InferenceService") == []
    assert settled(scene)


def test_a_newer_version_ends_the_smoke_requests_of_the_one_before() -> None:
    scene = _smoking()
    overtaken = candidate(scene)
    scene.put(a_model_version(3))
    scene.settle(DEPLOYMENT)
    assert working(scene, "smoke") == []
    assert overtaken not in names(scene.all("InferenceService"))
    verification_ends(scene)
    assert (of_candidate(scene)["version"], phase(scene)) == (3, "Starting")


@pytest.mark.parametrize("steps", [STEPS, []], ids=["steps", "no steps"])
def test_without_smoke_requests_there_is_no_job(steps: list[dict[str, object]]) -> None:
    scene = challenged(rollout={"steps": steps})
    get_ready(scene, candidate(scene))
    play(scene)
    assert jobs(scene, "smoke") == []
    assert shares(scene) == ({1: 90, 2: 10} if steps else {2: 100})
