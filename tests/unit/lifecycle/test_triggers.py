"""What begins a run besides a changed spec: new data, as often and as much as the trigger says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.lifecycle.builders import EXPERIMENT
from tests.unit.lifecycle.scene import Scene
from tests.unit.lifecycle.trials import begun, finish, publish, run, running, succeeded

HOUR = 3600.0
DAY = 24 * HOUR


def trained(**trigger: Any) -> Scene:
    """An Experiment whose first run has made a model of 100 rows."""
    return succeeded(trials=1, trigger=trigger)


def retrained(scene: Scene, number: int, *, rows: int = 100) -> bool:
    """Whether a new version begins a run at once; the run is brought to its end."""
    publish(scene, number, f"edition {number}", rows=rows)
    scene.settle(EXPERIMENT)
    began: bool = run(scene)["state"] == "Running"
    finish(scene)
    return began


def test_the_first_new_version_begins_a_run_at_once_and_the_next_waits_for_the_cooldown() -> None:
    scene = trained(cooldown="1h")
    assert retrained(scene, 2)
    assert run(scene)["reason"] == "NewDatasetVersion"
    assert not retrained(scene, 3)
    assert scene.standing(EXPERIMENT) == "Ready RunSucceeded", "what is there is as good as it was"
    told = scene.condition(EXPERIMENT, "DatasetReady")
    assert (told["status"], told["reason"]) == ("True", "RetrainWaits")
    assert told["message"].startswith("churn version 2; newer data is there: a run on it may begin at ")
    assert "trigger.cooldown is 1h" in told["message"]
    assert scene.status(EXPERIMENT)["nextRunTime"] == "2026-03-01T13:00:00Z"
    assert scene.decide(EXPERIMENT).look_again_after == HOUR
    scene.wait(HOUR)
    scene.settle(EXPERIMENT)
    assert (run(scene)["number"], run(scene)["reason"]) == (3, "NewDatasetVersion")
    assert "nextRunTime" not in scene.status(EXPERIMENT)
    assert scene.condition(EXPERIMENT, "DatasetReady")["reason"] == "VersionsResolved"


def test_of_what_comes_in_the_cooldown_the_newest_is_read() -> None:
    scene = trained(cooldown="1h")
    assert [retrained(scene, number) for number in (2, 3, 4)] == [True, False, False]
    scene.wait(HOUR)
    scene.settle(EXPERIMENT)
    assert run(scene)["datasets"][0]["version"] == 4


def test_a_day_has_as_many_runs_as_the_trigger_says() -> None:
    scene = trained(cooldown="0s", maxRunsPerDay=2)
    assert retrained(scene, 2)
    scene.wait(HOUR)
    assert retrained(scene, 3)
    scene.wait(HOUR)
    assert not retrained(scene, 4)
    assert "trigger.maxRunsPerDay is 2" in scene.condition(EXPERIMENT, "DatasetReady")["message"]
    assert scene.decide(EXPERIMENT).look_again_after == DAY - 2 * HOUR
    scene.wait(DAY - 2 * HOUR)
    scene.settle(EXPERIMENT)
    assert run(scene)["datasets"][0]["version"] == 4
    assert len(scene.status(EXPERIMENT)["automaticRuns"]) == 2, "what is older than a day is forgotten"


@pytest.mark.parametrize(
    ("asked", "rows", "begins"),
    [
        ({}, 100, True),
        ({}, 50, True),
        ({"minNewRows": 1}, 50, False),
        ({"minNewRows": 10}, 109, False),
        ({"minNewRows": 10}, 110, True),
        ({"minNewPercent": 10}, 109, False),
        ({"minNewPercent": 10}, 110, True),
        ({"minNewRows": 5, "minNewPercent": 10}, 105, False),
        ({"minNewRows": 20, "minNewPercent": 10}, 110, False),
        ({"minNewRows": 20, "minNewPercent": 10}, 120, True),
    ],
)
def test_new_data_must_have_as_many_more_rows_as_the_trigger_says(
    asked: dict[str, float], rows: int, begins: bool
) -> None:
    scene = trained(onNewDatasetVersion=asked)
    assert retrained(scene, 2, rows=rows) is begins
    if not begins:
        assert f"{rows - 100} rows more" in scene.condition(EXPERIMENT, "DatasetReady")["message"]
        assert "nextRunTime" not in scene.status(EXPERIMENT)


def test_rows_add_up_over_versions_that_began_no_run() -> None:
    scene = trained(onNewDatasetVersion={"minNewRows": 10})
    assert [retrained(scene, number, rows=rows) for number, rows in ((2, 106), (3, 112))] == [False, True]


def test_policy_never_begins_no_run() -> None:
    assert not retrained(trained(onNewDatasetVersion={"policy": "Never"}), 2)


@pytest.mark.parametrize("trigger", [{"cooldown": "48h"}, {"onNewDatasetVersion": {"minNewRows": 1000}}])
def test_a_request_does_not_wait(trigger: dict[str, Any]) -> None:
    scene = trained(**trigger)
    retrained(scene, 2)
    retrained(scene, 3)
    scene.annotate(EXPERIMENT, reconcile="now")
    scene.settle(EXPERIMENT)
    assert (run(scene)["reason"], run(scene)["datasets"][0]["version"]) == ("Requested", 3)
    assert running(scene) == [0]


def test_new_data_during_a_run_begins_one_after_it() -> None:
    scene = begun(trials=2)
    publish(scene, 2, "second")
    scene.settle(EXPERIMENT)
    assert run(scene)["number"] == 1
    finish(scene)
    assert (run(scene)["number"], run(scene)["reason"]) == (2, "NewDatasetVersion")


def test_a_cooldown_of_days_is_not_forgotten_after_one() -> None:
    scene = trained(cooldown="48h", maxRunsPerDay=100)
    assert retrained(scene, 2)
    scene.wait(DAY + HOUR)
    assert not retrained(scene, 3)
    scene.wait(DAY)
    scene.settle(EXPERIMENT)
    assert run(scene)["datasets"][0]["version"] == 3
