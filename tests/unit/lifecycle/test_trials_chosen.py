"""Which trials come next, when a run is over, and what becomes a model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from keelway.api.jobs import StageVerdict
from keelway.api.kinds import Key
from keelway.engine.objects import key_of
from keelway.lifecycle.experiment.trials import facts
from tests.unit.lifecycle.builders import EXPERIMENT, NAMESPACE, a_model_version, an_experiment
from tests.unit.lifecycle.pods import (
    Ended,
    an_ended_pod_of,
    ends,
    trial_ends,
    trial_ends_with,
)
from tests.unit.lifecycle.scene import Scene, names
from tests.unit.lifecycle.trials import (
    begun,
    collect_failed,
    collected,
    delete_jobs,
    finish,
    job_of,
    jobs,
    publish,
    rows,
    run,
    running,
    search,
    without_retries,
)

AT_ONCE = {"cooldown": "0s", "maxRunsPerDay": 100}


def test_as_many_trials_run_at_a_time_as_the_spec_says() -> None:
    scene = begun(trials=5, search=search(maxTrials=5, parallelTrials=2))
    assert running(scene) == [0, 1]
    trial_ends(scene, job_of(scene, 0), 0.5)
    scene.settle(EXPERIMENT)
    assert running(scene) == [1, 2]
    scene.change(EXPERIMENT, search=search(maxTrials=5, parallelTrials=3))
    scene.settle(EXPERIMENT)
    assert running(scene) == [1, 2, 3]
    scene.change(EXPERIMENT, search=search(maxTrials=5, parallelTrials=1))
    trial_ends(scene, job_of(scene, 1), 0.5)
    scene.settle(EXPERIMENT)
    assert running(scene) == [2, 3]


@pytest.mark.parametrize(("allowed", "survives"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_run_fails_when_more_trials_failed_than_it_may_lose(allowed: int, survives: bool) -> None:
    scene = begun(trials=4, search=search(maxTrials=4, parallelTrials=4, maxFailedTrials=allowed))
    for number in (0, 0, 1, 1):
        if number in running(scene):
            trial_ends_with(scene, job_of(scene, number), train=Ended(1))
            scene.settle(EXPERIMENT)
    assert (run(scene)["state"] == "Running") is survives
    if not survives:
        assert running(scene) == [], "the others are stopped"
        assert run(scene)["trials"]["failed"] == allowed + 1
        return
    finish(scene)
    assert scene.standing(EXPERIMENT) == "Ready RunSucceeded"
    assert run(scene)["trials"]["failed"] == 2


def test_a_run_fails_when_all_its_trials_did_although_more_were_allowed() -> None:
    scene = begun(trials=2, search=search(maxTrials=2, parallelTrials=2, maxFailedTrials=50), trial=without_retries())
    for number in (0, 1):
        trial_ends_with(scene, job_of(scene, number), train=Ended(1))
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Stalled TrainerFailed"
    assert "2 of 2 trials failed" in scene.message(EXPERIMENT)


def test_a_run_whose_trials_failed_for_different_reasons_says_so() -> None:
    scene = begun(trials=2, search=search(maxTrials=2, parallelTrials=2, maxFailedTrials=1), trial=without_retries())
    trial_ends_with(scene, job_of(scene, 0), train=Ended(1))
    trial_ends_with(scene, job_of(scene, 1), collect=collect_failed("MetricMissing"))
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Stalled TrialsFailed"
    assert scene.message(EXPERIMENT).endswith("trial 1: MetricMissing: because of MetricMissing")


def test_jobs_of_a_failed_run_are_stopped_although_the_operator_ended_before_it_could() -> None:
    scene = begun(trials=3, search=search(maxTrials=3, parallelTrials=3), trial=without_retries())
    stray = job_of(scene, 2)
    trial_ends_with(scene, job_of(scene, 0), train=Ended(1))
    scene.settle(EXPERIMENT)
    scene.put(stray)
    scene.settle(EXPERIMENT)
    assert running(scene) == []


@pytest.mark.parametrize(("goal", "best"), [("Maximize", 2), ("Minimize", 1)])
def test_the_best_trial_becomes_the_model(goal: str, best: int) -> None:
    scene = begun(trials=3, objective={"metric": "auc", "goal": goal})
    for number, value in enumerate((0.5, 0.2, 0.9)):
        trial_ends(scene, job_of(scene, number), value)
    scene.settle(EXPERIMENT)
    model = scene.only("ModelVersion")["spec"]
    assert model["producedBy"]["trial"] == best == run(scene)["best"]["trial"]
    assert model["artifact"]["uri"].startswith("s3://models/churn/")
    assert model["artifact"]["uri"].endswith(f"/{best}/{rows(scene)[best]['directory']}")
    assert model["artifact"]["digest"] == rows(scene)[best]["digest"]
    assert model["producedBy"]["imageID"] == "registry.example.com/train@sha256:1"
    assert model["inputs"][0]["datasetVersion"] == scene.only("DatasetVersion")["metadata"]["name"]
    assert scene.status(EXPERIMENT)["model"] == {"name": "churn-v1", "version": 1}
    assert scene.told() == ["RunStarted", "ModelCreated"]


def test_of_equals_the_first_becomes_the_model() -> None:
    scene = begun(trials=3)
    for number in (2, 1, 0):
        trial_ends(scene, job_of(scene, number), 0.5)
    scene.settle(EXPERIMENT)
    assert scene.only("ModelVersion")["spec"]["producedBy"]["trial"] == 0


def test_the_container_that_trains_decides() -> None:
    containers = [{"name": "proxy", "image": "proxy:1"}, {"name": "fit", "image": "fit:1"}]
    scene = begun(trials=1, trial={"job": {"template": {"spec": {"containers": containers}}}, "container": "fit"})
    verdict = {"stage": Ended(), "collect": Ended(message=collected().model_dump_json())}
    an_ended_pod_of(scene, scene.only("Job"), {**verdict, "proxy": Ended(143), "fit": Ended()})
    ends(scene, scene.only("Job"), "BackoffLimitExceeded")
    scene.settle(EXPERIMENT)
    origin = scene.only("ModelVersion")["spec"]["producedBy"]
    assert (origin["image"], origin["imageID"]) == ("fit:1", "registry.example.com/fit@sha256:1")


CHOICE = [{"name": "booster", "choice": {"values": ["a", "b"]}}]


def test_a_point_that_was_tried_is_answered_without_a_job() -> None:
    scene = begun(trials=8, parameters=CHOICE, search=search(maxTrials=8, parallelTrials=2))
    finish(scene)
    states = [row["state"] for row in rows(scene).values()]
    assert states.count("Succeeded") == len(jobs(scene)) < 8
    assert states.count("Succeeded") + states.count("Cached") == 8
    assert run(scene)["trials"]["cached"] == states.count("Cached")
    assert scene.standing(EXPERIMENT) == "Ready RunSucceeded"
    assert scene.only("ModelVersion")["spec"]["artifact"]["uri"].split("/")[-2] in [
        str(facts(j).number) for j in jobs(scene)
    ]


def test_a_grid_has_each_point_once_and_no_more_trials_than_points() -> None:
    grid = {"parameters": CHOICE, "search": search(algorithm="Grid", maxTrials=100, parallelTrials=100)}
    scene = begun(trials=100, **grid)
    finish(scene)
    assert [facts(job).parameters for job in jobs(scene)] == [{"booster": "a"}, {"booster": "b"}]
    assert run(scene)["trials"]["total"] == 2


def test_without_parameters_there_is_one_trial() -> None:
    scene = begun(trials=20, parameters=[])
    assert [facts(job).parameters for job in jobs(scene)] == [{}]
    finish(scene)
    assert scene.standing(EXPERIMENT) == "Ready RunSucceeded"


def test_a_job_that_somebody_deletes_before_its_verdict_is_made_again_with_the_same_parameters() -> None:
    scene = begun(trials=2)
    before = job_of(scene, 1)
    scene.remove(key_of(before))
    scene.settle(EXPERIMENT)
    assert names([job_of(scene, 1)]) == names([before])
    assert facts(job_of(scene, 1)) == facts(before)


def test_a_job_that_goes_after_its_verdict_is_not_made_again() -> None:
    scene = begun(trials=2)
    trial_ends(scene, job_of(scene, 0), 0.5)
    scene.settle(EXPERIMENT)
    delete_jobs(scene)
    assert scene.settle(EXPERIMENT) == []
    assert running(scene) == [1]
    finish(scene)
    delete_jobs(scene)
    assert scene.settle(EXPERIMENT) == []
    assert scene.standing(EXPERIMENT) == "Ready RunSucceeded"


def test_a_table_that_somebody_deletes_is_written_again_from_the_jobs_that_are_there() -> None:
    scene = begun(trials=3, search=search(maxTrials=3, parallelTrials=1))
    trial_ends(scene, job_of(scene, 0), 0.7)
    scene.settle(EXPERIMENT)
    scene.remove(Key("ConfigMap", NAMESPACE, scene.status(EXPERIMENT)["trials"]["configMap"]))
    scene.settle(EXPERIMENT)
    assert (rows(scene)[0]["state"], rows(scene)[0]["value"]) == ("Succeeded", 0.7)
    assert running(scene) == [1]


def test_a_model_that_somebody_deletes_is_not_made_again() -> None:
    scene = begun(trials=1)
    finish(scene)
    scene.remove(key_of(scene.only("ModelVersion")))
    assert scene.settle(EXPERIMENT) == []


def test_a_model_gets_the_number_after_the_newest() -> None:
    scene = begun(trials=1)
    scene.put(a_model_version(6))
    finish(scene)
    assert scene.status(EXPERIMENT)["model"] == {"name": "churn-v7", "version": 7}


def test_a_model_gets_the_next_number_when_its_name_is_taken_by_something_else() -> None:
    scene = begun(trials=1)
    taken = a_model_version(1, model="other")
    taken["metadata"]["name"] = "churn-v1"
    scene.put(taken)
    finish(scene)
    assert scene.status(EXPERIMENT)["model"] == {"name": "churn-v2", "version": 2}
    assert scene.get(Key("ModelVersion", NAMESPACE, "churn-v2"))["spec"]["model"] == "churn"


def test_the_table_is_written_when_a_trial_ends_and_the_history_forgets_old_ones() -> None:
    scene = begun(trials=1, retention={"runs": 2, "jobTTL": "1h"}, trigger=AT_ONCE)
    finish(scene)
    for number in range(2, 7):
        publish(scene, number, f"edition {number}")
        scene.settle(EXPERIMENT)
        finish(scene)
    assert [line["number"] for line in scene.status(EXPERIMENT)["runs"]] == [5, 4]
    kept = {line["trials"] for line in scene.status(EXPERIMENT)["runs"]} | {
        scene.status(EXPERIMENT)["trials"]["configMap"]
    }
    assert {name for name in names(scene.all("ConfigMap")) if "-trials-" in name} == kept


def test_a_table_of_very_many_trials_has_pages_that_a_config_map_has_room_for() -> None:
    axis = {"name": "depth", "int": {"min": 1, "max": 260}}
    grid = search(algorithm="Grid", maxTrials=260, parallelTrials=256)
    scene = begun(trials=260, parameters=[axis], search=grid, retention={"runs": 1, "jobTTL": "1h"})
    finish(scene)
    first = scene.status(EXPERIMENT)["trials"]["configMap"]
    names_of_pages = [first, *(f"{first}-{page}" for page in range(1, scene.status(EXPERIMENT)["trials"]["pages"]))]
    pages = [json.loads(scene.get(Key("ConfigMap", NAMESPACE, name))["data"]["trials.json"]) for name in names_of_pages]
    assert [row["number"] for page in pages for row in page] == list(range(260))
    assert len(pages) > 2
    assert run(scene)["trials"]["succeeded"] == 260
    for seed in (1, 2):
        scene.change(EXPERIMENT, search=search(seed=seed))
        scene.settle(EXPERIMENT)
    left = [name for name in names(scene.all("ConfigMap")) if name.startswith(first)]
    assert left == [], "forgotten with all its pages"


def test_a_status_stays_small_with_long_names_a_full_history_and_long_messages() -> None:
    model = "m" * 40
    output = {"model": model, "format": {"name": "sklearn"}, "uri": "s3://models/churn/"}
    wide = [{"name": f"parameter_{n}", "float": {"min": 0, "max": 1}} for n in range(20)]
    inputs = [{"name": f"input-{n}", "dataset": f"{'d' * 60}-{n}"} for n in range(4)]
    spec: dict[str, Any] = {
        "output": output,
        "parameters": wide,
        "datasets": inputs,
        "retention": {"runs": 20},
        "trigger": AT_ONCE,
    }
    scene = Scene(an_experiment(trials=1, **spec))
    for number in range(1, 24):
        for given in inputs:
            publish(scene, number, f"edition {number}", name=given["dataset"])
        scene.settle(EXPERIMENT)
        if number < 23:
            finish(scene)
    trial_ends_with(
        scene, job_of(scene, 0), stage=StageVerdict(outcome="Failed", reason="OutOfSpace", message="x" * 3000)
    )
    scene.settle(EXPERIMENT)
    assert len(scene.status(EXPERIMENT)["runs"]) == 20
    assert len(json.dumps(scene.status(EXPERIMENT)).encode()) < 16 * 1024


def test_a_trial_says_how_long_it_took() -> None:
    scene = begun(trials=1)
    scene.wait(90)
    finish(scene)
    assert rows(scene)[0]["seconds"] == 90
