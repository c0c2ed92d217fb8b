"""The engine reaches the same end whatever happens on the way, and then rests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.engine.errors import (
    ApiError,
    ConflictError,
    RefusedError,
    TooManyRequestsError,
    UnavailableError,
)
from tests.property.engine import toy
from tests.property.engine.harness import Delivery, KilledError, World
from tests.property.engine.memory_api import Fault, MemoryApi
from tests.property.engine.virtual_time import run

LONG = 1500.0
"""Virtual seconds: a dozen relists, and longer than the backoff after all faults that a test injects."""
EXPERIMENT = Key("Experiment", toy.NAMESPACE, "gbt")
ERRORS = st.sampled_from(
    [
        ConflictError("modified", status=409),
        RefusedError("invalid", status=422),
        TooManyRequestsError("slow down", status=429, retry_after=2.0),
        UnavailableError("no answer"),
        UnavailableError("internal error", status=500),
    ]
)
FAULTS = st.dictionaries(st.integers(0, 40), st.tuples(ERRORS, st.booleans()), max_size=12)
DELAYS = st.floats(0, 30, allow_nan=False)
DELIVERIES = st.lists(st.lists(DELAYS, max_size=3).map(tuple).map(Delivery), min_size=1, max_size=30)


def new_world(deliver: Callable[[int], Delivery] = lambda _number: Delivery()) -> World:
    return World(toy.TOY, toy.Controllers, deliver)


def play(world: World, *steps: Callable[[MemoryApi], Any], seconds: float = LONG) -> dict[str, Manifest]:
    """Let people do one step after the other, with a little time between them, and the world go on for long."""

    async def story() -> None:
        live = asyncio.create_task(world.live(seconds))
        for step in steps:
            step(world.api)
            await asyncio.sleep(3.5)
        await live

    run(story())
    return world.end_state()


def put(manifest: Manifest) -> Callable[[MemoryApi], Any]:
    return lambda api: api.put(manifest)


def calm(trials: int = 3, notes: dict[str, str] | None = None) -> dict[str, Manifest]:
    """The end when nothing goes wrong."""
    return _calm(trials, tuple(sorted((notes or {}).items())))


@cache
def _calm(trials: int, notes: tuple[tuple[str, str], ...]) -> dict[str, Manifest]:
    return play(new_world(), put(toy.dataset()), put(toy.experiment(trials=trials, notes=dict(notes))))


def fault_of(plan: dict[int, tuple[ApiError, bool]]) -> Callable[[str, Key], Fault | None]:
    """Break the requests with these numbers."""
    number = iter(range(10**9))

    def fault(_verb: str, _key: Key) -> Fault | None:
        return Fault(*plan[n]) if (n := next(number)) in plan else None

    return fault


def test_a_calm_world_runs_every_trial_once_and_sums_up() -> None:
    world = new_world()
    end = play(world, put(toy.dataset()), put(toy.experiment(trials=5)))
    assert end[str(EXPERIMENT)]["status"] == {
        "phase": "Done",
        "version": end["Dataset/ml/churn"]["status"]["version"],
        "results": {str(n): f"verdict of trial {n}" for n in range(5)},
    }
    assert end["ConfigMap/ml/gbt-summary"]["data"] == {"results": "5"}
    assert [key for key in end if key.startswith(("Job", "Pod"))] == []
    jobs = [key for key in world.api.created if key.kind == "Job"]
    assert len(jobs) == len(set(jobs)) == 5


def test_a_converged_world_asks_for_nothing_at_all_not_even_after_a_restart() -> None:
    world = new_world()
    play(world, put(toy.dataset()), put(toy.experiment()))
    world.api.requests.clear()
    play(world, seconds=LONG)
    assert world.api.requests == []


def test_writes_are_bounded() -> None:
    """Per trial: create, a status at start and one at the end, the summary's new count, delete; and a few for all."""
    world = new_world()
    play(world, put(toy.dataset()), put(toy.experiment(trials=10, parallel=1)))
    writes = [request for request in world.api.requests if request.split()[0] not in ("get", "log", "event")]
    assert len(writes) <= 5 * 10 + 5
    assert writes == world.api.effects, "every write changed something"


@settings(deadline=None, max_examples=40)
@given(DELIVERIES)
def test_late_repeated_reordered_and_lost_events_reach_the_same_end(deliveries: list[Delivery]) -> None:
    world = new_world(lambda number: deliveries[number % len(deliveries)])
    assert play(world, put(toy.dataset()), put(toy.experiment())) == calm()


@settings(deadline=None, max_examples=40)
@given(FAULTS)
def test_failing_requests_reach_the_same_end(plan: dict[int, tuple[ApiError, bool]]) -> None:
    world = new_world()
    world.api.faults = fault_of(plan)
    assert play(world, put(toy.dataset()), put(toy.experiment())) == calm()


@settings(deadline=None, max_examples=40)
@given(FAULTS, DELIVERIES, st.sets(st.integers(1, 30), max_size=4))
def test_everything_at_once_reaches_the_same_end(
    plan: dict[int, tuple[ApiError, bool]], deliveries: list[Delivery], deaths: set[int]
) -> None:
    world = new_world(lambda number: deliveries[number % len(deliveries)])
    world.api.faults = fault_of(plan)
    world.api.wrote = killer(deaths)
    assert play(world, put(toy.dataset()), put(toy.experiment())) == calm()


def killer(deaths: set[int]) -> Callable[[], None]:
    """Ends the operator right after its writes with these numbers took effect."""
    number = iter(range(1, 10**9))

    def wrote() -> None:
        if next(number) in deaths:
            raise KilledError

    return wrote


def test_a_kill_after_each_write_reaches_the_same_end_with_no_job_twice() -> None:
    undisturbed = new_world()
    end = play(undisturbed, put(toy.dataset()), put(toy.experiment()))
    writes = len(undisturbed.api.effects)
    assert writes > 10
    for k in range(1, writes + 1):
        world = new_world()
        world.api.wrote = killer({k})
        assert play(world, put(toy.dataset()), put(toy.experiment())) == end, f"killed after write {k}"
        assert world.restarts == 1
        jobs = [key for key in world.api.created if key.kind == "Job"]
        assert len(jobs) == len(set(jobs)), f"killed after write {k}"


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"))),
        min_size=1,
        max_size=4,
    )
)
def test_changing_a_resource_step_by_step_ends_where_creating_it_at_once_ends(
    specs: list[tuple[int, dict[str, str]]],
) -> None:
    changes = [put(toy.experiment(trials=trials, notes=notes)) for trials, notes in specs]
    trials, notes = specs[-1]
    assert play(new_world(), put(toy.dataset()), *changes) == calm(trials, notes)


def test_order_of_creation_does_not_matter() -> None:
    assert play(new_world(), put(toy.experiment()), put(toy.dataset())) == calm()


def test_a_child_that_somebody_edits_or_deletes_comes_back() -> None:
    def edit(api: MemoryApi) -> None:
        summary = api.read(Key("ConfigMap", toy.NAMESPACE, "gbt-summary"))
        api.put({**summary, "data": {"results": "999"}})

    def delete(api: MemoryApi) -> None:
        api.remove(Key("ConfigMap", toy.NAMESPACE, "gbt-summary"))

    for step in (edit, delete):
        world = new_world()
        play(world, put(toy.dataset()), put(toy.experiment()))
        assert play(world, step, seconds=60) == calm()


def test_a_deleted_resource_leaves_nothing() -> None:
    world = new_world()
    end = play(world, put(toy.dataset()), put(toy.experiment()), lambda api: api.remove(EXPERIMENT))
    assert list(end) == ["Dataset/ml/churn"]


def test_a_resource_that_is_made_again_under_its_name_starts_anew() -> None:
    world = new_world()
    steps = (put(toy.experiment(trials=2)), lambda api: api.remove(EXPERIMENT), put(toy.experiment()))
    assert play(world, put(toy.dataset()), *steps) == calm()


@pytest.mark.parametrize("owned_by_somebody", [True, False])
def test_a_foreign_object_under_our_name_is_never_touched_and_the_conflict_shows(owned_by_somebody: bool) -> None:
    owner = {"apiVersion": "v1", "kind": "Team", "name": "red", "uid": "uid-of-red", "controller": True}
    foreign: Manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "gbt-summary", "namespace": toy.NAMESPACE},
        "data": {"theirs": "1"},
    }
    if owned_by_somebody:
        foreign["metadata"]["ownerReferences"] = [owner]
    world = new_world()
    world.api.collect_orphans = lambda: None  # type: ignore[method-assign]  # the owner is not in this world
    end = play(world, put(foreign), put(toy.dataset()), put(toy.experiment()))
    assert end["ConfigMap/ml/gbt-summary"]["data"] == {"theirs": "1"}
    assert end[str(EXPERIMENT)]["status"]["failure"].startswith("NameConflict: ConfigMap gbt-summary ")
    healed = play(world, lambda api: api.remove(Key("ConfigMap", toy.NAMESPACE, "gbt-summary")))
    assert healed == calm()


def test_what_the_server_refuses_shows_and_is_not_sent_in_a_tight_loop() -> None:
    world = new_world()
    refused = RefusedError("quota exceeded", status=403)
    world.api.faults = lambda verb, key: Fault(refused) if (verb, key.kind) == ("create", "Job") else None
    end = play(world, put(toy.dataset()), put(toy.experiment()), seconds=3600)
    assert end[str(EXPERIMENT)]["status"]["failure"] == "ApiRefused: quota exceeded"
    assert len([request for request in world.api.requests if request.startswith("create Job")]) < 60
    assert len(world.api.effects) < 8, "the failure is written once"


def test_a_short_outage_does_not_show_and_a_long_one_does() -> None:
    async def outage(seconds: float) -> Manifest:
        """The Experiment's status at the end of an outage of so many seconds."""
        world = new_world()
        live = asyncio.create_task(world.live(120))
        world.api.put(toy.dataset())
        world.api.put(toy.experiment())
        world.api.faults = lambda verb, _key: Fault(UnavailableError("no answer")) if verb == "create" else None
        await asyncio.sleep(seconds)
        world.api.faults = lambda _verb, _key: None
        seen: Manifest = dict(world.api.read(EXPERIMENT).get("status") or {})
        await live
        assert "failure" not in world.end_state()[str(EXPERIMENT)]["status"]
        return seen

    assert "failure" not in run(outage(0.3))
    assert run(outage(5))["failure"] == "ProgressingWithRetry: no answer"


def test_a_kind_that_is_not_served_is_not_there_and_comes_back() -> None:
    world = new_world()
    play(world, put(toy.dataset()), put(toy.experiment()), lambda api: api.unserve("ConfigMap"), seconds=60)
    assert "ConfigMap/ml/gbt-summary" not in world.end_state()
    assert play(world, lambda api: api.unserved.clear()) == calm()
