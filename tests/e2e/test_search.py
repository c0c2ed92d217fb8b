"""A search with real training on real data, whose operator is killed in the middle; then its model is made again."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from dev.demo.data import as_csv, tumours, upload
from dev.demo.resources import condition
from dev.processes import wait_until
from keelway.api.experiment import Experiment
from keelway.lifecycle.experiment.trials import FINAL
from keelway.search import Point, Space, Tried, suggest
from keelway.search.window import history
from tests.e2e.operator import Operator
from tests.e2e.trainers import experiment_of
from tests.e2e.trials import is_over, models_of, rows_of, run_of, work_for
from tests.e2e.world import Manifest, World

TRIALS = 20
KILLED_AFTER = 6
AGAIN = 3
"""Trials of another Experiment with the same seed."""
QUICK = {"args": ["--folds", "2"]}


@dataclass(frozen=True)
class Searched:
    """A search that is over, and another one of the same seed."""

    experiment: Manifest
    rows: list[Manifest]
    rows_when_killed: int
    restarts: int
    again: list[Manifest]

    @property
    def best(self) -> Manifest:
        """The best row; of equals the first."""
        return max(self.rows, key=lambda row: (row["value"], -row["number"]))


@pytest.fixture(scope="module")
def searched(world: World, operator: Operator) -> Searched:
    """The operator is killed once a few trials are in the table."""
    rows = tumours()
    upload(world.bucket("lake"), "tumours", {"part-1.csv": as_csv(rows[:300]), "part-2.csv": as_csv(rows[300:])})
    world.bucket("models")
    experiment = experiment_of(world, "search", container=QUICK, search=tpe(TRIALS))
    again = experiment_of(world, "same-seed", container=QUICK, search=tpe(AGAIN))
    world.apply(world.dataset(), experiment, again)
    restarts = operator.restarts()
    wait_until(lambda: finished(world, "search") >= KILLED_AFTER, seconds=180, what="the first trials", every=1)
    before = finished(world, "search")
    operator.kill()
    over = world.wait(experiment, is_over, seconds=300)
    world.wait(again, is_over, seconds=60)
    return Searched(over, rows_of(world, "search"), before, operator.restarts() - restarts, rows_of(world, "same-seed"))


def tpe(trials: int) -> Manifest:
    return {"algorithm": "TPE", "seed": 42, "maxTrials": trials, "parallelTrials": 4}


def finished(world: World, name: str) -> int:
    return len([row for row in rows_of(world, name) if row["state"] in FINAL])


def test_it_finishes_although_the_operator_was_killed_in_the_middle(searched: Searched) -> None:
    assert KILLED_AFTER <= searched.rows_when_killed < TRIALS
    assert searched.restarts == 1
    assert [row["number"] for row in searched.rows] == list(range(TRIALS))
    assert {row["state"] for row in searched.rows} <= {"Succeeded", "Cached"}
    run = run_of(searched.experiment)
    assert (run["state"], run["trials"]["progress"]) == ("Succeeded", f"{TRIALS}/{TRIALS}")


def test_no_trial_ran_twice(world: World, operator: Operator, searched: Searched) -> None:
    trained = [row["job"] for row in searched.rows if row["state"] == "Succeeded"]
    work = work_for(world, operator, "search")
    assert sorted(work.jobs) == sorted(trained)
    assert len(work.pods) == len(trained)


def test_the_parameters_are_those_that_the_search_gives_for_these_results(searched: Searched) -> None:
    experiment = Experiment.model_validate(searched.experiment)
    assert [row["parameters"] for row in searched.rows] == replayed(experiment, searched.rows)


def replayed(experiment: Experiment, rows: Sequence[Manifest]) -> list[Point]:
    """The point of every trial as the search alone gives it, without operator, cluster and pods."""
    spec = experiment.spec
    space = Space(spec.parameters, spec.objective.goal == "Maximize", spec.search.seed)
    tried = [Tried(row["number"], row["parameters"], row["value"]) for row in rows]
    numbers = range(len(rows))
    return [suggest(spec.search.algorithm, space, history(spec.search, n, tried), [n])[n] for n in numbers]


def test_the_same_seed_gives_the_same_trials_again(searched: Searched) -> None:
    same = [searched.rows[number] for number in range(AGAIN)]
    assert [row["parameters"] for row in searched.again] == [row["parameters"] for row in same]
    assert [row["metrics"] for row in searched.again] == [row["metrics"] for row in same]
    assert [row["digest"] for row in searched.again] == [row["digest"] for row in same]


def test_the_best_trial_becomes_the_model(world: World, searched: Searched) -> None:
    assert 0.9 < searched.best["value"] <= 1.0
    (model,) = models_of(world, "search")
    origin = model["spec"]["producedBy"]
    assert origin["trial"] == searched.best["number"]
    assert origin["parameters"] == searched.best["parameters"]
    assert model["spec"]["metrics"] == searched.best["metrics"]
    assert model["spec"]["artifact"]["digest"].startswith("sha256:")
    assert run_of(searched.experiment)["best"]["value"] == searched.best["value"]


def test_the_model_is_reproduced_from_its_record(world: World, searched: Searched) -> None:
    (model,) = models_of(world, "search")
    wanted = json.dumps({"spec": {"reproduce": model["metadata"]["name"]}})
    world.kubectl("patch", "experiment", "search", "--type=merge", f"--patch={wanted}")
    seen = world.wait(searched.experiment, was_reproduced, seconds=120)
    said = condition(seen, "Reproduced")
    assert said["status"] == "True", said
    assert seen["status"]["reproduction"]["digest"] == model["spec"]["artifact"]["digest"]
    assert seen["status"]["run"]["number"] == 1
    assert [found["metadata"]["uid"] for found in models_of(world, "search")] == [model["metadata"]["uid"]]


def was_reproduced(experiment: Manifest) -> bool:
    return condition(experiment, "Reproduced").get("status") in ("True", "False")
