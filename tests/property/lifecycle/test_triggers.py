"""New data begins a run when the trigger lets it, on virtual time; a request and a known run are answered at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.api.base import Manifest
from keelway.api.durations import from_timestamp, seconds
from tests.property.engine.memory_api import Happened
from tests.property.engine.test_convergence import killer
from tests.property.lifecycle.fates import Fate, Fates
from tests.property.lifecycle.searches import Trials, conditions, search, status
from tests.property.lifecycle.simulation import (
    DATASET_KEY,
    EXPERIMENT_KEY,
    MODEL,
    Action,
    Scene,
    Simulation,
    applies,
    changed,
    play,
    uploads,
)
from tests.property.lifecycle.stories import OFTEN, RARELY

HOUR = 3600.0
LOOKS = 130.0
"""Seconds after which an upload has been seen and, where it may, its run has ended; the source is looked at often."""


def triggered(**trigger: Any) -> Manifest:
    """An Experiment of one trial with this trigger."""
    return search(algorithm="Random", maxTrials=1, spec={"trigger": trigger})


def asks(manifest: Manifest, request: str) -> Action:
    """`kubectl annotate experiment ... keelway.dev/reconcile=...`"""
    return applies(
        {**manifest, "metadata": {**manifest["metadata"], "annotations": {"keelway.dev/reconcile": request}}}
    )


class Runs:
    """Hears of each run as the status tells it: when it began, why, and what it reads."""

    def __init__(self, simulation: Simulation) -> None:
        self.told: dict[int, Manifest] = {}
        simulation.api.watchers.append(self.heard)

    def heard(self, happened: Happened) -> None:
        """Note the current run."""
        run = (happened.manifest.get("status") or {}).get("run") if happened.manifest["kind"] == "Experiment" else None
        if run:
            self.told[run["number"]] = run

    @property
    def automatic(self) -> list[datetime]:
        """When runs that new data began did so."""
        begun = (run for _, run in sorted(self.told.items()) if run["reason"] == "NewDatasetVersion")
        return [from_timestamp(run["startTime"]) for run in begun]

    def digests(self) -> list[str]:
        """What each run read, in order."""
        return [run["datasets"][0]["digest"] for _, run in sorted(self.told.items())]


def newest(simulation: Simulation) -> str:
    """Digest of the data that consumers get."""
    return str(simulation.api.read(DATASET_KEY)["status"]["lastGood"]["digest"])


def test_data_that_comes_during_the_cooldown_waits_for_its_end_and_only_the_newest_is_read() -> None:
    simulation = Simulation()
    runs = Runs(simulation)
    news = [Scene(100.0 * n, uploads(f"edition-{n}")) for n in (1, 4, 7)]
    play(simulation, Scene(0, applies(OFTEN, triggered(cooldown="1h"))), *news, until=1500)
    waiting = status(simulation)
    assert waiting["run"]["number"] == 2
    assert from_timestamp(waiting["nextRunTime"]) == runs.automatic[0] + timedelta(hours=1)
    assert conditions(simulation)["DatasetReady"] == ("True", "RetrainWaits")
    assert conditions(simulation)["Ready"][0] == "True"


def test_the_run_that_waited_begins_when_its_time_has_come() -> None:
    simulation = Simulation()
    runs = Runs(simulation)
    news = [Scene(100.0 * n, uploads(f"edition-{n}")) for n in (1, 4, 7)]
    play(simulation, Scene(0, applies(OFTEN, triggered(cooldown="1h"))), *news, until=HOUR + 600)
    first, second = runs.automatic
    assert timedelta(hours=1) <= second - first < timedelta(hours=1, seconds=5)
    assert runs.digests()[-1] == newest(simulation)
    assert len(runs.told) == 3, "the data in between was never read"
    assert "nextRunTime" not in status(simulation)
    assert conditions(simulation)["DatasetReady"] == ("True", "VersionsResolved")


UPLOADS = st.lists(st.tuples(st.sampled_from([200.0, 1500.0, 2 * HOUR]), st.integers(0, 50)), max_size=6)


@settings(deadline=None, max_examples=3)
@given(UPLOADS, st.sampled_from(["1m", "1h", "5h"]), st.integers(1, 3), st.sets(st.integers(1, 60), max_size=3))
def test_whenever_data_comes_the_trigger_is_kept_to_and_the_newest_is_read_in_the_end(
    arrivals: Sequence[tuple[float, int]], cooldown: str, most: int, deaths: set[int]
) -> None:
    simulation, at, scenes = Simulation(), 0.0, list[Scene]()
    runs, trials = Runs(simulation), Trials(simulation)
    simulation.api.wrote = killer(deaths)
    rows = 100
    for number, (pause, more) in enumerate(arrivals):
        at, rows = at + pause, rows + more
        scenes.append(Scene(at, uploads(f"edition-{number}", rows=rows)))
    experiment = triggered(cooldown=cooldown, maxRunsPerDay=most)
    often = changed(OFTEN, refresh={"interval": "1h"})
    play(simulation, Scene(0, applies(often, experiment)), *scenes, until=at + 25 * HOUR)
    begun = runs.automatic
    gaps = [later - earlier for earlier, later in pairwise(begun)]
    assert all(gap >= timedelta(seconds=seconds(cooldown)) for gap in gaps)
    assert all(sum(begin <= other < begin + timedelta(days=1) for other in begun) <= most for begin in begun)
    assert runs.digests()[-1] == newest(simulation)
    assert len(trials.begun) == len(set(runs.digests())), "a version that was read before is not read again"


@pytest.mark.parametrize(
    ("asked", "rows", "begins"),
    [
        ({"minNewRows": 10}, 109, False),
        ({"minNewRows": 10}, 110, True),
        ({"minNewPercent": 20}, 119, False),
        ({"minNewPercent": 20}, 120, True),
        ({"minNewRows": 10, "minNewPercent": 20}, 115, False),
        ({"minNewRows": 30, "minNewPercent": 20}, 125, False),
        ({"minNewRows": 30, "minNewPercent": 20}, 130, True),
        ({"policy": "Never"}, 500, False),
        ({}, 100, True),
    ],
)
def test_new_data_begins_a_run_when_there_is_enough_of_it(asked: dict[str, Any], rows: int, begins: bool) -> None:
    simulation = Simulation()
    news = Scene(100, uploads("more", rows=rows))
    play(simulation, Scene(0, applies(OFTEN, triggered(onNewDatasetVersion=asked))), news, until=100 + 2 * LOOKS)
    assert status(simulation)["run"]["number"] == 1 + begins
    assert simulation.api.read(DATASET_KEY)["status"]["lastGood"]["version"] == 2


def test_little_by_little_is_enough_in_the_end() -> None:
    simulation = Simulation()
    runs = Runs(simulation)
    scenes = [Scene(300.0 * n, uploads(f"edition-{n}", rows=100 + 6 * n)) for n in (1, 2, 3)]
    experiment = triggered(onNewDatasetVersion={"minNewRows": 10}, cooldown="1m")
    play(simulation, Scene(0, applies(OFTEN, experiment)), *scenes, until=1500)
    assert [run["datasets"][0]["rows"] for run in runs.told.values()] == [100, 112]


def test_a_request_on_a_finished_run_is_answered_by_its_model_at_once() -> None:
    simulation, experiment = Simulation(), triggered()
    trials = Trials(simulation)
    play(simulation, Scene(0, applies(RARELY, experiment)), Scene(60, asks(experiment, "again")), until=100)
    told = status(simulation)
    assert (told["run"]["number"], told["run"]["reason"], told["run"]["state"]) == (2, "Requested", "Succeeded")
    assert told["run"]["answeredBy"] == told["model"]["name"] == f"{MODEL}-v1"
    assert conditions(simulation)["Succeeded"] == ("True", "RunCached")
    assert [key.name for key in simulation.api.objects if key.kind == "ModelVersion"] == [f"{MODEL}-v1"]
    assert len(trials.begun) == 1


def test_a_request_on_a_failed_run_begins_it_from_scratch() -> None:
    simulation = Simulation(fates=Fates(trials={(0, attempt): [Fate("fails")] for attempt in range(2)}))
    experiment = search(algorithm="Random", maxTrials=1, maxFailedTrials=0)
    trials = Trials(simulation)
    play(simulation, Scene(0, applies(RARELY, experiment)), Scene(100, asks(experiment, "again")), until=200)
    told = status(simulation)
    assert [line["state"] for line in told["runs"]] == ["Failed"]
    assert (told["run"]["reason"], told["run"]["state"]) == ("Requested", "Succeeded")
    assert len(trials.begun) == 3
    assert trials.twice == [], "the new run's Jobs have other names"


def test_back_to_a_known_spec_says_that_it_is_answered() -> None:
    simulation, one = Simulation(), triggered()
    other = search(algorithm="Random", maxTrials=1, seed=99)
    trials = Trials(simulation)
    scenes = [Scene(100.0 * n, applies(manifest)) for n, manifest in enumerate((one, other, one), start=1)]
    play(simulation, Scene(0, applies(RARELY)), *scenes, until=400)
    told = status(simulation)
    assert [line["state"] for line in told["runs"]] == ["Succeeded", "Succeeded"]
    assert (told["run"]["reason"], told["run"]["answeredBy"]) == ("SpecChanged", f"{MODEL}-v1")
    assert len(trials.begun) == 2


def test_a_changed_spec_supersedes_a_run_whose_pods_end_and_which_goes_on_when_it_is_asked_for_again() -> None:
    simulation = Simulation(fates=Fates(training=lambda _: Fate(seconds=30)))
    slow, other = search(algorithm="Random", maxTrials=4), search(algorithm="Random", maxTrials=4, seed=99)
    trials = Trials(simulation)
    scenes = [Scene(10, applies(slow)), Scene(20.5, applies(other)), Scene(60, applies(slow))]
    end = play(simulation, Scene(0, applies(RARELY)), *scenes, until=300)
    told = status(simulation)
    assert [(line["number"], line["state"]) for line in told["runs"]] == [(2, "Succeeded"), (1, "Superseded")]
    assert (told["run"]["number"], told["run"]["state"], told["run"]["trials"]["progress"]) == (3, "Succeeded", "4/4")
    assert not [key for key in end if key.startswith("Pod/") and end[key]["status"]["phase"] == "Running"]
    names = [job["metadata"]["name"] for job in trials.begun]
    assert len(names) >= 8


def test_every_run_says_why_it_began() -> None:
    simulation, experiment = Simulation(), triggered(cooldown="1m")
    runs = Runs(simulation)
    other = search(algorithm="Random", maxTrials=1, seed=99, spec={"trigger": {"cooldown": "1m"}})
    scenes = [
        Scene(100, uploads("second")),
        Scene(100 + LOOKS, applies(other)),
        Scene(200 + LOOKS, asks(other, "please")),
    ]
    play(simulation, Scene(0, applies(OFTEN, experiment)), *scenes, until=600)
    reasons = [run["reason"] for _, run in sorted(runs.told.items())]
    assert reasons == ["Created", "NewDatasetVersion", "SpecChanged", "Requested"]
    begun = [event.message for key, event in simulation.api.posted if key == EXPERIMENT_KEY]
    assert all(any(f": {reason}" in message for message in begun) for reason in reasons[:3])
