"""Somebody's word, where it is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.api.base import Manifest
from tests.unit.lifecycle.builders import DEPLOYMENT, a_model_version
from tests.unit.lifecycle.rollouts import (
    STEPS,
    a_gate,
    challenged,
    clear,
    gate_ends,
    history,
    of_candidate,
    phase,
    settled,
    shares,
    sharing,
    working,
)
from tests.unit.lifecycle.scene import Scene, names
from tests.unit.lifecycle.servers import candidate, get_ready, live, play, starting

MANUAL = {"mode": "Manual"}


def _approve(scene: Scene, word: str) -> None:
    scene.change(DEPLOYMENT, approval={**MANUAL, "approved": word})
    play(scene)


def test_a_version_waits_for_a_word_and_what_serves_is_as_it_should_be() -> None:
    scene = challenged(approval=MANUAL)
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("AwaitingApproval", "Ready AwaitingApproval")
    said = 'version 1 serves; version 2 waits for approval: set spec.approval.approved to "2"'
    assert scene.message(DEPLOYMENT) == said
    approved = scene.condition(DEPLOYMENT, "Approved")
    assert (approved["status"], approved["reason"]) == ("False", "AwaitingApproval")
    assert names(scene.all("InferenceService")) == [live(scene)], "its servers cost nothing while it waits"
    assert shares(scene) == {1: 100}
    assert scene.told() == ["Verifying", "AwaitingApproval"]
    scene.wait(30 * 86400)
    assert settled(scene), "it never takes itself the word"


@pytest.mark.parametrize("word", ["2", "churn-v2"])
def test_the_word_is_the_number_or_the_name(word: str) -> None:
    scene = challenged(approval=MANUAL)
    _approve(scene, word)
    assert phase(scene) == "Starting"
    assert of_candidate(scene)["approved"]["value"] == word
    assert scene.condition(DEPLOYMENT, "Approved")["status"] == "True"


@pytest.mark.parametrize("word", ["1", "3", "churn-v1", "churn", "v2", "22"])
def test_a_word_for_something_else_does_not_count(word: str) -> None:
    scene = challenged(approval=MANUAL)
    _approve(scene, word)
    assert phase(scene) == "AwaitingApproval"


def test_the_word_may_be_given_beforehand() -> None:
    scene = challenged(approval={**MANUAL, "approved": "2"})
    assert phase(scene) == "Starting"
    assert of_candidate(scene)["approved"]["value"] == "2"


def test_the_word_is_recorded_before_anything_starts() -> None:
    scene = challenged(approval=MANUAL)
    clear(scene)
    _approve(scene, "2")
    assert scene.writes.index("status ModelDeployment") < scene.writes.index("apply InferenceService")


TAKEN_BACK: list[dict[str, Any]] = [MANUAL, {**MANUAL, "approved": "1"}]


@pytest.mark.parametrize("approval", TAKEN_BACK, ids=["nothing", "another version"])
def test_the_word_is_not_taken_back(approval: dict[str, Any]) -> None:
    scene = challenged(approval={**MANUAL, "approved": "2"})
    scene.change(DEPLOYMENT, approval=approval)
    play(scene)
    assert phase(scene) == "Starting"
    assert of_candidate(scene)["approved"]["value"] == "2"


def test_who_gave_the_word_is_recorded() -> None:
    scene = challenged(approval=MANUAL)
    manifest = scene.get(DEPLOYMENT)
    fields: Manifest = {"f:spec": {"f:approval": {"f:approved": {}}}}
    given = {"manager": "argocd-controller", "operation": "Apply", "time": "2026-03-01T12:00:00Z", "fieldsV1": fields}
    spec = {**manifest["spec"], "approval": {**MANUAL, "approved": "2"}}
    scene.put({**manifest, "metadata": {**manifest["metadata"], "managedFields": [given]}, "spec": spec})
    scene.look(DEPLOYMENT)
    assert of_candidate(scene)["approved"]["by"] == "argocd-controller"
    assert scene.condition(DEPLOYMENT, "Approved")["message"] == "version 2 is approved by argocd-controller"


def test_the_word_stands_in_the_history_when_the_version_has_taken_over() -> None:
    scene = challenged(approval={**MANUAL, "approved": "2"}, rollout={"steps": []})
    given = of_candidate(scene)["approved"]["at"]
    get_ready(scene, candidate(scene))
    scene.wait(60)
    play(scene)
    assert history(scene)[0] == (2, "Promoted", "")
    line = scene.status(DEPLOYMENT)["history"][0]
    assert (line["approved"]["value"], line["approved"]["at"]) == ("2", given)


def test_the_word_for_one_version_is_none_for_the_next() -> None:
    scene = challenged(approval={**MANUAL, "approved": "2"})
    scene.put(a_model_version(3))
    play(scene)
    assert (of_candidate(scene)["version"], phase(scene)) == (3, "AwaitingApproval")
    assert scene.condition(DEPLOYMENT, "Approved")["status"] == "False"


def test_the_first_version_of_all_waits_too_and_nothing_serves() -> None:
    scene = starting(1, approval=MANUAL)
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("AwaitingApproval", "Reconciling AwaitingApproval")
    assert scene.all("InferenceService") == []
    _approve(scene, "1")
    assert phase(scene) == "Starting"


def test_gates_come_first_so_that_who_decides_sees_the_numbers() -> None:
    scene = challenged(gates=[a_gate()], approval=MANUAL)
    assert phase(scene) == "Evaluating"
    gate_ends(scene, auc=0.9)
    assert phase(scene) == "AwaitingApproval"
    assert of_candidate(scene)["gates"][0]["metrics"] == {"auc": 0.9}
    assert working(scene) == []


def test_a_version_that_waits_goes_when_no_word_is_needed_any_more() -> None:
    scene = challenged(approval=MANUAL)
    scene.change(DEPLOYMENT, approval={"mode": "Automatic"})
    play(scene)
    assert phase(scene) == "Starting"


def test_who_has_a_share_already_is_not_called_back_to_wait() -> None:
    scene = sharing()
    scene.change(DEPLOYMENT, approval=MANUAL)
    play(scene)
    assert (phase(scene), shares(scene)) == ("Canary", {1: 90, 2: 10})


def test_another_way_to_roll_out_asks_for_the_word_that_is_there() -> None:
    scene = challenged(approval={**MANUAL, "approved": "2"})
    scene.change(DEPLOYMENT, rollout={"steps": STEPS[:1]})
    play(scene)
    assert phase(scene) == "Starting"
