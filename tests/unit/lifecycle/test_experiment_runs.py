"""Which run is the current one, and what begins another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from keelway.api.kinds import Key
from tests.unit.lifecycle.builders import (
    EXPERIMENT,
    NAMESPACE,
    a_model_version,
    an_experiment,
)
from tests.unit.lifecycle.pods import a_pod_of, trial_ends
from tests.unit.lifecycle.scene import Scene, names
from tests.unit.lifecycle.trials import (
    begun,
    delete_jobs,
    fail,
    failed,
    finish,
    job_of,
    jobs,
    publish,
    rows,
    run,
    running,
    succeeded,
)

NEVER = {"onNewDatasetVersion": {"policy": "Never"}}


def inputs(**fields: Any) -> list[dict[str, Any]]:
    return [{"name": "training", "dataset": "churn", "split": "train", **fields}]


RECIPE: list[dict[str, Any]] = [
    {"objective": {"metric": "auc", "goal": "Minimize"}},
    {"parameters": [{"name": "depth", "int": {"min": 2, "max": 4}}]},
    {"search": {"algorithm": "Random", "maxTrials": 2, "parallelTrials": 2, "maxFailedTrials": 0, "seed": 7}},
    {"search": {"algorithm": "TPE", "maxTrials": 2, "parallelTrials": 2, "maxFailedTrials": 0}},
    {"search": {"algorithm": "Random", "maxTrials": 3, "parallelTrials": 2, "maxFailedTrials": 0}},
    {"trial": {"job": {"template": {"spec": {"containers": [{"name": "train", "image": "train:2"}]}}}}},
    {"output": {"model": "churn", "format": {"name": "xgboost"}, "uri": "s3://models/churn/"}},
    {"output": {"model": "churn-two", "format": {"name": "sklearn"}, "uri": "s3://models/churn/"}},
    {"datasets": [{"name": "training", "dataset": "churn"}]},
    {"datasets": [{"name": "other", "dataset": "churn", "split": "train"}]},
]


TEMPLATE = an_experiment()["spec"]["trial"]["job"]


SIDE_ISSUES: list[dict[str, Any]] = [
    {"owner": {"team": "growth"}},
    {"search": {"algorithm": "Random", "maxTrials": 2, "parallelTrials": 1, "maxFailedTrials": 2}},
    {"trial": {"job": TEMPLATE, "timeout": "2h", "retries": 3}},
    {"output": {**an_experiment()["spec"]["output"], "access": {"secretRef": {"name": "rotated"}}}},
    {"retention": {"runs": 3, "jobTTL": "5m"}},
    {"trigger": NEVER},
]


@pytest.mark.parametrize("change", RECIPE, ids=str)
def test_a_changed_recipe_supersedes_the_run_and_ends_its_jobs(change: dict[str, Any]) -> None:
    scene = begun(trigger=NEVER)
    before = names(jobs(scene))
    scene.change(EXPERIMENT, **change)
    scene.settle(EXPERIMENT)
    assert not set(before) & set(names(jobs(scene)))
    assert (run(scene)["number"], run(scene)["reason"]) == (2, "SpecChanged")
    assert [(line["number"], line["state"]) for line in scene.status(EXPERIMENT)["runs"]] == [(1, "Superseded")]
    assert scene.told() == ["RunStarted", "RunSuperseded", "RunStarted"]


def test_pods_of_a_superseded_run_end_soon_although_uploads_have_long_grace() -> None:
    scene = begun(trigger=NEVER)
    pod = a_pod_of(scene, job_of(scene, 0), phase="Running")
    scene.change(EXPERIMENT, parameters=[{"name": "depth", "int": {"min": 1, "max": 3}}])
    deletes = scene.decide(EXPERIMENT).deletes
    ends = [order for order in deletes if order.key.kind == "Pod"]
    assert [(order.key.name, order.uid) for order in ends] == [(pod["metadata"]["name"], pod["metadata"]["uid"])]
    assert (ends[0].grace_seconds or 0) <= 5


@pytest.mark.parametrize("change", RECIPE, ids=str)
def test_a_changed_recipe_begins_another_run_after_a_finished_one(change: dict[str, Any]) -> None:
    scene = succeeded(trigger=NEVER)
    scene.change(EXPERIMENT, **change)
    scene.settle(EXPERIMENT)
    assert (run(scene)["number"], run(scene)["state"]) == (2, "Running")
    assert scene.condition(EXPERIMENT, "Succeeded") == {}, "it speaks of the current run"
    assert scene.told()[-1] == "RunStarted"


@pytest.mark.parametrize("change", SIDE_ISSUES, ids=str)
@pytest.mark.parametrize("start", [begun, succeeded])
def test_what_does_not_make_another_model_makes_no_other_run(
    start: Callable[[], Scene], change: dict[str, Any]
) -> None:
    scene = start()
    before = names(jobs(scene)), run(scene)["number"]
    scene.change(EXPERIMENT, **change)
    scene.settle(EXPERIMENT)
    assert (names(jobs(scene)), run(scene)["number"]) == before
    assert scene.status(EXPERIMENT)["observedGeneration"] == 2


def test_back_to_an_earlier_spec_that_made_a_model_costs_nothing() -> None:
    scene = succeeded()
    original, first = scene.get(EXPERIMENT)["spec"]["parameters"], scene.status(EXPERIMENT)["trials"]["configMap"]
    scene.change(EXPERIMENT, parameters=[{"name": "depth", "int": {"min": 1, "max": 3}}])
    scene.settle(EXPERIMENT)
    finish(scene)
    delete_jobs(scene)
    scene.change(EXPERIMENT, parameters=original)
    scene.settle(EXPERIMENT)
    assert jobs(scene) == []
    assert scene.standing(EXPERIMENT) == "Ready RunCached"
    assert run(scene)["state"] == "Succeeded"
    assert scene.status(EXPERIMENT)["model"] == {"name": "churn-v1", "version": 1}
    assert scene.status(EXPERIMENT)["trials"]["configMap"] == first, "where the trials are that answered"
    assert scene.message(EXPERIMENT).startswith("run 3 was answered by churn-v1")
    assert scene.told()[-1] == "RunSucceeded"


def test_back_to_a_superseded_spec_goes_on_with_what_was_done() -> None:
    scene = begun(trials=3, search={"algorithm": "Random", "maxTrials": 3, "parallelTrials": 1})
    trial_ends(scene, job_of(scene, 0), 0.9)
    scene.settle(EXPERIMENT)
    original = scene.get(EXPERIMENT)["spec"]["parameters"]
    scene.change(EXPERIMENT, parameters=[{"name": "depth", "int": {"min": 1, "max": 3}}])
    scene.settle(EXPERIMENT)
    scene.change(EXPERIMENT, parameters=original)
    scene.settle(EXPERIMENT)
    assert run(scene)["number"] == 3
    assert rows(scene)[0]["state"] == "Succeeded"
    assert running(scene) == [1]


def test_the_same_bytes_asked_for_by_another_word_are_no_change() -> None:
    scene = succeeded(trigger=NEVER)
    scene.change(EXPERIMENT, datasets=inputs(version="1"))
    scene.settle(EXPERIMENT)
    assert run(scene)["number"] == 1
    publish(scene, 2, "second")
    scene.settle(EXPERIMENT)
    assert run(scene)["number"] == 1
    scene.change(EXPERIMENT, datasets=inputs(version="2"))
    scene.settle(EXPERIMENT)
    assert (run(scene)["number"], run(scene)["datasets"][0]["version"]) == (2, 2)


def test_a_run_ends_when_the_spec_asks_for_data_that_is_not_there() -> None:
    scene = begun()
    scene.change(EXPERIMENT, datasets=inputs(dataset="elsewhere"))
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Reconciling DatasetMissing"
    assert jobs(scene) == []


def test_a_new_version_during_a_run_waits_for_its_end() -> None:
    scene = begun()
    publish(scene, 2, "second")
    assert scene.settle(EXPERIMENT) == []
    finish(scene)
    assert [model["spec"]["inputs"][0]["datasetVersion"][:8] for model in scene.all("ModelVersion")] == [
        "churn-v1",
        "churn-v2",
    ]
    assert (run(scene)["number"], run(scene)["reason"]) == (2, "NewDatasetVersion")


def test_a_new_version_after_a_run_begins_another() -> None:
    scene = succeeded()
    publish(scene, 2, "second")
    scene.settle(EXPERIMENT)
    assert (run(scene)["number"], run(scene)["reason"], run(scene)["state"]) == (2, "NewDatasetVersion", "Running")
    assert scene.status(EXPERIMENT)["runs"][0]["model"] == "churn-v1"
    assert scene.standing(EXPERIMENT) == "Reconciling TrialsRunning"


def test_a_new_version_after_a_failed_run_begins_another() -> None:
    scene = failed()
    publish(scene, 2, "second")
    scene.settle(EXPERIMENT)
    assert (run(scene)["number"], run(scene)["state"]) == (2, "Running")


def test_a_new_record_of_the_same_bytes_begins_none() -> None:
    scene = succeeded()
    publish(scene, 2, "first")
    scene.settle(EXPERIMENT)
    assert run(scene)["number"] == 1


def test_with_policy_never_only_the_spec_begins_a_run() -> None:
    scene = succeeded(trigger=NEVER)
    publish(scene, 2, "second")
    scene.settle(EXPERIMENT)
    assert run(scene)["number"] == 1
    assert scene.standing(EXPERIMENT) == "Ready RunSucceeded"


def test_a_failed_run_stays_failed_until_it_is_asked_for_again_and_then_begins_from_scratch() -> None:
    scene = failed()
    assert scene.standing(EXPERIMENT) == "Stalled TrainerFailed"
    assert scene.settle(EXPERIMENT) == []
    before = names(jobs(scene))
    scene.annotate(EXPERIMENT, reconcile="again")
    scene.settle(EXPERIMENT)
    assert (run(scene)["number"], run(scene)["reason"], run(scene)["state"]) == (2, "Requested", "Running")
    assert not set(before) & {job["metadata"]["name"] for job in jobs(scene) if not job.get("status")}
    assert len(running(scene)) == 2
    finish(scene)
    assert scene.standing(EXPERIMENT) == "Ready RunSucceeded"


@pytest.mark.parametrize("kept", [1, 2, 10])
def test_a_failed_run_can_be_asked_for_any_number_of_times(kept: int) -> None:
    scene = failed(retention={"runs": kept})
    for time in range(5):
        scene.annotate(EXPERIMENT, reconcile=str(time))
        scene.settle(EXPERIMENT)
        assert (run(scene)["number"], run(scene)["state"]) == (time + 2, "Running")
        assert len(running(scene)) == 2
        fail(scene)
    assert len(scene.status(EXPERIMENT)["runs"]) == min(kept, 5)


def test_a_run_that_is_asked_for_again_is_answered_by_the_model_that_it_made() -> None:
    scene = succeeded()
    scene.annotate(EXPERIMENT, reconcile="again")
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Ready RunCached"
    assert (run(scene)["number"], run(scene)["reason"], run(scene)["answeredBy"]) == (2, "Requested", "churn-v1")
    assert run(scene)["trials"]["progress"] == "cached"
    assert running(scene) == []
    assert scene.settle(EXPERIMENT) == [], "one request, one answer"


def test_suspended_before_a_run_nothing_begins() -> None:
    scene = Scene(an_experiment(suspend=True))
    publish(scene, 1, "first")
    scene.settle(EXPERIMENT)
    assert jobs(scene) == []
    assert scene.standing(EXPERIMENT) == "- Suspended"
    scene.change(EXPERIMENT, suspend=False)
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Reconciling TrialsRunning"


def test_suspended_during_a_run_what_runs_goes_on_and_nothing_new_begins() -> None:
    scene = begun(trials=4, search={"algorithm": "Random", "maxTrials": 4, "parallelTrials": 2})
    scene.change(EXPERIMENT, suspend=True)
    scene.settle(EXPERIMENT)
    assert running(scene) == [0, 1]
    finish(scene)
    assert running(scene) == []
    assert scene.standing(EXPERIMENT) == "- Suspended"
    assert {row["state"] for row in rows(scene).values()} == {"Succeeded"}
    scene.change(EXPERIMENT, suspend=False)
    scene.settle(EXPERIMENT)
    assert running(scene) == [2, 3]
    finish(scene)
    assert scene.standing(EXPERIMENT) == "Ready RunSucceeded"


def test_suspended_after_a_run_no_new_version_begins_one() -> None:
    scene = succeeded()
    scene.change(EXPERIMENT, suspend=True)
    publish(scene, 2, "second")
    scene.settle(EXPERIMENT)
    assert (run(scene)["number"], scene.standing(EXPERIMENT)) == (1, "Ready Suspended")
    scene.change(EXPERIMENT, suspend=False)
    scene.settle(EXPERIMENT)
    assert run(scene)["number"] == 2


def test_another_experiment_of_the_same_recipe_takes_the_model_that_is_there() -> None:
    scene = succeeded()
    twin = Key("Experiment", NAMESPACE, "twin")
    scene.put(an_experiment("twin"))
    scene.settle(twin)
    assert scene.standing(twin) == "Ready RunCached"
    assert "trials" not in scene.status(twin), "it has made none"
    assert len(scene.all("ModelVersion")) == 1


def test_an_experiment_made_again_under_its_name_takes_the_model_that_is_there() -> None:
    scene = succeeded()
    scene.remove(EXPERIMENT)
    scene.put(an_experiment())
    scene.settle(EXPERIMENT)
    assert jobs(scene) == []
    assert scene.standing(EXPERIMENT) == "Ready RunCached"


def test_a_model_that_comes_while_a_run_of_the_same_recipe_goes_on_ends_it() -> None:
    scene = begun()
    run_hash = run(scene)["hash"]
    scene.put(a_model_version(5, producedBy={"experiment": "twin", "uid": "x", "run": 1, "runHash": run_hash}))
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Ready RunCached"
    assert running(scene) == [], "nobody pays for what is answered"


def test_a_leaving_experiment_begins_nothing() -> None:
    leaving = an_experiment()
    leaving["metadata"].update(deletionTimestamp="2026-03-01T12:00:00Z", finalizers=["keelway.dev/x"])
    scene = Scene(leaving)
    publish(scene, 1, "first")
    plan = scene.decide(EXPERIMENT)
    assert (plan.reason, plan.creates, plan.status) == ("leaving", (), None)
