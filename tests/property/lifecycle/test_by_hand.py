"""Whatever people do to files and to what is not theirs, the world comes to rest as the files say in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.api.base import Manifest
from keelway.engine.objects import key_of
from tests.property.engine.test_convergence import killer
from tests.property.lifecycle.oracles import kstatus
from tests.property.lifecycle.simulation import (
    DATASET_KEY,
    DEPLOYMENT,
    DEPLOYMENT_KEY,
    EXPERIMENT_KEY,
    MODEL,
    NAMESPACE,
    Action,
    Scene,
    Simulation,
    applies,
    changed,
    play,
    restarts,
    uploads,
)
from tests.property.lifecycle.stories import OFTEN, SMALL, kinds, noting

SEARCH = SMALL["spec"]["search"]
QUIET, END = 900.0, 1150.0
"""Seconds after the last scene."""


def removes(kind: str, which: int) -> Action:
    """Somebody deletes one object of a kind."""

    def action(simulation: Simulation) -> None:
        keys = sorted(key for key in simulation.api.objects if key.kind == kind)
        if keys:
            simulation.api.remove(keys[which % len(keys)])

    return action


def makes_again(manifest: Manifest) -> Action:
    """Somebody deletes a resource and creates it anew at once."""

    def action(simulation: Simulation) -> None:
        if key_of(manifest) in simulation.api.objects:
            simulation.api.remove(key_of(manifest))
        simulation.api.put(manifest)

    return action


def asks(manifest: Manifest, when: str) -> Action:
    """`kubectl annotate ... keelway.dev/reconcile=...`"""
    annotated = {**manifest["metadata"], "annotations": {"keelway.dev/reconcile": when}}
    return applies({**manifest, "metadata": annotated})


CHILDREN = ["Job", "Pod", "ConfigMap", "InferenceService", "Service", "HTTPRoute", "DatasetVersion", "ModelVersion"]
FILES = [OFTEN, SMALL, DEPLOYMENT]
EDITS: list[tuple[Manifest, dict[str, Any]]] = [
    *((manifest, {"suspend": suspend}) for manifest in FILES for suspend in (True, False)),
    (OFTEN, {"splits": [{"name": "train", "percent": 60}]}),
    (OFTEN, {"splits": [{"name": "holdout", "percent": 20}]}),
    (SMALL, {"search": {**SEARCH, "seed": 7}}),
    (SMALL, {"trigger": {"onNewDatasetVersion": {"policy": "Never"}}}),
    (DEPLOYMENT, {"serving": {"protocol": "v1"}}),
    (DEPLOYMENT, {"route": None}),
    (DEPLOYMENT, {"model": {"name": MODEL, "version": "1"}}),
    (DEPLOYMENT, {"model": {"name": MODEL, "version": "9"}}),
]
ACTIONS: st.SearchStrategy[Action] = st.one_of(
    st.builds(removes, st.sampled_from(CHILDREN), st.integers(0, 5)),
    st.builds(makes_again, st.sampled_from(FILES)),
    st.builds(asks, st.sampled_from(FILES[:2]), st.sampled_from("abc")),
    st.sampled_from(EDITS).map(lambda edit: applies(changed(edit[0], **edit[1]))),
    st.sampled_from(["second", "third"]).map(uploads),
    st.just(restarts),
)
PAUSES = st.sampled_from([1.0, 4.0, 12.0, 40.0, 200.0])


@settings(deadline=None, max_examples=10)
@given(st.lists(st.tuples(PAUSES, ACTIONS), min_size=1, max_size=6), st.sets(st.integers(1, 80), max_size=2))
def test_the_world_comes_to_rest_as_the_files_say_in_the_end(
    doings: Sequence[tuple[float, Action]], deaths: set[int]
) -> None:
    simulation, marks, at = Simulation(), list[int](), 0.0
    simulation.api.wrote = killer(deaths)
    scenes = [Scene(0, applies(*FILES))]
    for pause, action in doings:
        at += pause
        scenes.append(Scene(at, action))
    scenes += [
        Scene(at + 1, uploads("final")),
        Scene(at + 2, applies(changed(OFTEN, owner={"team": "final"}), changed(SMALL, search={**SEARCH, "seed": 99}))),
        Scene(at + 3, applies(DEPLOYMENT)),
        Scene(at + QUIET, noting(marks)),
    ]
    play(simulation, *scenes, until=at + END)
    rests(simulation, simulation.api.requests[marks[0] :])


def rests(simulation: Simulation, requests: list[str]) -> None:
    """All is as the files say, nothing is left over, and only the source is looked at."""
    for key in (DATASET_KEY, EXPERIMENT_KEY, DEPLOYMENT_KEY):
        assert kstatus(simulation.api.read(key)) == "Current"
    assert set(kinds(requests)) <= {"create Job", "status Dataset", "delete Job"}
    deployment, experiment = (simulation.api.read(key)["status"] for key in (DEPLOYMENT_KEY, EXPERIMENT_KEY))
    servers = [key.name for key in simulation.api.objects if key.kind == "InferenceService"]
    assert servers == [deployment["live"]["inferenceService"]]
    assert deployment["live"]["name"] == experiment["model"]["name"]
    tables = {line["trials"] for line in experiment["runs"]} | {experiment["trials"]["configMap"]}
    found = {key.name for key in simulation.api.objects if key.kind == "ConfigMap" and "-trials-" in key.name}
    assert found <= tables


@settings(deadline=None, max_examples=6)
@given(st.sets(st.integers(1, 80), max_size=3), st.sampled_from([0.0, 3.0, 11.0]))
def test_experiments_that_make_one_model_number_its_versions_without_a_gap(deaths: set[int], apart: float) -> None:
    simulation = Simulation()
    simulation.api.wrote = killer(deaths)
    others = [changed(SMALL, search={**SEARCH, "seed": seed}) for seed in (1, 2, 3)]
    for number, other in enumerate(others):
        other["metadata"] = {**other["metadata"], "name": f"search-{number}"}
    scenes = [Scene(apart * number, applies(other)) for number, other in enumerate(others)]
    end = play(simulation, Scene(0, applies(OFTEN)), *scenes, until=200)
    models = [end[f"ModelVersion/{NAMESPACE}/{MODEL}-v{number}"]["spec"] for number in (1, 2, 3)]
    assert {model["producedBy"]["experiment"] for model in models} == {"search-0", "search-1", "search-2"}
    for model in models:
        status = end[f"Experiment/{NAMESPACE}/{model['producedBy']['experiment']}"]["status"]
        assert status["model"]["version"] == model["version"], "each tells its own"
