"""Evaluations that come to nothing: what is tried again, what is not, and what is said."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from keelway.api.judging import MeasureVerdict
from keelway.engine.objects import key_of
from tests.unit.lifecycle.builders import DATASET, DEPLOYMENT, a_model_version
from tests.unit.lifecycle.pods import Ended, a_pod_of, a_waiting_pod_of
from tests.unit.lifecycle.rollouts import (
    a_gate,
    challenged,
    clear,
    failed_stage,
    gate,
    gate_ends,
    gate_ends_with,
    new_data,
    of_candidate,
    phase,
    settled,
    working,
)
from tests.unit.lifecycle.scene import Scene, named
from tests.unit.lifecycle.servers import play


def _metric_missing(scene: Scene) -> None:
    said = MeasureVerdict(outcome="Failed", reason="MetricMissing", message="metrics.jsonl has no auc")
    gate_ends_with(scene, measure=Ended(1, said.model_dump_json()))


ERRORS: list[tuple[str, Callable[[Scene], None], str, str]] = [
    (
        "the evaluator fails",
        lambda scene: gate_ends_with(scene, judge=Ended(3)),
        "EvaluatorFailed",
        "its evaluation: container judge ended with exit code 3",
    ),
    (
        "the evaluator takes too long",
        lambda scene: gate_ends_with(scene, judge=Ended(137), reason="DeadlineExceeded"),
        "TimedOut",
        "its evaluation: the evaluation took longer than 1h: raise timeout of gate holdout",
    ),
    (
        "the evaluator uses too much memory",
        lambda scene: gate_ends_with(scene, judge=Ended(137, reason="OOMKilled")),
        "OutOfMemory",
        "its evaluation: container judge used more memory than it may",
    ),
    ("the metric is missing", _metric_missing, "MetricMissing", "its evaluation: metrics.jsonl has no auc"),
    (
        "the data are not what they were",
        lambda scene: gate_ends_with(scene, stage=failed_stage("DatasetVersionGone")),
        "DatasetVersionGone",
        "its evaluation: as the case says",
    ),
    (
        "the metric is no number",
        lambda scene: gate_ends(scene, other=1.0),
        "MetricMissing",
        "its evaluation: there is no number for auc, there is: other",
    ),
]


@pytest.mark.parametrize(("happens", "reason", "message"), named(ERRORS))
def test_an_evaluation_that_comes_to_nothing_is_not_run_again_until_something_changes(
    happens: Callable[[Scene], None], reason: str, message: str
) -> None:
    scene = challenged(gates=[a_gate()])
    happens(scene)
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("Rejected", f"Ready {reason}")
    assert (gate(scene)["state"], gate(scene)["metrics"]) == ("Error", {})
    assert gate(scene)["message"].startswith(message)
    for job in scene.all("Job"):
        scene.remove(key_of(job))
    scene.wait(86400)
    assert settled(scene)


AGAIN: list[tuple[str, Callable[[Scene], Any]]] = [
    ("other data", lambda scene: new_data(scene, 2)),
    ("another evaluator", lambda scene: scene.change(DEPLOYMENT, gates=[a_gate(image="registry.example.com/judge:2")])),
    ("more time", lambda scene: scene.change(DEPLOYMENT, gates=[a_gate(timeout="2h")])),
    ("the retry annotation", lambda scene: scene.annotate(DEPLOYMENT, retry="1")),
]


@pytest.mark.parametrize("changes", named(AGAIN))
def test_an_evaluation_that_failed_is_run_again_for(changes: Callable[[Scene], Any]) -> None:
    scene = challenged(gates=[a_gate()])
    gate_ends_with(scene, judge=Ended(3))
    changes(scene)
    play(scene)
    assert phase(scene) == "Evaluating"
    assert len(working(scene, "holdout-v2")) == 1
    gate_ends(scene, auc=0.9)
    assert phase(scene) == "Starting"


def test_a_disrupted_evaluation_begins_anew_at_once() -> None:
    scene = challenged(gates=[a_gate()])
    (first,) = working(scene)
    gate_ends_with(scene, judge=Ended(137), evicted=True)
    scene.wait(15)
    play(scene)
    (second,) = working(scene)
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    assert phase(scene) == "Evaluating"
    gate_ends(scene, auc=0.9)
    assert phase(scene) == "Starting"


def _says_nothing(scene: Scene) -> None:
    gate_ends_with(scene)


OUTSIDE: list[tuple[str, Callable[[Scene], None], str]] = [
    *(
        (reason, partial(gate_ends_with, stage=failed_stage(reason)), reason)
        for reason in ("AccessDenied", "SecretMissing", "SourceUnreachable", "SourceChanging", "OutOfSpace")
    ),
    ("the sidecar says nothing", _says_nothing, "InternalError"),
]


@pytest.mark.parametrize(("happens", "reason"), named(OUTSIDE))
def test_what_lies_neither_in_the_model_nor_in_the_evaluator_is_tried_again_after_a_while(
    happens: Callable[[Scene], None], reason: str
) -> None:
    scene = challenged(gates=[a_gate()])
    (first,) = working(scene)
    happens(scene)
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("Evaluating", f"Stalled {reason}")
    assert "version 1 keeps serving" in scene.message(DEPLOYMENT)
    assert scene.decide(DEPLOYMENT).look_again_after == 300
    scene.wait(299)
    assert settled(scene)
    scene.wait(1)
    play(scene)
    (second,) = working(scene)
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    assert scene.standing(DEPLOYMENT) == "Reconciling Evaluating"
    gate_ends(scene, auc=0.9)
    assert phase(scene) == "Starting"


def test_an_evaluation_whose_pod_does_not_start_shows() -> None:
    scene = challenged(gates=[a_gate()])
    a_waiting_pod_of(scene, working(scene)[0], "ImagePullBackOff", "no such image", "judge")
    play(scene)
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("Evaluating", "Stalled ImagePullFailed")
    assert "gate holdout: container judge" in scene.message(DEPLOYMENT)
    assert settled(scene)


def test_an_evaluator_that_does_not_end_in_time_is_ended_soon() -> None:
    scene = challenged(gates=[a_gate()])
    (job,) = working(scene)
    a_pod_of(scene, job, phase="Running")
    scene.say(key_of(job), conditions=[{"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded"}])
    clear(scene)
    play(scene)
    assert scene.writes == ["delete Pod"]
    assert job["spec"]["activeDeadlineSeconds"] == 3600


def test_a_newer_version_ends_the_evaluation_of_the_one_before() -> None:
    scene = challenged(gates=[a_gate()])
    scene.put(a_model_version(3))
    play(scene)
    assert of_candidate(scene)["version"] == 3
    assert (working(scene, "holdout-v2"), len(working(scene, "holdout-v3"))) == ([], 1)


def test_a_later_candidate_is_not_held_to_account_for_the_one_before() -> None:
    scene = challenged(gates=[a_gate()])
    gate_ends(scene, auc=0.7)
    scene.put(a_model_version(3))
    play(scene)
    assert scene.condition(DEPLOYMENT, "GatePassed") == {}
    assert scene.status(DATASET)["lastGood"]["version"] == 1
