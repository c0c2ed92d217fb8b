"""What a version must show on held-out data before its servers start."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.api.jobs import StageVerdict
from keelway.api.judging import MeasureVerdict
from keelway.api.kinds import Key
from keelway.engine.objects import key_of
from tests.unit.lifecycle.builders import DEPLOYMENT, NAMESPACE, a_dataset, a_model_version
from tests.unit.lifecycle.pods import Ended, an_ended_pod_of, ends
from tests.unit.lifecycle.rollouts import (
    a_gate,
    challenged,
    clear,
    failed_stage,
    gate,
    gate_ends,
    gate_ends_with,
    history,
    jobs,
    new_data,
    of_candidate,
    phase,
    settled,
    shares,
    working,
)
from tests.unit.lifecycle.scene import Scene, named, names
from tests.unit.lifecycle.servers import candidate, get_ready, live, play, serving, starting

V1 = Key("ModelVersion", NAMESPACE, "churn-v1")
V2 = Key("ModelVersion", NAMESPACE, "churn-v2")
REGRESSION = {"metric": "auc", "maxRegression": 0.005}
LOSS = {"metric": "loss", "goal": "Minimize", "maxRegression": 0.1}


def test_a_version_is_evaluated_before_its_servers_start() -> None:
    scene = challenged(gates=[a_gate()])
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("Evaluating", "Reconciling Evaluating")
    assert scene.message(DEPLOYMENT).startswith("version 2 is evaluated: gate holdout: ")
    assert len(working(scene)) == 1
    assert names(scene.all("InferenceService")) == [live(scene)]
    assert settled(scene)
    gate_ends(scene, auc=0.9)
    assert phase(scene) == "Starting"
    assert (gate(scene)["state"], gate(scene)["metrics"]) == ("Passed", {"auc": 0.9})
    assert scene.condition(DEPLOYMENT, "GatePassed")["status"] == "True"
    assert len(scene.all("InferenceService")) == 2


def test_what_is_recorded_comes_before_what_follows_from_it() -> None:
    scene = challenged(gates=[a_gate()])
    clear(scene)
    gate_ends(scene, auc=0.9)
    order = [write for write in scene.writes if write != "apply InferenceService"]
    assert order[:2] == ["status ModelVersion", "status ModelDeployment"]
    assert scene.told() == ["GatePassed", "CandidateStarting"]


BOUNDS: list[tuple[str, list[Manifest], dict[str, float], str]] = [
    ("well above the least", [{"metric": "auc", "min": 0.8}], {"auc": 0.9}, ""),
    ("the least itself", [{"metric": "auc", "min": 0.8}], {"auc": 0.8}, ""),
    ("below the least", [{"metric": "auc", "min": 0.8}], {"auc": 0.79}, "auc 0.79 is below 0.8"),
    ("the most itself", [{"metric": "loss", "max": 0.3}], {"loss": 0.3}, ""),
    ("above the most", [{"metric": "loss", "max": 0.3}], {"loss": 0.31}, "loss 0.31 is above 0.3"),
    ("within both", [{"metric": "rate", "min": 0.1, "max": 0.2}], {"rate": 0.15}, ""),
    (
        "one of several checks",
        [{"metric": "auc", "min": 0.8}, {"metric": "loss", "max": 0.3}],
        {"auc": 0.9, "loss": 0.4},
        "loss 0.4 is above 0.3",
    ),
    (
        "all of several checks",
        [{"metric": "auc", "min": 0.8}, {"metric": "loss", "max": 0.3}],
        {"auc": 0.7, "loss": 0.4},
        "auc 0.7 is below 0.8; loss 0.4 is above 0.3",
    ),
]


@pytest.mark.parametrize(("checks", "metrics", "problem"), named(BOUNDS))
def test_bounds(checks: list[Manifest], metrics: dict[str, float], problem: str) -> None:
    scene = challenged(gates=[a_gate("holdout", *checks)])
    gate_ends(scene, **metrics)
    assert phase(scene) == ("Rejected" if problem else "Starting")
    assert gate(scene)["metrics"] == metrics
    if problem:
        assert gate(scene)["message"] == problem


REGRESSIONS: list[tuple[str, Manifest, float, float, str]] = [
    ("better", REGRESSION, 0.9, 0.91, ""),
    ("as good", REGRESSION, 0.9, 0.9, ""),
    ("a little worse", REGRESSION, 0.9, 0.897, ""),
    ("just as much worse as it may be, which binary fractions miss", REGRESSION, 0.907, 0.902, ""),
    ("worse", REGRESSION, 0.9, 0.89, "auc 0.89 is worse than the live model's 0.9 by 0.01, more than 0.005"),
    ("lower is better: lower", LOSS, 0.5, 0.3, ""),
    ("lower is better: a little higher", LOSS, 0.5, 0.55, ""),
    ("lower is better: higher", LOSS, 0.5, 0.7, "loss 0.7 is worse than the live model's 0.5 by 0.2, more than 0.1"),
    ("no regression at all: as good", {"metric": "auc", "maxRegression": 0}, 0.9, 0.9, ""),
    (
        "no regression at all: worse",
        {"metric": "auc", "maxRegression": 0},
        0.9,
        0.899,
        "auc 0.899 is worse than the live model's 0.9 by 0.001, more than 0",
    ),
]


@pytest.mark.parametrize(("check", "before", "now", "problem"), named(REGRESSIONS))
def test_against_the_live_model_on_the_same_data(check: Manifest, before: float, now: float, problem: str) -> None:
    scene = challenged(gates=[a_gate("holdout", check)])
    assert len(working(scene)) == 2, "both are measured"
    gate_ends(scene, 1, **{check["metric"]: before})
    assert phase(scene) == "Evaluating"
    gate_ends(scene, 2, **{check["metric"]: now})
    assert phase(scene) == ("Rejected" if problem else "Starting")
    assert (gate(scene)["metrics"], gate(scene)["liveMetrics"]) == ({check["metric"]: now}, {check["metric"]: before})
    assert gate(scene)["message"] == (problem or f"{check['metric']} {now:.6g} (live {before:.6g})")


def test_a_version_that_is_not_good_enough_says_the_numbers_and_stays_where_it_is() -> None:
    scene = challenged(gates=[a_gate()])
    clear(scene)
    gate_ends(scene, auc=0.7)
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("Rejected", "Ready GateFailed")
    said = "version 2 is not served: gate holdout: auc 0.7 is below 0.8; version 1 keeps serving"
    assert scene.message(DEPLOYMENT).startswith(said)
    refused = scene.condition(DEPLOYMENT, "GatePassed")
    assert (refused["status"], refused["reason"]) == ("False", "GateFailed")
    assert of_candidate(scene)["message"] == "gate holdout: auc 0.7 is below 0.8"
    assert history(scene)[0] == (2, "Rejected", "GateFailed")
    assert scene.told() == ["CandidateRejected"]
    assert "apply InferenceService" not in scene.writes
    assert shares(scene) == {1: 100}
    for job in scene.all("Job"):
        scene.remove(key_of(job))
    scene.wait(86400)
    assert settled(scene), "nor is it measured again"


def test_without_a_live_model_the_least_counts_and_nothing_is_compared() -> None:
    scene = starting(1, gates=[a_gate("holdout", {"metric": "auc", "min": 0.8, "maxRegression": 0.01})])
    _with_data(scene)
    assert len(working(scene)) == 1
    gate_ends(scene, 1, auc=0.85)
    assert phase(scene) == "Starting"
    assert gate(scene)["message"] == "auc 0.85 (no live model to compare with)"


def test_the_first_version_of_all_that_is_not_good_enough_needs_help() -> None:
    scene = starting(1, gates=[a_gate()])
    _with_data(scene)
    gate_ends(scene, 1, auc=0.5)
    assert scene.standing(DEPLOYMENT) == "Stalled GateFailed"
    assert scene.all("InferenceService") == []
    assert settled(scene)


def _with_data(scene: Scene) -> None:
    scene.put(a_dataset())
    new_data(scene, 1)
    play(scene)


@pytest.mark.parametrize("reason", ["ArtifactMissing", "ArtifactDigestMismatch"])
def test_a_live_model_whose_files_are_gone_does_not_stand_in_the_way(reason: str) -> None:
    scene = challenged(gates=[a_gate("holdout", {"metric": "auc", "min": 0.8, "maxRegression": 0.005})])
    gate_ends_with(scene, 1, stage=failed_stage(reason))
    gate_ends(scene, 2, auc=0.81)
    assert phase(scene) == "Starting"
    assert gate(scene)["message"] == "auc 0.81 (no live model to compare with)"


def test_a_live_model_whose_files_are_gone_is_not_read_again_and_again() -> None:
    scene = challenged(gates=[a_gate("holdout", {"metric": "auc", "min": 0.8, "maxRegression": 0.005})])
    gate_ends_with(scene, 1, stage=failed_stage("ArtifactMissing"))
    gate_ends(scene, 2, auc=0.7)
    assert phase(scene) == "Rejected"
    for job in scene.all("Job"):
        scene.remove(key_of(job))
    assert settled(scene)


def test_a_live_model_whose_record_is_gone_is_not_compared_with() -> None:
    scene = challenged(gates=[a_gate("holdout", {"metric": "auc", "min": 0.8, "maxRegression": 0.005})])
    scene.remove(V1)
    play(scene)
    gate_ends(scene, 2, auc=0.81)
    assert phase(scene) == "Starting"


def test_a_version_that_was_worse_than_one_that_is_gone_is_judged_again() -> None:
    scene = challenged(gates=[a_gate("holdout", {"metric": "auc", "min": 0.8, "maxRegression": 0.005})])
    gate_ends(scene, 1, auc=0.9)
    gate_ends(scene, 2, auc=0.85)
    assert phase(scene) == "Rejected"
    scene.remove(V1)
    play(scene)
    assert phase(scene) == "Starting"


def test_other_servers_of_the_live_version_are_not_compared_with_it() -> None:
    scene = serving(1, gates=[])
    scene.put(a_dataset())
    new_data(scene, 1)
    scene.change(DEPLOYMENT, gates=[a_gate("holdout", REGRESSION)], serving={"protocol": "v1"})
    play(scene)
    assert len(scene.decide(DEPLOYMENT).creates) == 0
    assert gate(scene).get("comparedWith", "") == ""
    gate_ends(scene, 1, auc=0.7)
    assert phase(scene) == "Starting"


def test_a_live_model_that_cannot_be_measured_is_an_error_of_the_gate() -> None:
    scene = challenged(gates=[a_gate("holdout", REGRESSION)])
    gate_ends_with(scene, 1, judge=Ended(1))
    assert (phase(scene), of_candidate(scene)["reason"]) == ("Rejected", "EvaluatorFailed")
    assert gate(scene)["message"].startswith("the live model's evaluation: container judge ended with exit code 1")
    assert settled(scene)


# several gates


def test_several_gates_are_measured_side_by_side_and_must_all_be_passed() -> None:
    scene = challenged(gates=[a_gate("holdout"), a_gate("fairness", {"metric": "gap", "max": 0.1})])
    assert len(working(scene)) == 2
    gate_ends(scene, 2, "fairness", gap=0.05)
    assert phase(scene) == "Evaluating"
    assert (gate(scene, "fairness")["state"], gate(scene, "holdout")["state"]) == ("Passed", "Running")
    assert settled(scene)
    gate_ends(scene, 2, "holdout", auc=0.9)
    assert phase(scene) == "Starting"
    assert scene.condition(DEPLOYMENT, "GatePassed")["message"] == "holdout: auc 0.9; fairness: gap 0.05"


def test_one_shut_gate_is_enough_and_the_other_evaluations_end() -> None:
    scene = challenged(gates=[a_gate("holdout"), a_gate("fairness", {"metric": "gap", "max": 0.1})])
    gate_ends(scene, 2, "fairness", gap=0.2)
    assert (phase(scene), of_candidate(scene)["message"]) == ("Rejected", "gate fairness: gap 0.2 is above 0.1")
    assert working(scene) == []
    assert settled(scene)


def test_gates_that_end_together_are_all_recorded() -> None:
    scene = challenged(gates=[a_gate("holdout"), a_gate("fairness", {"metric": "gap", "max": 0.1})])
    metrics = {"auc": 0.9, "gap": 0.0}
    for job in working(scene):
        said = MeasureVerdict(outcome="Measured", metrics=metrics).model_dump_json()
        staged = StageVerdict(outcome="Staged").model_dump_json()
        an_ended_pod_of(scene, job, {"stage": Ended(message=staged), "measure": Ended(message=said), "judge": Ended()})
        ends(scene, job)
    clear(scene)
    play(scene)
    assert phase(scene) == "Starting"
    assert scene.writes.count("status ModelVersion") <= 2
    assert len(scene.status(V2)["evaluations"]) <= 2


# what is known is not measured again


def _recorded(scene: Scene, version: Key, auc: float, **fields: Any) -> None:
    """An evaluation is on record, for the gate and the data of this scene."""
    result = gate(scene)
    data = scene.get(Key("DatasetVersion", NAMESPACE, result["datasetVersion"]))
    one = {
        "evaluator": result["evaluator"],
        "datasetVersion": result["datasetVersion"],
        "digest": data["spec"]["digest"],
        "split": "holdout",
        "metrics": {"auc": auc},
        **fields,
    }
    scene.say(version, evaluations=[one])


def test_an_evaluation_that_is_on_record_takes_no_job() -> None:
    known = challenged(gates=[a_gate()])
    scene = challenged(gates=[a_gate()], suspend=True)
    result, data = gate(known), scene.all("DatasetVersion")[0]
    one = {"evaluator": result["evaluator"], "datasetVersion": "x", "digest": data["spec"]["digest"]}
    scene.put(a_model_version(2) | {"status": {"evaluations": [{**one, "split": "holdout", "metrics": {"auc": 0.9}}]}})
    scene.change(DEPLOYMENT, suspend=False)
    play(scene)
    assert phase(scene) == "Starting"
    assert jobs(scene, "holdout-v2") == []


ELSEWHERE: list[tuple[str, dict[str, Any]]] = [
    ("by another evaluator", {"evaluator": "other"}),
    ("on other data", {"digest": "listing:sha256:other"}),
    ("on another split", {"split": "train"}),
]


@pytest.mark.parametrize("fields", named(ELSEWHERE))
def test_an_evaluation_that_is_on_record_for_something_else_does_not_count(fields: dict[str, Any]) -> None:
    scene = challenged(gates=[a_gate()])
    _recorded(scene, V2, 0.9, **fields)
    play(scene)
    assert phase(scene) == "Evaluating"
    assert len(working(scene)) == 1


def test_the_live_models_evaluation_of_before_is_used() -> None:
    scene = starting(1, gates=[a_gate("holdout", {"metric": "auc", "min": 0.8, "maxRegression": 0.005})])
    _with_data(scene)
    gate_ends(scene, 1, auc=0.9)
    get_ready(scene, candidate(scene))
    play(scene)
    scene.put(a_model_version(2))
    play(scene)
    assert len(working(scene)) == 1
    gate_ends(scene, 2, auc=0.91)
    assert gate(scene)["liveMetrics"] == {"auc": 0.9}


def test_the_same_evaluator_at_another_gate_takes_no_job() -> None:
    scene = challenged(gates=[a_gate("least")])
    gate_ends(scene, 2, "least", auc=0.9, loss=0.2)
    scene.change(DEPLOYMENT, gates=[a_gate("most", {"metric": "loss", "max": 0.3})])
    play(scene)
    assert phase(scene) == "Starting"
    assert jobs(scene, "most-v2") == []


def test_an_evaluation_that_lacks_the_metric_does_not_count() -> None:
    scene = challenged(gates=[a_gate("least")])
    gate_ends(scene, 2, "least", auc=0.9)
    scene.change(DEPLOYMENT, gates=[a_gate("most", {"metric": "loss", "max": 0.3})])
    play(scene)
    assert phase(scene) == "Evaluating"
    gate_ends(scene, 2, "most", loss=0.2)
    assert phase(scene) == "Starting"


def test_the_same_evaluator_with_other_bounds_takes_no_job() -> None:
    scene = challenged(gates=[a_gate("holdout", {"metric": "auc", "min": 0.95})])
    gate_ends(scene, auc=0.9)
    assert phase(scene) == "Rejected"
    scene.change(DEPLOYMENT, gates=[a_gate("holdout", {"metric": "auc", "min": 0.85})])
    clear(scene)
    play(scene)
    assert phase(scene) == "Starting"
    assert len(jobs(scene, "holdout-v2")) == 1, "that of before"
