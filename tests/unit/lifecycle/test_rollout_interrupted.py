"""What people do while a candidate has a share of the traffic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from keelway.api.kinds import Key
from tests.unit.lifecycle.builders import DEPLOYMENT, NAMESPACE, a_model_version
from tests.unit.lifecycle.rollouts import (
    STEPS,
    clear,
    dark,
    history,
    of_candidate,
    passes,
    phase,
    settled,
    shares,
    sharing,
    verification_ends,
)
from tests.unit.lifecycle.scene import Scene, named, names
from tests.unit.lifecycle.servers import (
    candidate,
    get_ready,
    live,
    play,
    selected,
)


def _superseded(scene: Scene) -> None:
    scene.put(a_model_version(3))


def _other_steps(scene: Scene) -> None:
    scene.change(DEPLOYMENT, rollout={"steps": STEPS[1:]})


def _other_servers(scene: Scene) -> None:
    scene.change(DEPLOYMENT, serving={"protocol": "v1"})


def _pinned_to_live(scene: Scene) -> None:
    scene.change(DEPLOYMENT, model={"name": "churn", "version": "1"})


def _pinned_to_another(scene: Scene) -> None:
    for number in (3, 4):
        scene.put(a_model_version(number))
    scene.change(DEPLOYMENT, model={"name": "churn", "version": "3"})


def _pinned_to_nothing(scene: Scene) -> None:
    scene.change(DEPLOYMENT, model={"name": "churn", "version": "9"})


def _withdrawn(scene: Scene) -> None:
    scene.remove(Key("ModelVersion", NAMESPACE, "churn-v2"))


def _suspended(scene: Scene) -> None:
    scene.change(DEPLOYMENT, suspend=True)


INTERRUPTIONS: list[tuple[str, Callable[[Scene], Any], str]] = [
    ("a newer version comes", _superseded, "Verifying"),
    ("other steps", _other_steps, "Verifying"),
    ("other servers", _other_servers, "Verifying"),
    ("a pin to what is live", _pinned_to_live, ""),
    ("a pin to a version that is not the newest", _pinned_to_another, "Verifying"),
    ("a pin to a version that is not there", _pinned_to_nothing, ""),
    ("it is withdrawn", _withdrawn, ""),
    ("suspended", _suspended, "Starting"),
]


@pytest.mark.parametrize(("happens", "then"), named(INTERRUPTIONS))
def test_whatever_ends_a_canary_takes_its_share_first(happens: Callable[[Scene], Any], then: str) -> None:
    scene = sharing()
    wanted = candidate(scene)
    passes(scene, 60)
    clear(scene)
    happens(scene)
    scene.look(DEPLOYMENT)
    moved, told = scene.writes.index("apply HTTPRoute"), scene.writes.index("status ModelDeployment")
    assert moved < told
    assert "delete InferenceService" not in scene.writes[:told]
    assert shares(scene) == {1: 100}
    scene.settle(DEPLOYMENT)
    assert (phase(scene), shares(scene), dark(scene)) == (then, {1: 100}, "")
    assert (wanted in names(scene.all("InferenceService"))) is (happens is _suspended)
    assert history(scene) == [(1, "Promoted", "")], "it was not rolled back for what it did"
    assert settled(scene)


def test_a_newer_version_takes_the_share_of_the_one_before_ahead_of_all_that_may_be_refused() -> None:
    scene = sharing()
    scene.put(a_model_version(3))
    plan = scene.look(DEPLOYMENT)
    assert (plan.creates, shares(scene)) == ((), {1: 100})
    assert scene.look(DEPLOYMENT).creates


def test_a_newer_version_goes_through_all_the_steps_itself() -> None:
    scene = sharing()
    passes(scene, 60)
    scene.put(a_model_version(3))
    play(scene)
    get_ready(scene, candidate(scene))
    play(scene)
    assert shares(scene) == {1: 90, 3: 10}
    passes(scene, 180)
    assert shares(scene) == {3: 100}


def test_suspended_and_resumed_it_begins_with_the_first_step_on_the_servers_that_are_there() -> None:
    scene = sharing()
    passes(scene, 60)
    _suspended(scene)
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Ready Suspended"
    assert (of_candidate(scene)["weight"], of_candidate(scene)["step"]) == (0, 0)
    scene.wait(3600)
    assert settled(scene)
    scene.change(DEPLOYMENT, suspend=False)
    play(scene)
    assert (of_candidate(scene)["step"], shares(scene)) == (1, {1: 90, 2: 10})


def test_other_steps_begin_with_the_verification_and_are_gone_through() -> None:
    scene = sharing()
    _other_steps(scene)
    scene.settle(DEPLOYMENT)
    verification_ends(scene)
    get_ready(scene, candidate(scene))
    play(scene)
    assert shares(scene) == {1: 50, 2: 50}


LATE_CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("soak", {"soak": "1h"}),
    ("deadline", {"progressDeadline": "1h"}),
    ("hold-down", {"holdDown": "2h"}),
]


@pytest.mark.parametrize("change", named(LATE_CHANGES))
def test_what_does_not_bear_on_a_canary_does_not_disturb_it(change: dict[str, Any]) -> None:
    scene = sharing()
    passes(scene, 60)
    scene.change(DEPLOYMENT, rollout={"steps": STEPS, **change})
    play(scene)
    assert (of_candidate(scene)["step"], shares(scene)) == (2, {1: 50, 2: 50})


def test_without_kserve_nothing_is_moved_and_the_record_stays_true() -> None:
    scene = sharing()
    scene.store.set_served("InferenceService", False)
    clear(scene)
    play(scene)
    assert scene.standing(DEPLOYMENT) == "Reconciling KServeAbsent"
    assert scene.writes == ["status ModelDeployment"]
    assert shares(scene) == {1: 90, 2: 10}


def test_without_its_route_there_are_no_steps_any_more() -> None:
    scene = sharing()
    wanted = candidate(scene)
    manifest = scene.get(DEPLOYMENT)
    scene.put({**manifest, "spec": {name: part for name, part in manifest["spec"].items() if name != "route"}})
    play(scene)
    assert (live(scene), selected(scene), scene.all("HTTPRoute")) == (wanted, wanted, [])
