"""A search asks for the same points whatever happens on its way, ends where it was told to, and pays for none twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.engine.objects import controller
from keelway.lifecycle.experiment.trials import facts, rows_of
from tests.property.engine.memory_api import Happened
from tests.property.engine.test_convergence import killer
from tests.property.lifecycle.fates import CALM, Fate, Fates
from tests.property.lifecycle.searches import FOUR_POINTS, Trials, conditions, points, search, status, table
from tests.property.lifecycle.simulation import EXPERIMENT_KEY, Scene, Simulation, applies, play, restarts
from tests.property.lifecycle.stories import RARELY

TRIALS, PARALLEL = 20, 4
ALGORITHMS = ("TPE", "CMAES", "Random")
END = 2500.0
SECONDS = st.sampled_from([1.0, 3.0, 10.0, 60.0])
DISTURBANCES = st.sampled_from(["evicted", "node_lost", "says_nothing", "job_deleted"])


def story(experiment: Manifest) -> Scene:
    """The data and one Experiment are there from the beginning."""
    return Scene(0, applies(RARELY, experiment))


def of_many(algorithm: str) -> Manifest:
    """A search of many trials, several at a time."""
    return search(algorithm=algorithm, maxTrials=TRIALS, parallelTrials=PARALLEL)


@cache
def calmly(algorithm: str) -> list[dict[str, Any]]:
    """The points of a search whose trials all take the same time."""
    simulation = Simulation()
    play(simulation, story(of_many(algorithm)), until=END)
    return points(simulation)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@settings(deadline=None, max_examples=3)
@given(
    st.lists(SECONDS, min_size=TRIALS, max_size=TRIALS),
    st.sets(st.integers(1, 60), max_size=3),
    st.dictionaries(st.integers(0, TRIALS - 1), st.builds(Fate, DISTURBANCES, SECONDS), max_size=3),
    st.floats(5, 200),
)
def test_the_same_seed_asks_for_the_same_points_whatever_the_order_of_ends_and_with_restarts(
    algorithm: str, seconds: Sequence[float], deaths: set[int], disturbed: dict[int, Fate], restart: float
) -> None:
    fates = Fates(
        trials={(trial, 0): [fate] for trial, fate in disturbed.items()},
        training=lambda trial: Fate(seconds=seconds[trial]),
    )
    simulation = Simulation(fates=fates)
    trials = Trials(simulation)
    simulation.api.wrote = killer(deaths)
    play(simulation, story(of_many(algorithm)), Scene(restart, restarts), until=END)
    assert points(simulation) == calmly(algorithm)
    assert status(simulation)["run"]["state"] == "Succeeded"
    assert not [key for key in trials.twice if facts_of(trials, key.name) not in disturbed]


def facts_of(trials: Trials, name: str) -> int:
    """The trial whose Job has this name."""
    return next(facts(job).number for job in trials.begun if job["metadata"]["name"] == name)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_seed_asks_for_other_points(algorithm: str) -> None:
    simulation = Simulation()
    other = search(algorithm=algorithm, maxTrials=TRIALS, parallelTrials=PARALLEL, seed=8)
    play(simulation, story(other), until=END)
    assert points(simulation) != calmly(algorithm)


def at_once(simulation: Simulation) -> list[int]:
    """How many Jobs of trials there are that have not ended, after each change of a Job."""
    counts: list[int] = []

    def heard(happened: Happened) -> None:
        if happened.manifest["kind"] == "Job":
            jobs = [s.manifest for key, s in simulation.api.objects.items() if key.kind == "Job" and "-t" in key.name]
            counts.append(sum("conditions" not in job.get("status", {}) for job in jobs))

    simulation.api.watchers.append(heard)
    return counts


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_as_many_trials_run_at_a_time_as_asked_for_and_no_more(algorithm: str) -> None:
    simulation = Simulation(fates=Fates(training=lambda _: Fate(seconds=60)))
    counts = at_once(simulation)
    play(simulation, story(of_many(algorithm)), until=END)
    assert max(counts) == PARALLEL


def test_a_target_that_is_reached_ends_the_run_and_what_still_runs() -> None:
    objective = {"metric": "auc", "goal": "Maximize", "target": 0.8}
    experiment = search(algorithm="Random", maxTrials=50, parallelTrials=3, spec={"objective": objective})
    simulation = Simulation(fates=Fates(training=lambda trial: Fate(seconds=20 + 40 * (trial % 3))))
    trials = Trials(simulation)
    end = play(simulation, story(experiment), until=END)
    run, rows = status(simulation)["run"], table(simulation)
    assert (run["state"], run["stoppedBy"]) == ("Succeeded", "Target")
    assert conditions(simulation)["Succeeded"] == ("True", "TargetReached")
    reached = [row for row in rows.values() if row.value is not None and row.value >= 0.8]
    assert [row.number for row in reached] == [run["best"]["trial"]], "the first one that reaches it is the last"
    assert len(rows) < len(trials.begun) < 50, "those that ran were ended and not recorded"
    assert not [key for key in end if key.startswith("Pod/") and end[key]["status"]["phase"] == "Running"]


def test_a_budget_that_is_used_up_begins_no_other_trial_and_lets_those_that_run_end() -> None:
    simulation = Simulation(fates=Fates(training=lambda _: Fate(seconds=20)))
    trials = Trials(simulation)
    play(simulation, story(search(algorithm="Random", maxTrials=50, parallelTrials=2, budget="70s")), until=END)
    run, rows = status(simulation)["run"], table(simulation)
    assert (run["state"], run["stoppedBy"]) == ("Succeeded", "Budget")
    assert conditions(simulation)["Succeeded"] == ("True", "BudgetUsedUp")
    assert {row.state for row in rows.values()} == {"Succeeded"}
    assert len(rows) == len(trials.begun)
    spent = sorted(row.spent for row in rows.values())
    assert sum(spent[:-2]) < 70 <= sum(spent), "whatever began did so before the budget was used up"


@pytest.mark.parametrize("allowed", [0, 2])
def test_a_run_fails_with_one_failed_trial_more_than_allowed_and_ends_what_still_runs(allowed: int) -> None:
    fates = Fates(training=lambda trial: Fate("fails", 5.0 + trial) if trial % 2 else Fate(seconds=300))
    simulation = Simulation(fates=fates)
    trials = Trials(simulation)
    experiment = search(algorithm="Random", maxTrials=40, parallelTrials=8, maxFailedTrials=allowed)
    end = play(simulation, story(experiment), until=END)
    assert conditions(simulation)["Succeeded"] == ("False", "TrainerFailed")
    assert [row.state for row in table(simulation).values()].count("Failed") == allowed + 1
    assert all(count <= 2 for count in trials.attempts.values()), "one retry"
    assert not [key for key in end if key.startswith("Pod/") and end[key]["status"]["phase"] == "Running"]


@settings(deadline=None, max_examples=4)
@given(st.sets(st.integers(1, 40), max_size=3), SECONDS)
def test_a_point_is_paid_for_once_and_answers_its_repetitions(deaths: set[int], seconds: float) -> None:
    simulation = Simulation(fates=Fates(training=lambda _: Fate(seconds=seconds)))
    simulation.api.wrote = killer(deaths)
    trials = Trials(simulation)
    experiment = search(algorithm="Random", maxTrials=30, parallelTrials=4, spec={"parameters": FOUR_POINTS})
    play(simulation, story(experiment), until=END)
    rows, paid = table(simulation), [facts(job).parameters for job in trials.begun]
    assert len(rows) == 30
    assert len(paid) == len({tuple(point.items()) for point in paid}) == 4
    for row in rows.values():
        same = rows[row.answered_by] if row.answered_by is not None else row
        assert (row.state, row.parameters, row.value) == (
            "Succeeded" if same is row else "Cached",
            same.parameters,
            same.value,
        )
    counts = status(simulation)["run"]["trials"]
    assert (counts["succeeded"], counts["cached"], counts["progress"]) == (4, 26, "30/30")


def test_a_repetition_of_a_trial_that_runs_waits_for_its_end() -> None:
    simulation = Simulation(fates=Fates(training=lambda _: Fate(seconds=60)))
    trials = Trials(simulation)
    experiment = search(algorithm="Random", maxTrials=30, parallelTrials=4, spec={"parameters": FOUR_POINTS})
    play(simulation, story(experiment), until=END)
    assert ["Waiting", "Cached"] in trials.states.values()
    assert all(states in (["Waiting", "Cached"], ["Cached"], ["Succeeded"]) for states in trials.states.values())


def test_repetitions_of_a_trial_that_fails_fail_without_counting_as_failures() -> None:
    simulation = Simulation(fates=Fates(trials={(0, n): [Fate("fails")] for n in range(2)}))
    trials = Trials(simulation)
    experiment = search(algorithm="Random", maxTrials=30, maxFailedTrials=1, spec={"parameters": FOUR_POINTS})
    play(simulation, story(experiment), until=END)
    rows = table(simulation)
    answered = [row for row in rows.values() if row.answered_by == 0]
    assert {row.state for row in answered} == {"Failed"}
    assert status(simulation)["run"]["state"] == "Succeeded"
    assert trials.attempts[0] == 2
    assert not set(trials.attempts) & {row.number for row in answered}


START_STEP = 6
STOPPING = {"algorithm": "Median", "minTrials": 3, "startStep": START_STEP}
LONG = Fates(training=lambda _: Fate(seconds=200))


def stopped_early(algorithm: str = "Median") -> Manifest:
    """A search whose bad trials end before their time."""
    early = {**STOPPING, "algorithm": algorithm}
    return search(algorithm="Random", maxTrials=20, parallelTrials=4, spec={"earlyStopping": early})


@pytest.mark.parametrize("algorithm", ["Median", "SuccessiveHalving"])
def test_early_stopping_takes_less_time_and_finds_the_same_best_trial(algorithm: str) -> None:
    patient, hasty = Simulation(fates=LONG), Simulation(fates=LONG)
    play(patient, story(search(algorithm="Random", maxTrials=20, parallelTrials=4)), until=END)
    play(hasty, story(stopped_early(algorithm)), until=END)
    spent = [sum(row.spent for row in table(simulation).values()) for simulation in (patient, hasty)]
    assert spent[1] < 0.8 * spent[0]
    assert status(hasty)["run"]["best"] == status(patient)["run"]["best"]


def test_a_pruned_trial_keeps_its_curve_and_its_pod_is_gone_at_once() -> None:
    simulation, decided, gone = Simulation(fates=LONG), dict[str, float](), dict[str, float]()

    def heard(happened: Happened) -> None:
        now, manifest = asyncio.get_running_loop().time(), happened.manifest
        if manifest["kind"] == "ConfigMap" and "-trials-" in manifest["metadata"]["name"]:
            for row in rows_of(manifest).values():
                if row.state == "Pruned":
                    decided.setdefault(row.job, now)
        if happened.type == "DELETED" and manifest["kind"] == "Pod":
            gone[controller(manifest)["name"]] = now

    simulation.api.watchers.append(heard)
    end = play(simulation, story(stopped_early()), until=END)
    pruned = [row for row in table(simulation).values() if row.state == "Pruned"]
    assert len(pruned) == status(simulation)["run"]["trials"]["pruned"] == len(decided) >= 3
    for row in pruned:
        assert row.curve[-1][0] >= START_STEP
        assert row.value == row.curve[-1][1]
        assert gone[row.job] - decided[row.job] < 10
        assert f"Job/{EXPERIMENT_KEY.namespace}/{row.job}" not in end


def test_logs_are_read_of_running_trials_of_experiments_that_ask_for_it_alone() -> None:
    simulation, reads = Simulation(fates=LONG), list[tuple[str, bool]]()

    def fault(verb: str, key: Key) -> None:
        if verb == "log" and "-observe-" not in key.name:
            pod = simulation.api.objects.get(key)
            reads.append((key.name, pod is not None and pod.manifest["status"]["phase"] == "Running"))

    simulation.api.faults = fault
    quiet = search(algorithm="Random", maxTrials=6)
    quiet["metadata"] = {**quiet["metadata"], "name": "quiet"}
    play(simulation, Scene(0, applies(RARELY, quiet, stopped_early())), until=END)
    assert len(reads) > 20
    assert all(running for _, running in reads)
    assert not [name for name, _ in reads if name.startswith("quiet")]
    trials = {name for name, _ in reads}
    assert len(reads) / len(trials) < 200 / 4, "not more often than every few seconds"


@settings(deadline=None, max_examples=2)
@given(st.sets(st.integers(1, 60), min_size=1, max_size=4))
def test_an_operator_that_dies_prunes_no_trial_twice_and_begins_none_again(deaths: set[int]) -> None:
    simulation = Simulation(fates=LONG)
    trials = Trials(simulation)
    simulation.api.wrote = killer(deaths)
    play(simulation, story(stopped_early()), until=END)
    assert trials.twice == []
    assert set(trials.attempts.values()) == {1}
    assert all(len(states) == 1 for states in trials.states.values()), "what is recorded stays"


def test_a_table_of_several_pages_is_whole_and_its_status_small() -> None:
    simulation = Simulation(fates=Fates(training=lambda _: CALM))
    play(simulation, story(search(algorithm="Random", maxTrials=120, parallelTrials=40)), until=END)
    assert sorted(table(simulation)) == list(range(120))
    assert status(simulation)["trials"]["pages"] > 1
