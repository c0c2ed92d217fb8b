"""Raw batches arrive, good and bad ones: each stage of a chain is derived once of each good one, and of no other.

`play` fails when consumers move to a version that is not Valid, and when a derivation whose result is kept runs again.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keelway.api.base import Manifest
from keelway.engine.errors import ApiError
from tests.property.engine.harness import Delivery
from tests.property.engine.memory_api import Happened
from tests.property.engine.test_convergence import fault_of, killer
from tests.property.lifecycle.chain import (
    APPENDED,
    BROKEN,
    CHAIN,
    CLEAN,
    FEATURES,
    FIRST,
    KEYS,
    MENDED,
    RAW,
    TOO_OLD,
    arrives,
    chain,
    consumers_get,
    derives,
    digests,
    jobs_made,
    timeless,
    versions,
)
from tests.property.lifecycle.crds import refusals
from tests.property.lifecycle.fates import Fate
from tests.property.lifecycle.lake import Content, content
from tests.property.lifecycle.oracles import OWN, kstatus
from tests.property.lifecycle.simulation import Scene, Simulation, applies, changed, play, restarts
from tests.property.lifecycle.stories import kinds, noting
from tests.property.lifecycle.test_oracles import DELIVERIES, FAULTS, LOOKS, unreliable

FILES = Scene(0, applies(*CHAIN))
STORY = (FILES, Scene(100, arrives(APPENDED)), Scene(200, arrives(BROKEN)), Scene(300, arrives(MENDED)))
AT_REST = 400.0
"""Seconds; the last look at the story's last batch has begun long before."""


@pytest.fixture(scope="module", name="told")
def fixture_told() -> Simulation:
    """The whole story, told once; what the API server would refuse or drop of it counts as broken."""
    simulation = chain()

    def judge(happened: Happened) -> None:
        if happened.manifest["kind"] in OWN and happened.type != "DELETED":
            simulation.oracles.broken.extend(refusals(happened.manifest))

    simulation.api.watchers.append(judge)
    play(simulation, *STORY, until=AT_REST)
    return simulation


def test_each_stage_is_derived_once_of_each_good_batch(told: Simulation) -> None:
    raw, *stages = ([v.status.verdict for v in versions(told, key.name)] for key in KEYS)
    assert (raw, stages) == (["Valid", "Valid", "Invalid", "Valid"], [["Valid"] * 3] * 2)
    assert consumers_get(told) == digests(MENDED)
    assert derived_jobs(told) == {"clean-derive": 3, "features-derive": 3}, "and no look at what was derived"
    assert [kstatus(told.api.read(key)) for key in KEYS] == ["Current"] * 3


def derived_jobs(simulation: Simulation) -> dict[str, int]:
    """Jobs that were made for what is derived, by their kind."""
    return {name: count for name, count in jobs_made(simulation).items() if name != "raw-observe"}


def test_an_invalid_batch_stops_at_its_dataset() -> None:
    simulation = chain()
    play(simulation, *STORY[:3], until=299)
    raw, clean, features = (simulation.api.read(key)["status"] for key in KEYS)
    assert (raw["current"]["version"], raw["lastGood"]["version"]) == (3, 2)
    conditions = {condition["type"]: condition for condition in raw["conditions"]}
    assert conditions["Validated"]["reason"] == "ExpectationsFailed"
    assert "columns.age.max: 1" in conditions["Validated"]["message"]
    assert (conditions["Ready"]["status"], conditions["SourceMoved"]["status"]) == ("True", "True")
    assert (clean["lastGood"]["version"], features["lastGood"]["version"]) == (2, 2)
    assert consumers_get(simulation) == digests(APPENDED)


def test_the_record_of_each_stage_names_what_it_was_made_of(told: Simulation) -> None:
    raw, clean, features = (versions(told, name) for name in ("raw", "clean", "features"))
    assert [[one.dataset_version for one in v.spec.derived_from] for v in clean] == [[raw[n].name] for n in (0, 1, 3)]
    assert [[one.dataset_version for one in v.spec.derived_from] for v in features] == [[v.name] for v in clean]
    assert clean[-1].spec.derived_from[0].digest == MENDED.digest
    assert len({v.spec.source.uri for v in (*clean, *features)}) == 6, "a directory for each derivation"
    assert [v.spec.change and v.spec.change.from_ for v in raw] == [None, 1, 2, 2], "against the last good version"


def test_a_kill_after_each_write_ends_in_the_same_objects_with_no_job_twice() -> None:
    files = Scene(0, applies(changed(RAW, refresh={"interval": "10s"}), CLEAN))
    story = (files, Scene(14, arrives(BROKEN)), Scene(30, arrives(MENDED)))
    undisturbed = chain()
    end = timeless(play(undisturbed, *story, until=60))
    assert [v.status.verdict for v in versions(undisturbed, "raw")] == ["Valid", "Invalid", "Valid"]
    assert derived_jobs(undisturbed) == {"clean-derive": 2}
    writes = len(undisturbed.api.effects)
    assert writes > 40
    for k in range(1, writes + 1):
        simulation = chain()
        simulation.api.wrote = killer({k})
        assert timeless(play(simulation, *story, until=60)) == end, f"killed after write {k}"
        assert simulation.restarts == 1
        jobs = [key for key in simulation.api.created if key.kind == "Job"]
        assert len(jobs) == len(set(jobs)), f"killed after write {k}"


def test_a_long_list_of_files_travels_in_parts() -> None:
    simulation = chain()
    simulation.lake.part_bytes = 40
    play(simulation, *STORY[:2], until=199)
    assert consumers_get(simulation) == digests(APPENDED)
    assert min(v.spec.manifest.parts for v in versions(simulation, "raw")) > 1


def test_a_chain_comes_into_being_in_any_order() -> None:
    simulation = chain()
    backwards = [Scene(20.0 * n, applies(manifest)) for n, manifest in enumerate(reversed(CHAIN))]
    play(simulation, *backwards, until=100)
    assert consumers_get(simulation) == digests(FIRST)
    assert derived_jobs(simulation) == {"clean-derive": 1, "features-derive": 1}


def test_what_has_converged_asks_for_nothing_but_looks_at_the_source() -> None:
    simulation, marks = chain(), list[int]()
    play(simulation, FILES, Scene(60, noting(marks)), Scene(70, restarts), until=200)
    last = kinds(simulation.api.requests[marks[0] :])
    assert set(last) == {"create Job", "status Dataset", "delete Job"}
    assert max(last.values()) <= 5


def test_a_batch_that_was_seen_before_is_not_derived_again() -> None:
    simulation = chain()
    back = Scene(200, arrives(FIRST))
    play(simulation, FILES, Scene(100, arrives(APPENDED)), back, until=300)
    assert consumers_get(simulation) == digests(FIRST)
    assert derived_jobs(simulation) == {"clean-derive": 2, "features-derive": 2}


def test_the_same_bytes_uploaded_in_another_way_are_no_news() -> None:
    simulation = chain()
    again = Scene(100, arrives(content("first", upload="-2")))
    play(simulation, FILES, again, until=200)
    raw = simulation.api.read(KEYS[0])["status"]
    assert raw["observation"]["listing"] == content("first", upload="-2").digest
    assert consumers_get(simulation) == digests(FIRST)
    assert [len(versions(simulation, key.name)) for key in KEYS] == [1, 1, 1]


def test_checks_that_change_judge_the_newest_version_anew_and_take_nothing_from_consumers() -> None:
    simulation = chain()
    stricter = changed(RAW, expectations={"columns": [{"name": "age", "max": 60}]})
    story = (FILES, Scene(100, arrives(APPENDED)), Scene(200, applies(stricter)))
    play(simulation, *story, until=300)
    raw = simulation.api.read(KEYS[0])["status"]
    assert raw["current"]["valid"] == "False"
    assert [v.status.verdict for v in versions(simulation, "raw")][-1] == "Invalid"
    assert len(versions(simulation, "raw")) == 2, "the bytes are the same"
    relaxed = chain()
    play(relaxed, *story, Scene(300, applies(RAW)), until=400)
    assert consumers_get(relaxed) == digests(APPENDED)
    assert [v.status.verdict for v in versions(relaxed, "raw")] == ["Valid", "Valid"]


def test_a_stage_whose_result_is_refused_stops_the_next_one() -> None:
    simulation = chain()
    choosy = changed(CLEAN, expectations={"rows": {"max": 120}})
    play(simulation, Scene(0, applies(RAW, choosy, FEATURES)), Scene(100, arrives(APPENDED)), until=200)
    clean = simulation.api.read(KEYS[1])["status"]
    assert (clean["current"]["version"], clean["lastGood"]["version"]) == (2, 1)
    assert derived_jobs(simulation) == {"clean-derive": 2, "features-derive": 1}


def test_a_cycle_is_refused_with_its_path_until_it_is_cut() -> None:
    simulation = chain()
    ring = derives("raw", "features", "SELECT * FROM features")
    play(simulation, Scene(0, applies(ring, CLEAN, FEATURES)), until=100)
    for key in KEYS:
        ready = {c["type"]: c for c in simulation.api.read(key)["status"]["conditions"]}["Ready"]
        assert (ready["status"], ready["reason"]) == ("False", "DerivationCycle")
        assert all(name in ready["message"] for name in ("raw", "clean", "features"))
    assert not [key for key in simulation.api.created if key.kind == "Job"]


DISTURBED = st.builds(
    Fate,
    st.sampled_from(["evicted", "node_lost", "says_nothing", "unreachable", "job_deleted", "times_out", "data_gone"]),
    st.sampled_from([1.0, 20.0]),
    st.sampled_from([0.0, 0.0, 15.0]),
)
QUIET, END = 1900.0, 2100.0


@settings(deadline=None, max_examples=4)
@given(FAULTS, DELIVERIES, st.sets(st.integers(1, 60), max_size=3), LOOKS, st.lists(DISTURBED, max_size=4))
def test_whatever_goes_wrong_the_last_good_batch_goes_through(
    faults: dict[int, tuple[ApiError, bool]],
    deliveries: list[Delivery],
    deaths: set[int],
    looks: Sequence[Fate],
    derived: Sequence[Fate],
) -> None:
    simulation = chain(looks=looks, derivations=derived, deliver=unreliable(deliveries))
    simulation.api.faults = fault_of(faults)
    simulation.api.wrote = killer(deaths)
    marks: list[int] = []
    seldom = Scene(0, applies(changed(RAW, refresh={"interval": "2m"}), CLEAN, FEATURES))
    play(simulation, seldom, *STORY[1:], Scene(QUIET, noting(marks)), until=END)
    rests(simulation, digests(MENDED), simulation.api.requests[marks[0] :])


def rests(simulation: Simulation, expected: dict[str, str], requests: list[str]) -> None:
    """Consumers get what they should, everything stands, and only the source is looked at."""
    assert consumers_get(simulation) == expected
    assert [kstatus(simulation.api.read(key)) for key in KEYS] == ["Current"] * 3
    assert set(kinds(requests)) <= {"create Job", "status Dataset", "delete Job"}


BATCHES = st.lists(
    st.tuples(
        st.sampled_from([3.0, 15.0, 60.0]),
        st.builds(
            content,
            st.sampled_from("abcd"),
            rows=st.sampled_from([40, 100, 150]),
            ages=st.sampled_from([(18, 90), TOO_OLD]),
        ),
    ),
    max_size=6,
)


@settings(deadline=None, max_examples=5)
@given(BATCHES, st.sets(st.integers(1, 80), max_size=2))
def test_whatever_batches_arrive_the_last_good_one_goes_through(
    batches: Sequence[tuple[float, Content]], deaths: set[int]
) -> None:
    simulation, at, marks = chain(), 0.0, list[int]()
    simulation.api.wrote = killer(deaths)
    scenes = [FILES]
    for pause, batch in batches:
        at += pause
        scenes.append(Scene(at, arrives(batch)))
    last = content("last", rows=160)
    play(simulation, *scenes, Scene(at + 5, arrives(last)), Scene(at + 300, noting(marks)), until=at + 400)
    rests(simulation, digests(last), simulation.api.requests[marks[0] :])


EDITS = st.sampled_from(
    [
        changed(RAW, expectations={"rows": {"min": 500}}),
        changed(RAW, schema={"policy": "Strict"}),
        changed(RAW, suspend=True),
        derives("clean", "raw", "SELECT 1"),
        changed(CLEAN, expectations={"columns": [{"name": "age", "max": 20}]}),
        derives("features", "raw", "SELECT age FROM raw"),
        changed(FEATURES, splits=[{"name": "train", "percent": 50}]),
        changed(FEATURES, drift={"onFail": "Block"}),
    ]
)


BACK_WITH_ANOTHER_CHECK = [
    (derives("clean", "raw", "SELECT 1"), 60.0),
    (changed(CLEAN, expectations={"columns": [{"name": "age", "max": 20}]}), 10.0),
]
"""The first version is what the files are again, and is judged Invalid in the same look."""


@settings(deadline=None, max_examples=5)
@given(st.lists(st.tuples(EDITS, st.sampled_from([1.0, 10.0, 60.0])), min_size=1, max_size=5))
@example([*BACK_WITH_ANOTHER_CHECK, (changed(RAW, expectations={"rows": {"min": 500}}), 10.0)])
def test_changing_the_files_step_by_step_ends_where_creating_them_at_once_ends(
    edits: Sequence[tuple[Manifest, float]],
) -> None:
    simulation, at, marks = chain(), 0.0, list[int]()
    scenes = [FILES]
    for edit, pause in edits:
        at += pause
        scenes.append(Scene(at, applies(edit)))
    play(simulation, *scenes, Scene(at + 1, applies(*CHAIN)), Scene(at + 300, noting(marks)), until=at + 400)
    rests(simulation, digests(FIRST), simulation.api.requests[marks[0] :])


@pytest.mark.parametrize("end", ["fails", "out_of_memory"])
def test_a_derivation_that_fails_by_itself_is_not_tried_again_before_something_changes(end: str) -> None:
    simulation = chain(derivations=[Fate("fails" if end == "fails" else "out_of_memory")])
    play(simulation, FILES, until=500)
    ready = {c["type"]: c for c in simulation.api.read(KEYS[1])["status"]["conditions"]}["Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "DeriveFailed" if end == "fails" else "OutOfMemory")
    assert derived_jobs(simulation) == {"clean-derive": 1}
