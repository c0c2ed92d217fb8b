"""The data that judge a candidate: which version, which split, and never what it was trained on."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.api.base import Manifest
from tests.unit.lifecycle.builders import DEPLOYMENT, NAMESPACE, a_model_version
from tests.unit.lifecycle.rollouts import (
    a_gate,
    challenged,
    clear,
    gate,
    gate_ends,
    history,
    jobs,
    new_data,
    of_candidate,
    phase,
    settled,
    working,
)
from tests.unit.lifecycle.scene import named
from tests.unit.lifecycle.servers import play


def test_data_without_a_version_are_waited_for() -> None:
    scene = challenged(gates=[a_gate(dataset={"dataset": "other"})])
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("Evaluating", "Reconciling Evaluating")
    assert "there is no Dataset other in namespace ml" in scene.message(DEPLOYMENT)
    assert settled(scene)


DATA_ERRORS: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "the split is missing",
        {"dataset": "churn", "split": "test"},
        "SplitMissing",
        "Dataset churn version 1 has no split 'test'; it has: train, holdout",
    ),
    (
        "the version is missing",
        {"dataset": "churn", "version": "7"},
        "VersionMissing",
        "Dataset churn has no version '7': see kubectl get datasetversions",
    ),
]


@pytest.mark.parametrize(("dataset", "reason", "message"), named(DATA_ERRORS))
def test_data_that_are_not_there_refuse_a_version_until_they_are(
    dataset: dict[str, Any], reason: str, message: str
) -> None:
    scene = challenged(gates=[a_gate(dataset=dataset)])
    assert (phase(scene), of_candidate(scene)["reason"]) == ("Rejected", reason)
    assert gate(scene)["message"] == message
    assert settled(scene)
    new_data(scene, 7, splits=("train", "test"))
    play(scene)
    assert phase(scene) == "Evaluating"
    assert len(working(scene)) == 1


def test_data_that_move_on_do_not_disturb_an_evaluation() -> None:
    scene = challenged(gates=[a_gate()])
    before = gate(scene)["datasetVersion"]
    new_data(scene, 2)
    play(scene)
    assert gate(scene)["datasetVersion"] == before
    assert len(jobs(scene, "holdout-v2")) == 1
    gate_ends(scene, auc=0.9)
    assert phase(scene) == "Starting"
    new_data(scene, 3)
    assert settled(scene), "who has passed has passed"


def test_new_data_give_a_rejected_version_another_chance() -> None:
    scene = challenged(gates=[a_gate()])
    gate_ends(scene, auc=0.7)
    newer = new_data(scene, 2)
    clear(scene)
    play(scene)
    assert (phase(scene), gate(scene)["datasetVersion"]) == ("Evaluating", newer.name)
    assert of_candidate(scene)["reason"] == ""
    assert len(jobs(scene, "verify-v2")) == 1, "its bytes were verified already"
    gate_ends(scene, auc=0.9)
    assert phase(scene) == "Starting"


def test_a_version_that_fails_on_new_data_too_is_told_of_again() -> None:
    scene = challenged(gates=[a_gate()])
    gate_ends(scene, auc=0.7)
    new_data(scene, 2)
    play(scene)
    clear(scene)
    gate_ends(scene, auc=0.75)
    assert scene.told() == ["CandidateRejected"]
    assert history(scene)[:2] == [(2, "Rejected", "GateFailed")] * 2
    assert settled(scene)


# leaks


def _trained_on(split: str, dataset: str = "churn", digest: str = "listing:sha256:else") -> Manifest:
    given = {"name": "training", "dataset": dataset, "datasetVersion": "churn-v0", "digest": digest, "split": split}
    return a_model_version(2, inputs=[given])


LEAKS: list[tuple[str, str, str, bool]] = [
    ("the same split", "holdout", "holdout", True),
    ("another split", "train", "holdout", False),
    ("all rows judge one split", "", "holdout", True),
    ("one split, and all rows judge", "train", "", True),
    ("all rows, and all rows judge", "", "", True),
]


@pytest.mark.parametrize(("trained", "judges", "leaks"), named(LEAKS))
def test_data_that_a_model_was_trained_on_cannot_judge_it(trained: str, judges: str, leaks: bool) -> None:
    scene = challenged(suspend=True, gates=[a_gate(dataset={"dataset": "churn", "split": judges})])
    scene.put(_trained_on(trained))
    scene.change(DEPLOYMENT, suspend=False)
    play(scene)
    assert phase(scene) == ("Rejected" if leaks else "Evaluating")
    if leaks:
        assert of_candidate(scene)["reason"] == "GateLeaksTrainingData"
        assert "it was trained on" in of_candidate(scene)["message"]
        assert jobs(scene, "holdout-v2") == []
        assert settled(scene)


RULES: list[tuple[str, Manifest, bool]] = [
    ("in the same way", {}, False),
    ("in another way", {"key": "customer"}, True),
]


@pytest.mark.parametrize(("rule", "leaks"), named(RULES))
def test_another_split_is_other_rows_only_where_it_is_made_in_the_same_way(rule: Manifest, leaks: bool) -> None:
    scene = challenged(suspend=True, gates=[a_gate()])
    now = scene.all("DatasetVersion")[0]
    then = {**now, "metadata": {**now["metadata"], "name": "churn-v0"}, "spec": {**now["spec"], "splitRule": rule}}
    scene.put(then)
    scene.put(_trained_on("train"))
    scene.change(DEPLOYMENT, suspend=False)
    play(scene)
    assert phase(scene) == ("Rejected" if leaks else "Evaluating")
    if leaks:
        assert of_candidate(scene)["reason"] == "GateLeaksTrainingData"
        assert "was split in another way when it was trained" in of_candidate(scene)["message"]


SAME_BYTES: list[tuple[str, bool, bool]] = [("the same bytes", True, True), ("other bytes", False, False)]


@pytest.mark.parametrize(("same", "leaks"), named(SAME_BYTES))
def test_data_of_another_name_leak_when_they_are_the_same_bytes(same: bool, leaks: bool) -> None:
    scene = challenged(suspend=True, gates=[a_gate()])
    digest = scene.all("DatasetVersion")[0]["spec"]["digest"] if same else "listing:sha256:else"
    scene.put(_trained_on("", "copy", digest))
    scene.change(DEPLOYMENT, suspend=False)
    play(scene)
    assert phase(scene) == ("Rejected" if leaks else "Evaluating")


def test_another_split_is_no_proof_when_the_rows_were_split_in_another_way() -> None:
    scene = challenged(suspend=True, gates=[a_gate()])
    now = scene.only("DatasetVersion")
    metadata = {"name": "churn-v0", "namespace": NAMESPACE}
    split = {"rules": [{"name": "train", "percent": 50}], "key": ""}
    scene.put({**now, "metadata": metadata, "spec": {**now["spec"], "splitRule": split}})
    scene.put(_trained_on("train"))
    scene.change(DEPLOYMENT, suspend=False)
    play(scene)
    assert (phase(scene), of_candidate(scene)["reason"]) == ("Rejected", "GateLeaksTrainingData")
    assert "was split in another way" in of_candidate(scene)["message"]
