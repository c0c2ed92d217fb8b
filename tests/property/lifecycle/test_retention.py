"""What is deleted after a run, and what is trained again from its record.

`play` fails when a model is deleted that has a record which has not expired, that is served, or that a run may still
choose, and when a model is recorded whose bytes are not there.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.api.base import Manifest
from keelway.manifests.sweep_job import SWEEP_ANNOTATION
from keelway.manifests.trial_job import REPRODUCE_ANNOTATION
from tests.property.engine.test_convergence import killer
from tests.property.lifecycle.fates import CALM, Fate, Fates
from tests.property.lifecycle.searches import Trials, conditions, search, status
from tests.property.lifecycle.simulation import (
    DEPLOYMENT,
    EXPERIMENT_KEY,
    MODEL,
    NAMESPACE,
    SOURCE,
    Scene,
    Simulation,
    applies,
    changed,
    play,
    uploads,
)
from tests.property.lifecycle.stories import OFTEN, RARELY, kinds, noting

FOREIGN = "s3://models/by-hand/1"
APART = 400.0
"""Seconds from one upload to the next: a run, its sweep and what expires are through by then."""


def keeping(models: int, **spec: Any) -> Manifest:
    """A search of three trials whose newest models are kept; new data begins a run soon."""
    kept = {"retention": {"models": models}, "trigger": {"cooldown": "1m", "maxRunsPerDay": 100}}
    return search(algorithm="Random", maxTrials=3, parallelTrials=2, spec={**kept, **spec})


def editions(count: int) -> list[Scene]:
    """Data that comes one after the other, the first being there from the beginning."""
    return [Scene(APART * number, uploads(f"edition-{number}")) for number in range(1, count)]


def by_hand(name: str = "by-hand-v1", uri: str = FOREIGN) -> Manifest:
    """A model that somebody brought in."""
    artifact = {"uri": uri, "digest": f"sha256:{'0' * 64}", "format": {"name": "sklearn"}}
    spec = {"model": "by-hand", "version": 1, "artifact": artifact, "producedBy": {"external": {"system": "notebook"}}}
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "keelway.dev/v1alpha1", "kind": "ModelVersion", "metadata": metadata, "spec": spec}


def models(simulation: Simulation) -> dict[str, str]:
    """URI of each recorded model of the Experiment, by name."""
    found = (stored.manifest for key, stored in simulation.api.objects.items() if key.kind == "ModelVersion")
    return {m["metadata"]["name"]: m["spec"]["artifact"]["uri"] for m in found if m["spec"]["model"] == MODEL}


def brought_in(simulation: Simulation) -> None:
    """Somebody's own files lie beside those of the Experiment."""
    simulation.lake.models[FOREIGN] = "theirs"
    simulation.lake.models["s3://models/tumour-classifier/theirs/1"] = "theirs"


THEIRS = {FOREIGN, "s3://models/tumour-classifier/theirs/1"}


def test_after_a_run_the_files_of_its_best_trial_alone_are_left() -> None:
    simulation = Simulation()
    brought_in(simulation)
    play(simulation, Scene(0, applies(RARELY, by_hand(), keeping(5))), until=200)
    assert set(simulation.lake.models) == {*models(simulation).values(), *THEIRS}
    assert len(models(simulation)) == 1
    assert status(simulation)["run"]["swept"]


@settings(deadline=None, max_examples=4)
@given(
    st.integers(1, 3),
    st.sets(st.integers(1, 120), max_size=4),
    st.lists(
        st.sampled_from([Fate("unreachable"), Fate("evicted"), Fate("node_lost"), Fate("says_nothing"), CALM]),
        max_size=3,
    ),
)
def test_as_many_models_are_kept_as_asked_for_and_what_serves_besides(
    kept: int, deaths: set[int], sweeps: list[Fate]
) -> None:
    simulation = Simulation(fates=Fates(sweeps=sweeps))
    brought_in(simulation)
    simulation.api.wrote = killer(deaths)
    pinned = changed(DEPLOYMENT, model={"name": MODEL, "version": "1"})
    files = Scene(0, applies(OFTEN, by_hand(), keeping(kept), pinned))
    play(simulation, files, *editions(5), until=5 * APART + 1200)
    newest = {f"{MODEL}-v{number}" for number in range(6 - kept, 6)}
    assert set(models(simulation)) == {f"{MODEL}-v1", *newest}, "version 1 serves"
    assert set(simulation.lake.models) == {*models(simulation).values(), *THEIRS}


def test_what_was_tidied_up_asks_for_nothing() -> None:
    simulation, marks = Simulation(), list[int]()
    files = Scene(0, applies(OFTEN, keeping(1)))
    play(simulation, files, *editions(3), Scene(2500, noting(marks)), until=3000)
    assert set(kinds(simulation.api.requests[marks[0] :])) <= {"create Job", "status Dataset", "delete Job"}
    last = [key for key in simulation.api.created[-3:] if key.kind == "Job"]
    assert all("-observe-" in key.name for key in last)


def test_a_sweep_that_always_fails_is_given_up_and_takes_nothing_from_anybody() -> None:
    simulation, marks = Simulation(fates=Fates(sweeps=[Fate("unreachable")] * 100)), list[int]()
    play(simulation, Scene(0, applies(RARELY, keeping(5))), Scene(40_000, noting(marks)), until=42_000)
    swept = [event for _, event in simulation.api.posted if event.reason == "SweepFailed"]
    assert 2 <= len(swept) < 20
    assert len(simulation.lake.models) == 3
    assert set(kinds(simulation.api.requests[marks[0] :])) <= {"create Job", "status Dataset", "delete Job"}
    assert sweeps_made(simulation) == [], "looks at the source alone"
    assert conditions(simulation)["Ready"][0] == "True"


def test_two_experiments_of_one_model_in_one_bucket_sweep_their_own_alone() -> None:
    simulation = Simulation()
    one, other = keeping(1), keeping(1, search={"algorithm": "Random", "maxTrials": 3, "seed": 99})
    other["metadata"] = {**other["metadata"], "name": "other"}
    play(simulation, Scene(0, applies(OFTEN, one, other)), *editions(3), until=3 * APART + 1200)
    assert len(models(simulation)) == 2
    assert set(simulation.lake.models) == set(models(simulation).values())


def test_a_superseded_run_that_is_asked_for_again_has_its_files() -> None:
    """`play` fails on a model that is recorded without its bytes."""
    simulation = Simulation(fates=Fates(training=lambda trial: Fate(seconds=5 + 30 * trial)))
    one, other = keeping(5), keeping(5, search={"algorithm": "Random", "maxTrials": 1, "seed": 99})
    scenes = [Scene(10, applies(one)), Scene(40, applies(other)), Scene(300, applies(one))]
    play(simulation, Scene(0, applies(RARELY)), *scenes, until=900)
    told = status(simulation)
    assert (told["run"]["number"], told["run"]["state"]) == (3, "Succeeded")
    assert set(simulation.lake.models) == set(models(simulation).values())


def reproducing(experiment: Manifest, model: str = f"{MODEL}-v1") -> Manifest:
    """The same file with `spec.reproduce`."""
    return changed(experiment, reproduce=model)


def reproductions(simulation: Simulation) -> list[str]:
    """Names of the Jobs that were made to train again."""
    return [key.name for key in simulation.api.created if key.kind == "Job" and "-reproduce-" in key.name]


FILES = Scene(0, applies(RARELY, keeping(5)))
ASKED = Scene(100, applies(reproducing(keeping(5))))


@settings(deadline=None, max_examples=4)
@given(
    st.lists(st.builds(Fate, st.sampled_from(["evicted", "node_lost", "says_nothing", "unreachable"])), max_size=2),
    st.sets(st.integers(1, 40), max_size=3),
)
def test_the_same_training_makes_the_same_bytes_whatever_happens_on_the_way(
    disturbed: list[Fate], deaths: set[int]
) -> None:
    simulation = Simulation(fates=Fates(reproductions=disturbed))
    trials = Trials(simulation)
    simulation.api.wrote = killer(deaths)
    play(simulation, FILES, ASKED, until=900)
    assert conditions(simulation)["Reproduced"] == ("True", "SameBytes")
    told = status(simulation)["reproduction"]
    assert (told["state"], told["digest"]) == ("Reproduced", told["recordedDigest"])
    assert len(trials.begun) == 3, "no trial of the run is done again"
    assert set(simulation.lake.models) == set(models(simulation).values()), "what it left is swept"
    assert len(models(simulation)) == 1


def test_a_training_that_differs_says_by_how_much() -> None:
    simulation = Simulation(fates=Fates(reproductions=[Fate("differs")]))
    play(simulation, FILES, ASKED, until=600)
    assert conditions(simulation)["Reproduced"] == ("False", "MetricsDiffer")
    told = status(simulation)["reproduction"]
    assert told["digest"] != told["recordedDigest"]
    (metric,) = told["metrics"]
    assert metric["name"] == "auc"
    assert metric["recorded"] != metric["reproduced"]
    assert set(simulation.lake.models) == set(models(simulation).values())


@pytest.mark.parametrize("end", ["fails", "data_gone"])
def test_a_training_that_cannot_be_done_again_says_why_once(end: Any) -> None:
    simulation = Simulation(fates=Fates(reproductions=[Fate(end)] * 5))
    play(simulation, FILES, ASKED, until=1500)
    assert conditions(simulation)["Reproduced"] == ("False", "ReproductionFailed")
    assert 1 <= len(reproducing_jobs(simulation)) <= 3
    assert conditions(simulation)["Succeeded"][0] == "True", "the run stays what it was"


def reproducing_jobs(simulation: Simulation) -> list[Manifest]:
    """Jobs that train again, as far as they are there."""
    jobs = (stored.manifest for key, stored in simulation.api.objects.items() if key.kind == "Job")
    return [job for job in jobs if REPRODUCE_ANNOTATION in job["metadata"].get("annotations", {})]


def test_an_experiment_may_do_nothing_but_train_a_foreign_experiments_model_again() -> None:
    simulation = Simulation()
    checker = changed(keeping(5), reproduce=f"{MODEL}-v1")
    checker["metadata"] = {**checker["metadata"], "name": "checker"}
    end = play(simulation, FILES, Scene(100, applies(checker)), until=600)
    told = end[f"Experiment/{NAMESPACE}/checker"]["status"]
    assert told["reproduction"]["state"] == "Reproduced"
    assert "run" not in told
    assert set(simulation.lake.models) == set(models(simulation).values())


def test_killed_after_each_write_of_a_run_a_sweep_and_a_reproduction_it_ends_the_same() -> None:
    undisturbed = Simulation()
    story, until = (FILES, Scene(60, applies(reproducing(keeping(5))))), 160
    end = play(undisturbed, *story, until=until)
    assert end[str(EXPERIMENT_KEY)]["status"]["reproduction"]["state"] == "Reproduced"
    writes = len(undisturbed.api.effects)
    for k in range(1, writes + 1):
        simulation = Simulation()
        simulation.api.wrote = killer({k})
        assert play(simulation, *story, until=until) == end, f"killed after write {k}"
        jobs = [key for key in simulation.api.created if key.kind == "Job"]
        assert len(jobs) == len(set(jobs)), f"killed after write {k}"
        assert simulation.lake.models == undisturbed.lake.models, f"killed after write {k}"


def sweeps_made(simulation: Simulation) -> list[Manifest]:
    """Jobs that delete, as far as they are there."""
    jobs = (stored.manifest for key, stored in simulation.api.objects.items() if key.kind == "Job")
    return [job for job in jobs if SWEEP_ANNOTATION in job["metadata"].get("annotations", {})]


def test_nobody_is_left_of_sweeps_that_are_done() -> None:
    simulation = Simulation()
    play(simulation, Scene(0, applies(OFTEN, keeping(1))), *editions(3), until=3 * APART + 1200)
    assert sweeps_made(simulation) == []
    assert SOURCE in simulation.lake.contents
