"""Whatever happens on the way, the same models are made of the same data and the same one serves; then all is at rest.

`play` fails on anything that the oracles saw broken after any single write: invalid or oversized statuses, traffic to
what is not ready, weights that are not 100, a Job after a recorded verdict.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.engine.errors import ApiError, ConflictError, RefusedError, TooManyRequestsError, UnavailableError
from tests.property.engine.harness import Delivery
from tests.property.engine.test_convergence import fault_of, killer
from tests.property.lifecycle.fates import Fate, Fates, ServerFate
from tests.property.lifecycle.oracles import kstatus
from tests.property.lifecycle.simulation import (
    DATASET_KEY,
    DEPLOYMENT,
    DEPLOYMENT_KEY,
    EXPERIMENT_KEY,
    MODEL,
    NAMESPACE,
    SOURCE,
    Scene,
    Simulation,
    applies,
    changed,
    deletes,
    play,
    restarts,
    uploads,
)
from tests.property.lifecycle.stories import OFTEN, SMALL, kinds, noting, once_a_model_is_recorded

FILES = Scene(0, applies(OFTEN, SMALL, DEPLOYMENT))
NEW_DATA = Scene(500, once_a_model_is_recorded(uploads("second")))
"""After the first data has made a model, however long troubles held it up: there are always two, of the same two."""
RELIABLE, QUIET, END = 1300.0, 1900.0, 2150.0
"""Watches work from RELIABLE on; looks at the source are all that may happen after QUIET."""

DISTURBANCES = st.sampled_from(["evicted", "node_lost", "says_nothing", "unreachable", "job_deleted"])
SECONDS = st.sampled_from([1.0, 5.0, 40.0])
DISTURBED = st.builds(Fate, DISTURBANCES, SECONDS, st.sampled_from([0.0, 0.0, 20.0]))
FAILING = st.builds(Fate, st.sampled_from(["fails", "out_of_memory", "times_out"]), SECONDS)
LOOKS = st.lists(
    st.builds(Fate, st.sampled_from(["evicted", "node_lost", "unreachable", "job_deleted", "fails"]), SECONDS),
    max_size=3,
)
ATTEMPTS = st.dictionaries(
    st.tuples(st.integers(0, 2), st.integers(0, 2)), st.lists(DISTURBED, min_size=1, max_size=2), max_size=4
)
SERVERS = st.dictionaries(st.integers(1, 2), st.builds(ServerFate, st.sampled_from([1.0, 30.0, 200.0])), max_size=2)

ERRORS: st.SearchStrategy[ApiError] = st.sampled_from(
    [
        ConflictError("modified", status=409),
        RefusedError("invalid", status=422),
        TooManyRequestsError("slow down", status=429, retry_after=2.0),
        UnavailableError("no answer"),
        UnavailableError("internal error", status=500),
    ]
)
FAULTS = st.dictionaries(st.integers(0, 60), st.tuples(ERRORS, st.booleans()), max_size=10)
DELIVERIES = st.lists(
    st.lists(st.floats(0, 30, allow_nan=False), max_size=3).map(tuple).map(Delivery), min_size=1, max_size=30
)


def unreliable(deliveries: Sequence[Delivery]) -> Callable[[int], Delivery]:
    """Watches that do this to events, until they work as they should."""

    def deliver(number: int) -> Delivery:
        late = asyncio.get_running_loop().time() > RELIABLE
        return Delivery() if late else deliveries[number % len(deliveries)]

    return deliver


def outcome(end: Mapping[str, Manifest]) -> dict[str, Any]:
    """What users have in the end: records, and what serves. Not how many attempts it took."""
    kept = ("ModelVersion", "DatasetVersion", "InferenceService", "Service", "HTTPRoute")
    return {key: value["spec"] for key, value in end.items() if Key(*key.split("/")).kind in kept}


def calm() -> dict[str, Any]:
    """The outcome when nothing goes wrong."""
    return outcome(play(Simulation(), FILES, NEW_DATA, until=END))


@pytest.fixture(scope="module", name="expected")
def fixture_expected() -> dict[str, Any]:
    """The outcome when nothing goes wrong, worked out once."""
    return calm()


def converges(simulation: Simulation, expected: Mapping[str, Any], *scenes: Scene) -> None:
    """The story ends as it would have ended in peace, and rests."""
    marks: list[int] = []
    end = play(simulation, FILES, NEW_DATA, Scene(QUIET, noting(marks)), *scenes, until=END)
    assert outcome(end) == expected
    for key in (DATASET_KEY, EXPERIMENT_KEY, DEPLOYMENT_KEY):
        assert kstatus(simulation.api.read(key)) == "Current"
    last = kinds(simulation.api.requests[marks[0] :])
    assert set(last) <= {"create Job", "status Dataset", "delete Job"}
    assert max(last.values(), default=0) <= 3, "as when nothing changes"


@settings(deadline=None, max_examples=6)
@given(LOOKS, ATTEMPTS, SERVERS)
def test_disturbed_pods_reach_the_same_end(
    expected: dict[str, Any],
    looks: Sequence[Fate],
    trials: Mapping[tuple[int, int], Sequence[Fate]],
    servers: Mapping[int, ServerFate],
) -> None:
    converges(Simulation(fates=Fates(looks, trials, dict(servers))), expected)


@settings(deadline=None, max_examples=5)
@given(st.dictionaries(st.integers(0, 2), FAILING), st.sets(st.integers(1, 40), max_size=3))
def test_trials_that_fail_once_reach_the_same_end(
    expected: dict[str, Any], failing: Mapping[int, Fate], deaths: set[int]
) -> None:
    """One failure of its own is within `trial.retries`; the operator may die meanwhile."""
    simulation = Simulation(fates=Fates(trials={(trial, 0): [fate] for trial, fate in failing.items()}))
    simulation.api.wrote = killer(deaths)
    converges(simulation, expected)


@settings(deadline=None, max_examples=6)
@given(DELIVERIES)
def test_late_repeated_reordered_and_lost_events_reach_the_same_end(
    expected: dict[str, Any], deliveries: list[Delivery]
) -> None:
    converges(Simulation(deliver=unreliable(deliveries)), expected)


@settings(deadline=None, max_examples=6)
@given(FAULTS)
def test_failing_requests_reach_the_same_end(
    expected: dict[str, Any], faults: dict[int, tuple[ApiError, bool]]
) -> None:
    simulation = Simulation()
    simulation.api.faults = fault_of(faults)
    converges(simulation, expected)


@settings(deadline=None, max_examples=6)
@given(FAULTS, DELIVERIES, st.sets(st.integers(1, 60), max_size=4), LOOKS, ATTEMPTS, st.integers(1, 1500))
def test_everything_at_once_reaches_the_same_end(
    expected: dict[str, Any],
    faults: dict[int, tuple[ApiError, bool]],
    deliveries: list[Delivery],
    deaths: set[int],
    looks: Sequence[Fate],
    trials: Mapping[tuple[int, int], Sequence[Fate]],
    restart: int,
) -> None:
    simulation = Simulation(fates=Fates(looks, trials), deliver=unreliable(deliveries))
    simulation.api.faults = fault_of(faults)
    simulation.api.wrote = killer(deaths)
    converges(simulation, expected, Scene(restart, restarts))


def settled(simulation: Simulation) -> dict[str, Any]:
    """What a user sees of the present, whatever the past was."""
    dataset, experiment, deployment = (simulation.api.read(k) for k in (DATASET_KEY, EXPERIMENT_KEY, DEPLOYMENT_KEY))
    live = deployment["status"]["live"]["inferenceService"]
    servers = {
        key.name: stored.manifest["spec"]
        for key, stored in simulation.api.objects.items()
        if key.kind == "InferenceService"
    }
    run = experiment["status"]["run"]
    return {
        "standing": [kstatus(manifest) for manifest in (dataset, experiment, deployment)],
        "data": dataset["status"]["lastGood"]["digest"],
        "run": [run["hash"], run["best"], run["state"]],
        "servers": [_without_number(spec) for spec in servers.values()],
        "only live": list(servers) == [live],
        "route": [key.kind for key in simulation.api.objects if key.kind in ("Service", "HTTPRoute")],
    }


def _without_number(spec: Manifest) -> Any:
    """An InferenceService's spec without what says how many versions there were before."""
    predictor = spec["predictor"]
    model = {name: value for name, value in predictor["model"].items() if name != "env"}
    annotations = {name: value for name, value in predictor["annotations"].items() if "revision" not in name}
    return {**predictor, "model": model, "annotations": annotations}


CHANGES = st.sampled_from(
    [
        (OFTEN, {"splits": [{"name": "train", "percent": 60}, {"name": "holdout", "percent": 20}]}),
        (OFTEN, {"source": {"uri": SOURCE, "format": "CSV", "include": ["*.csv"]}}),
        (OFTEN, {"owner": {"team": "others"}}),
        (SMALL, {"search": {**SMALL["spec"]["search"], "seed": 7}}),
        (SMALL, {"search": {**SMALL["spec"]["search"], "algorithm": "Random", "maxTrials": 2}}),
        (SMALL, {"parameters": SMALL["spec"]["parameters"][:1]}),
        (SMALL, {"objective": {"metric": "auc", "goal": "Minimize"}}),
        (DEPLOYMENT, {"serving": {"minReplicas": 2, "maxReplicas": 3}}),
        (DEPLOYMENT, {"serving": {"protocol": "v1"}}),
        (DEPLOYMENT, {"route": None}),
        (DEPLOYMENT, {"rollout": {"soak": "10s"}}),
    ]
)


@settings(deadline=None, max_examples=6)
@given(st.lists(st.tuples(CHANGES, st.sampled_from([1.0, 20.0, 90.0])), min_size=1, max_size=4))
def test_changing_specs_step_by_step_ends_where_creating_them_at_once_ends(
    steps: list[tuple[tuple[Manifest, dict[str, Any]], float]],
) -> None:
    files = {manifest["kind"]: manifest for manifest in (OFTEN, SMALL, DEPLOYMENT)}
    scenes, at = [FILES], 0.0
    for (manifest, change), pause in steps:
        at += pause
        files[manifest["kind"]] = changed(files[manifest["kind"]], **change)
        scenes.append(Scene(at, applies(files[manifest["kind"]])))
    slowly, at_once = Simulation(), Simulation()
    play(slowly, *scenes, until=at + 900)
    play(at_once, Scene(0, applies(*files.values())), until=400)
    assert settled(slowly) == settled(at_once)


@settings(deadline=None, max_examples=6)
@given(
    st.permutations([DATASET_KEY, EXPERIMENT_KEY, DEPLOYMENT_KEY]),
    st.sampled_from([2.0, 12.0, 30.0, 200.0]),
    st.sampled_from([0.0, 5.0]),
    st.sets(st.integers(1, 60), max_size=2),
)
def test_deletion_always_ends_and_leaves_records_alone(
    order: list[Key], begins: float, pause: float, deaths: set[int]
) -> None:
    simulation = Simulation()
    simulation.api.wrote = killer(deaths)
    gone = [Scene(begins + pause * n, deletes(key)) for n, key in enumerate(order)]
    end = play(simulation, FILES, *gone, until=600)
    left = {Key(*key.split("/")).kind for key in end}
    assert left <= {"ModelVersion", "DatasetVersion", "ConfigMap"}
    models = [value for key, value in end.items() if key.startswith("ModelVersion")]
    used = {given["datasetVersion"] for model in models for given in model["spec"]["inputs"]}
    assert {Key(*key.split("/")).name for key in end if key.startswith("DatasetVersion")} == used
    assert {key for key in end if key.startswith("ConfigMap")} == {
        f"ConfigMap/{NAMESPACE}/{name}-{part}" for name in used for part in ("files", "profile")
    }


def test_a_bucket_that_is_gone_holds_no_deletion_up() -> None:
    simulation = Simulation()
    lost = Scene(5, lambda world: world.lake.contents.clear())
    gone = [Scene(300, deletes(key)) for key in (DATASET_KEY, EXPERIMENT_KEY, DEPLOYMENT_KEY)]
    end = play(simulation, FILES, lost, *gone, until=600)
    assert {Key(*key.split("/")).kind for key in end} <= {"ModelVersion", "DatasetVersion", "ConfigMap"}


def test_without_kserve_all_but_the_serving_goes_on_and_it_does_when_kserve_comes() -> None:
    simulation = Simulation()
    absent = Scene(0, lambda world: world.api.unserve("InferenceService"))
    arrives = Scene(200, lambda world: world.api.unserved.clear())
    end = play(simulation, absent, FILES, arrives, until=600)
    assert end[str(DEPLOYMENT_KEY)]["status"]["live"]["name"] == f"{MODEL}-v1"


def test_a_version_that_does_not_load_gets_no_traffic_and_the_next_one_does() -> None:
    simulation = Simulation(fates=Fates(servers={1: ServerFate(), 2: ServerFate(loads=False)}))
    third = Scene(1200, uploads("third"))
    end = play(simulation, FILES, NEW_DATA, third, until=END)
    history = end[str(DEPLOYMENT_KEY)]["status"]["history"]
    assert [(line["version"], line["outcome"]) for line in history] == [
        (3, "Promoted"),
        (2, "RolledBack"),
        (1, "Replaced"),
    ]
    assert len([key for key in end if key.startswith("InferenceService")]) == 1


def test_an_operator_that_looks_at_a_stale_world_makes_no_job_twice() -> None:
    """Everything that others write arrives half a minute late, and the operator dies again and again."""
    simulation = Simulation(deliver=lambda _number: Delivery((30.0,)))
    simulation.api.wrote = killer(set(range(3, 60, 7)))
    play(simulation, FILES, until=900)
    jobs = [key for key in simulation.api.created if key.kind == "Job"]
    assert simulation.restarts > 2
    assert len(jobs) == len(set(jobs))
