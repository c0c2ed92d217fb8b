"""What ends a search before its last trial, and what a trial at a known point costs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.lifecycle.builders import EXPERIMENT
from tests.unit.lifecycle.pods import Ended, trial_ends, trial_ends_with
from tests.unit.lifecycle.scene import Scene
from tests.unit.lifecycle.trials import begun, job_of, jobs, rows, run, running, search, without_retries


def chosen(*values: str, trials: int, parallel: int, **spec: Any) -> Scene:
    """A search among few values."""
    parameters = [{"name": "booster", "choice": {"values": list(values)}}]
    searched = search(maxTrials=trials, parallelTrials=parallel, maxFailedTrials=0)
    return begun(parameters=parameters, search=searched, **spec)


@pytest.mark.parametrize(
    ("goal", "target", "values", "reached"),
    [
        ("Maximize", 0.8, (0.5, 0.8), True),
        ("Maximize", 0.8, (0.5, 0.79), False),
        ("Minimize", 0.2, (0.5, 0.2), True),
        ("Minimize", 0.2, (0.5, 0.21), False),
    ],
)
def test_the_first_trial_that_reaches_the_target_ends_the_run(
    goal: str, target: float, values: tuple[float, ...], reached: bool
) -> None:
    scene = begun(
        objective={"metric": "auc", "goal": goal, "target": target}, search=search(maxTrials=8, parallelTrials=3)
    )
    for number, value in enumerate(values):
        trial_ends(scene, job_of(scene, number), value)
        scene.settle(EXPERIMENT)
    assert (run(scene)["state"] == "Succeeded") is reached
    if reached:
        assert scene.standing(EXPERIMENT) == "Ready TargetReached"
        assert run(scene)["stoppedBy"] == "Target"
        assert running(scene) == [], "the others are stopped"
        assert run(scene)["trials"] == {
            "total": 8,
            "pending": 6,
            "running": 0,
            "succeeded": 2,
            "failed": 0,
            "pruned": 0,
            "cached": 0,
            "progress": "2/8",
        }
        assert scene.only("ModelVersion")["spec"]["objectiveValue"] == values[-1]
        assert scene.settle(EXPERIMENT) == []


def test_no_trial_begins_once_the_budget_is_used_up_and_those_that_run_end_well() -> None:
    scene = begun(search=search(maxTrials=8, parallelTrials=2, budget="90s"))
    for number in (0, 1):
        scene.wait(60)
        trial_ends(scene, job_of(scene, number), 0.5)
        scene.settle(EXPERIMENT)
    assert sum(row["spent"] for row in rows(scene).values()) >= 90
    assert (run(scene)["state"], running(scene)) == ("Running", [2])
    trial_ends(scene, job_of(scene, 2), 0.9)
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Ready BudgetUsedUp"
    assert scene.only("ModelVersion")["spec"]["objectiveValue"] == 0.9
    assert len(rows(scene)) == 3


def test_a_run_whose_budget_bought_no_result_has_failed() -> None:
    trial = {**without_retries(), "retries": 10}
    scene = begun(search=search(maxTrials=1, parallelTrials=1, budget="30s"), trial=trial)
    scene.wait(60)
    trial_ends_with(scene, job_of(scene, 0), train=Ended(1))
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Stalled BudgetUsedUp"
    assert running(scene) == []


def test_a_trial_at_a_point_that_runs_waits_for_it_and_costs_nothing() -> None:
    scene = chosen("gbtree", trials=4, parallel=2)
    assert running(scene) == [0]
    assert {number: row["state"] for number, row in rows(scene).items()} == dict.fromkeys((1, 2, 3), "Waiting")
    assert run(scene)["trials"]["pending"] == 3
    trial_ends(scene, job_of(scene, 0), 0.5)
    scene.settle(EXPERIMENT)
    assert {row["state"] for number, row in rows(scene).items() if number} == {"Cached"}
    assert {row["value"] for row in rows(scene).values()} == {0.5}
    assert scene.standing(EXPERIMENT) == "Ready RunSucceeded"


def test_a_trial_at_a_point_that_failed_fails_with_it_and_counts_once() -> None:
    scene = chosen("gbtree", "dart", trials=12, parallel=2, trial=without_retries())
    scene.change(EXPERIMENT, search=search(maxTrials=12, parallelTrials=2, maxFailedTrials=1))
    scene.settle(EXPERIMENT)
    trial_ends_with(scene, job_of(scene, 0), train=Ended(1))
    scene.settle(EXPERIMENT)
    trial_ends(scene, job_of(scene, running(scene)[0]), 0.7)
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Ready RunSucceeded"
    table = rows(scene)
    assert {row["state"] for row in table.values()} == {"Failed", "Succeeded", "Cached"}
    assert run(scene)["trials"]["failed"] == sum(row["state"] == "Failed" for row in table.values()) > 1
    assert len(jobs(scene)) == 2
    assert scene.told().count("TrialFailed") == 1


def test_a_run_in_which_every_point_failed_has_failed_although_more_failures_were_allowed() -> None:
    scene = chosen("gbtree", trials=5, parallel=2, trial=without_retries())
    scene.change(EXPERIMENT, search=search(maxTrials=5, parallelTrials=2, maxFailedTrials=3))
    trial_ends_with(scene, job_of(scene, 0), train=Ended(1))
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Stalled TrainerFailed"
    assert run(scene)["state"] == "Failed"
