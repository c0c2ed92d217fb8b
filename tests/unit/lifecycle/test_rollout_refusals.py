"""What was rolled back is not tried again by itself, nor is anything else for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from keelway.api.kinds import Key
from tests.unit.lifecycle.builders import DEPLOYMENT, NAMESPACE, a_model_version
from tests.unit.lifecycle.rollouts import (
    SMOKE,
    STEPS,
    a_gate,
    challenged,
    clear,
    gate_ends,
    history,
    of_candidate,
    passes,
    phase,
    settled,
    shares,
    sharing,
    smoke_ends,
    working,
)
from tests.unit.lifecycle.scene import Scene, named, names
from tests.unit.lifecycle.servers import a_server_pod, break_down, candidate, crashed, get_ready, live, play, starting

V2 = Key("ModelVersion", NAMESPACE, "churn-v2")
V3 = Key("ModelVersion", NAMESPACE, "churn-v3")


def _rolled_back(**rollout: Any) -> Scene:
    """Version 2 had a share of the traffic and lost all its replicas."""
    scene = sharing(**rollout)
    break_down(scene, candidate(scene))
    play(scene)
    clear(scene)
    return scene


def test_the_same_attempt_is_never_made_again() -> None:
    scene = _rolled_back()
    assert settled(scene)
    passes(scene, 7 * 86400, every=86400)
    assert (phase(scene), shares(scene)) == ("RolledBack", {1: 100})
    assert scene.writes == []


def test_what_to_do_is_said() -> None:
    scene = _rolled_back()
    assert scene.message(DEPLOYMENT).endswith(
        "version 1 keeps serving; "
        "a newer version, a changed spec or another value of the annotation keelway.dev/retry is tried"
    )


def test_an_attempt_is_not_made_again_because_another_version_came_and_went() -> None:
    scene = _rolled_back(holdDown="0s")
    scene.put(a_model_version(3))
    play(scene)
    assert of_candidate(scene)["version"] == 3
    scene.remove(V3)
    play(scene)
    assert (of_candidate(scene)["version"], phase(scene)) == (2, "RolledBack")
    assert of_candidate(scene)["reason"] == "CandidateUnready"
    assert [line[1] for line in history(scene)] == ["RolledBack", "Promoted"], "told once"
    assert names(scene.all("InferenceService")) == [live(scene)]
    assert settled(scene)


AGAIN: list[tuple[str, Callable[[Scene], Any]]] = [
    ("the retry annotation", lambda scene: scene.annotate(DEPLOYMENT, retry="1")),
    ("other servers", lambda scene: scene.change(DEPLOYMENT, serving={"resources": {"limits": {"memory": "1Gi"}}})),
    ("other steps", lambda scene: scene.change(DEPLOYMENT, rollout={"steps": STEPS[:1]})),
    ("smoke requests", lambda scene: scene.change(DEPLOYMENT, rollout={"steps": STEPS, "smoke": SMOKE})),
]


@pytest.mark.parametrize("happens", named(AGAIN))
def test_another_attempt_at_the_same_version_is_made_at_once(happens: Callable[[Scene], Any]) -> None:
    scene = _rolled_back()
    happens(scene)
    play(scene)
    assert (of_candidate(scene)["version"], phase(scene)) == (2, "Starting")
    assert scene.condition(DEPLOYMENT, "RolledBack") == {}
    assert of_candidate(scene)["reason"] == ""


def test_the_same_value_of_the_annotation_asks_once() -> None:
    scene = _rolled_back()
    scene.annotate(DEPLOYMENT, retry="1")
    play(scene)
    get_ready(scene, candidate(scene))
    play(scene)
    break_down(scene, candidate(scene))
    play(scene)
    assert phase(scene) == "RolledBack"
    assert settled(scene)
    scene.annotate(DEPLOYMENT, retry="2")
    play(scene)
    assert phase(scene) == "Starting"


STILL_THE_SAME: list[tuple[str, Callable[[Scene], Any]]] = [
    ("more time", lambda scene: scene.change(DEPLOYMENT, rollout={"steps": STEPS, "progressDeadline": "1h"})),
    ("a shorter hold-down", lambda scene: scene.change(DEPLOYMENT, rollout={"steps": STEPS, "holdDown": "0s"})),
    ("more replicas", lambda scene: scene.change(DEPLOYMENT, serving={"maxReplicas": 7})),
    ("an owner", lambda scene: scene.change(DEPLOYMENT, owner={"team": "growth"})),
    ("a pin to it", lambda scene: scene.change(DEPLOYMENT, model={"name": "churn", "version": "2"})),
]


@pytest.mark.parametrize("happens", named(STILL_THE_SAME))
def test_what_has_no_bearing_on_the_outcome_is_no_other_attempt(happens: Callable[[Scene], Any]) -> None:
    scene = _rolled_back()
    happens(scene)
    play(scene)
    assert phase(scene) == "RolledBack"
    assert settled(scene)


def test_a_pin_to_what_was_rolled_back_needs_help() -> None:
    scene = _rolled_back()
    scene.change(DEPLOYMENT, model={"name": "churn", "version": "2"})
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Stalled CandidateUnready"


# hold-down


def test_after_a_rollback_nothing_newer_is_tried_for_a_while() -> None:
    scene = _rolled_back()
    scene.put(a_model_version(3))
    play(scene)
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("", "Ready HeldDown")
    assert scene.message(DEPLOYMENT).startswith("version 3 waits until 2026-03-01T13:00:00Z: rollout.holdDown")
    assert (shares(scene), working(scene)) == ({1: 100}, [])
    assert scene.condition(DEPLOYMENT, "RolledBack")["status"] == "True", "that is why"
    assert scene.decide(DEPLOYMENT).look_again_after == 3600
    assert settled(scene)
    scene.wait(3599)
    assert settled(scene)
    scene.wait(1)
    play(scene)
    assert (of_candidate(scene)["version"], phase(scene)) == (3, "Starting")
    assert scene.condition(DEPLOYMENT, "RolledBack") == {}


def test_a_hold_down_that_is_shortened_ends() -> None:
    scene = _rolled_back()
    scene.put(a_model_version(3))
    play(scene)
    scene.wait(60)
    scene.change(DEPLOYMENT, rollout={"steps": STEPS, "holdDown": "1m"})
    play(scene)
    assert (of_candidate(scene)["version"], phase(scene)) == (3, "Starting")


def test_without_a_hold_down_the_next_one_is_tried_at_once() -> None:
    scene = _rolled_back(holdDown="0s")
    scene.put(a_model_version(3))
    play(scene)
    assert (of_candidate(scene)["version"], phase(scene)) == (3, "Starting")


def test_a_pin_is_not_held_down() -> None:
    scene = _rolled_back()
    scene.put(a_model_version(3))
    play(scene)
    scene.change(DEPLOYMENT, model={"name": "churn", "version": "3"})
    play(scene)
    assert (of_candidate(scene)["version"], phase(scene)) == (3, "Starting")


def test_a_rejected_version_holds_nothing_down() -> None:
    scene = challenged(gates=[a_gate()])
    gate_ends(scene, auc=0.1)
    scene.put(a_model_version(3))
    play(scene)
    assert (of_candidate(scene)["version"], phase(scene)) == (3, "Evaluating")


def test_a_version_that_is_withdrawn_after_its_rollback_leaves_what_is_live() -> None:
    scene = _rolled_back()
    scene.remove(V2)
    play(scene)
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("", "Ready Serving")
    assert scene.condition(DEPLOYMENT, "RolledBack") == {}
    assert settled(scene)


def test_after_the_first_version_of_all_failed_the_next_one_waits_and_says_so() -> None:
    scene = starting(1, rollout={"smoke": SMOKE})
    get_ready(scene, candidate(scene))
    play(scene)
    smoke_ends(scene, "answered 500")
    scene.put(a_model_version(2))
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Reconciling HeldDown"
    scene.wait(3600)
    play(scene)
    assert (of_candidate(scene)["version"], phase(scene)) == (2, "Starting")


# servers that do not come


def test_servers_that_are_not_ready_in_time_are_rolled_back() -> None:
    scene = challenged(rollout={"progressDeadline": "5m"})
    passes(scene, 299)
    assert phase(scene) == "Starting"
    clear(scene)
    passes(scene, 1)
    assert (phase(scene), of_candidate(scene)["reason"]) == ("RolledBack", "TimedOut")
    assert history(scene)[0] == (2, "RolledBack", "TimedOut")
    assert names(scene.all("InferenceService")) == [live(scene)]
    assert "apply HTTPRoute" not in scene.writes, "there was nothing to move"
    assert settled(scene)


def test_trouble_with_the_servers_does_not_give_them_more_time() -> None:
    scene = challenged(rollout={"progressDeadline": "5m"})
    passes(scene, 200)
    a_server_pod(scene, candidate(scene), containers=[crashed()])
    play(scene)
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("Failed", "Stalled ModelLoadFailed")
    passes(scene, 99)
    assert phase(scene) == "Failed"
    passes(scene, 1)
    assert (phase(scene), of_candidate(scene)["reason"]) == ("RolledBack", "ModelLoadFailed")
    assert "cannot unpickle" in of_candidate(scene)["message"]


def test_a_pin_to_what_was_live_before_ends_what_is_said_of_the_rollback() -> None:
    scene = sharing(soak="1h", holdDown="0s")
    passes(scene, 180)
    scene.put(a_model_version(3))
    play(scene)
    get_ready(scene, candidate(scene))
    play(scene)
    assert shares(scene) == {2: 90, 3: 10}
    break_down(scene, candidate(scene))
    play(scene)
    assert scene.condition(DEPLOYMENT, "RolledBack")["status"] == "True"
    scene.change(DEPLOYMENT, model={"name": "churn", "version": "1"})
    play(scene)
    assert shares(scene) == {1: 100}
    assert scene.condition(DEPLOYMENT, "RolledBack") == {}
