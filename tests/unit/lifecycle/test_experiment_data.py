"""Which data an Experiment waits for and reads, and what becomes of a run whose data goes."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.api.digests import sha256
from keelway.engine.objects import key_of
from tests.unit.lifecycle.builders import (
    DATASET,
    EXPERIMENT,
    a_dataset,
    a_dataset_version,
    an_experiment,
)
from tests.unit.lifecycle.scene import Scene
from tests.unit.lifecycle.trials import (
    begun,
    finish,
    publish,
    run,
    running,
    succeeded,
)

NEVER = {"onNewDatasetVersion": {"policy": "Never"}}


def inputs(**fields: Any) -> list[dict[str, Any]]:
    return [{"name": "training", "dataset": "churn", "split": "train", **fields}]


def test_it_waits_for_a_dataset_then_for_a_version_then_runs() -> None:
    scene = Scene(an_experiment())
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Reconciling DatasetMissing"
    scene.put(a_dataset())
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Reconciling DatasetNotReady"
    publish(scene, 1, "first")
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Reconciling TrialsRunning"
    assert scene.condition(EXPERIMENT, "DatasetReady")["reason"] == "VersionsResolved"
    assert scene.told() == ["RunStarted"]


def test_why_a_dataset_is_not_ready_is_passed_on() -> None:
    scene = Scene(an_experiment(), a_dataset())
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": "AccessDenied",
        "message": "no key",
        "observedGeneration": 1,
    }
    scene.say(DATASET, conditions=[{**condition, "lastTransitionTime": "2026-03-01T12:00:00Z"}])
    scene.settle(EXPERIMENT)
    assert scene.message(EXPERIMENT) == "Dataset churn has no good version yet: AccessDenied: no key"


def test_a_split_that_is_not_there_needs_help_and_names_those_that_are() -> None:
    scene = Scene(an_experiment(datasets=inputs(split="test")))
    publish(scene, 1, "first")
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Stalled SplitMissing"
    assert scene.message(EXPERIMENT).endswith("it has: train")
    scene.change(EXPERIMENT, datasets=inputs())
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Reconciling TrialsRunning"


FIRST_DIGEST = f"listing:sha256:{sha256(b'first')}"


@pytest.mark.parametrize("pin", ["1", FIRST_DIGEST])
def test_a_pinned_version_is_what_is_read(pin: str) -> None:
    scene = Scene(an_experiment(datasets=inputs(version=pin)))
    publish(scene, 1, "first")
    publish(scene, 2, "second")
    scene.settle(EXPERIMENT)
    assert run(scene)["datasets"][0]["version"] == 1
    publish(scene, 3, "third")
    scene.settle(EXPERIMENT)
    finish(scene)
    assert run(scene)["number"] == 1


def test_a_pinned_version_that_is_not_there_needs_help_and_goes_on_when_it_comes() -> None:
    scene = Scene(an_experiment(datasets=inputs(version="2")))
    publish(scene, 1, "first")
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Stalled VersionMissing"
    publish(scene, 2, "second")
    scene.settle(EXPERIMENT)
    assert run(scene)["datasets"][0]["version"] == 2


def test_a_pin_means_the_version_of_the_dataset_that_is_there_now() -> None:
    scene = Scene(an_experiment(datasets=inputs(version="1")))
    for place in ("00000000", "zzzzzzzz"):
        former = a_dataset_version(1, f"before {place}", uid=f"former-{place}")
        scene.put({**former, "metadata": {**former["metadata"], "name": f"churn-v1-{place}"}})
    publish(scene, 1, "first")
    scene.settle(EXPERIMENT)
    assert run(scene)["datasets"][0]["digest"] == FIRST_DIGEST


def test_every_input_must_have_a_version() -> None:
    both = [*inputs(), {"name": "zip-codes", "dataset": "zips"}]
    scene = Scene(an_experiment(datasets=both))
    publish(scene, 1, "first")
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Reconciling DatasetMissing"
    publish(scene, 4, "codes", name="zips")
    scene.settle(EXPERIMENT)
    assert [(read["name"], read["version"]) for read in run(scene)["datasets"]] == [("training", 1), ("zip-codes", 4)]


def test_a_dataset_that_goes_changes_nothing_about_a_finished_run() -> None:
    scene = succeeded()
    scene.remove(DATASET)
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Ready RunSucceeded"


@pytest.mark.parametrize("kind", ["DatasetVersion", "ConfigMap"])
def test_a_record_that_is_deleted_during_a_run_is_waited_for(kind: str) -> None:
    """The list of files is part of it: a pod that mounts a missing one would never start."""
    scene = begun(trials=4, search={"algorithm": "Random", "maxTrials": 4, "parallelTrials": 2})
    scene.remove(key_of(scene.all(kind)[0]))
    finish(scene)
    assert scene.standing(EXPERIMENT) == "Stalled DatasetVersionGone"
    publish(scene, 1, "first")
    scene.settle(EXPERIMENT)
    assert running(scene) == [2, 3]


def test_a_version_without_its_list_of_files_is_waited_for() -> None:
    scene = Scene(an_experiment())
    publish(scene, 1, "first")
    scene.remove(key_of(scene.only("ConfigMap")))
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Reconciling FilesMissing"
    publish(scene, 1, "first")
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Reconciling TrialsRunning"


def test_a_record_that_is_deleted_during_a_run_gives_way_to_another_one_of_the_same_bytes() -> None:
    scene = begun(trials=4, search={"algorithm": "Random", "maxTrials": 4, "parallelTrials": 2})
    scene.remove(key_of(scene.only("DatasetVersion")))
    again = publish(scene, 2, "first")
    finish(scene)
    assert run(scene)["number"] == 1
    assert scene.only("ModelVersion")["spec"]["inputs"][0]["datasetVersion"] == again["metadata"]["name"]


@pytest.mark.parametrize(("trigger", "number"), [({}, 2), (NEVER, 1)])
def test_a_record_that_is_deleted_during_a_run_gives_way_to_newer_bytes_if_those_count(
    trigger: dict[str, Any], number: int
) -> None:
    scene = begun(trials=4, search={"algorithm": "Random", "maxTrials": 4, "parallelTrials": 2}, trigger=trigger)
    scene.remove(key_of(scene.only("DatasetVersion")))
    publish(scene, 2, "second")
    scene.settle(EXPERIMENT)
    assert run(scene)["number"] == number
    assert len(running(scene)) == 2
