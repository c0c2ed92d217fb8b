"""Whatever versions come, whatever people do to the spec and to what is not theirs, whenever the operator dies: no
traffic meets a model that was not proved, and in the end the newest good version serves alone.

`play` fails on anything that the oracles saw broken at any single write: see `rollout_oracles`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from tests.property.engine.harness import Delivery
from tests.property.engine.test_convergence import killer
from tests.property.lifecycle.fates import CALM, End, Fate, Fates, ModelFate, ServerFate
from tests.property.lifecycle.oracles import kstatus
from tests.property.lifecycle.rollouts import (
    ANALYSIS,
    DATA,
    DEPLOYED,
    ERRORS,
    GATE,
    NAME,
    ROUTE,
    approves_newest,
    arrives,
    becomes,
    breaks,
    edits,
    meddles_with_route,
    meddles_with_servers,
    newest,
    prometheus_says,
    repairs,
    retries,
)
from tests.property.lifecycle.simulation import (
    DEPLOYMENT_KEY,
    NAMESPACE,
    Action,
    Scene,
    Simulation,
    applies,
    play,
    restarts,
)
from tests.property.lifecycle.stories import noting
from tests.property.lifecycle.test_by_hand import removes
from tests.property.lifecycle.test_oracles import outcome
from tests.property.lifecycle.traffic import shares

FIRST = Scene(0, lambda simulation: [act(simulation) for act in (applies(DATA, DEPLOYED), arrives())])
LIVE, SOAKED = 60.0, 130.0
"""Seconds until the first version is live; a version more needs as long, and as long again until the one before it is
gone."""

REMOVABLE = ("HTTPRoute", "Service", "InferenceService", "Job", "Pod", "ModelVersion")
VERSIONS: dict[str, Action] = {
    "good": arrives(),
    "scores badly": arrives(ModelFate(score=0.5)),
    "scores worse than what is live": arrives(ModelFate(score=0.82)),
    "does not load": arrives(servers=ServerFate(loads=False)),
    "loads slowly": arrives(servers=ServerFate(seconds=90.0)),
    "crashes under traffic": arrives(servers=ServerFate(seconds=4.0, crashes_after=3.0)),
    "answers smoke requests wrongly": arrives(ModelFate(answers=False)),
    "errs": arrives(ModelFate(sample="bad")),
    "errs under more traffic": arrives(ModelFate(sample="bad", worse_from=50)),
    "errs under all the traffic": arrives(ModelFate(sample="bad", worse_from=100)),
    "has no samples": arrives(ModelFate(sample="none")),
    "has samples that are no numbers": arrives(ModelFate(sample="nan")),
    "is tampered with": arrives(bytes_="other"),
    "is gone": arrives(bytes_="gone"),
}


def asks_prometheus(**fields: str) -> Action:
    """The analysis with another check."""
    prometheus = {"url": "http://prometheus:9090", "checks": [{**ERRORS, **fields}]}
    return edits("rollout", analysis={**ANALYSIS, "prometheus": prometheus})


EDITS: dict[str, Action] = {
    "no steps": edits("rollout", steps=[]),
    "one step": edits("rollout", steps=[{"weight": 5, "hold": "10s"}]),
    "three steps": edits("rollout", steps=[{"weight": weight, "hold": "10s"} for weight in (20, 60, 90)]),
    "blue-green": edits("rollout", strategy="BlueGreen"),
    "canary": edits("rollout", strategy="Canary"),
    "no analysis": edits("rollout", analysis=None),
    "two looks may fail": edits("rollout", analysis={**ANALYSIS, "failureLimit": 2}),
    "no data passes": asks_prometheus(noData="Pass"),
    "no data fails": asks_prometheus(noData="Fail"),
    "no smoke requests": edits("rollout", smoke=None),
    "no soak": edits("rollout", soak="0s"),
    "no gates": edits("", gates=[]),
    "an easy gate": edits("", gates=[{**GATE, "checks": [{"metric": "auc", "min": 0.4}]}]),
    "two gates": edits("", gates=[GATE, {**GATE, "name": "again"}]),
    "pins the first": edits("model", version="1"),
    "pins the second": edits("model", version="2"),
    "pins what is not there": edits("model", version="99"),
    "unpins": edits("model", version=None),
    "suspends": edits("", suspend=True),
    "resumes": edits("", suspend=False),
    "manual": edits("approval", mode="Manual"),
    "automatic": edits("approval", mode="Automatic"),
    "approves": approves_newest,
    "more CPU": edits("serving", resources={"requests": {"cpu": "1"}}),
    "two replicas": edits("serving", minReplicas=2),
    "three replicas, always": edits("serving", minReplicas=3, maxReplicas=3),
    "no route": edits("", route=None),
    "a route": edits("", route=ROUTE),
    "tries again": retries("a"),
    "tries once more": retries("b"),
}
MEDDLING: dict[str, Action] = {
    "route: all weights 0": meddles_with_route(0),
    "route: all weights 100": meddles_with_route(100),
    **{f"removes {kind} {which}": removes(kind, which) for kind in REMOVABLE for which in (0, 1)},
    "servers 0: two replicas": meddles_with_servers(0, minReplicas=2),
    "servers 1: two replicas": meddles_with_servers(1, minReplicas=2),
    "servers 0 break down": breaks(0),
    "servers 1 break down": breaks(1),
    "servers are repaired": repairs,
    "Prometheus is down": prometheus_says("down"),
    "Prometheus has no data": prometheus_says("none"),
    "Prometheus is well": prometheus_says(None),
    "bytes become others": becomes("other"),
    "bytes become right": becomes("right"),
    "the operator is replaced": restarts,
}
DOINGS = VERSIONS | EDITS | MEDDLING
PAUSES = st.sampled_from([0.0, 1.0, 7.0, 25.0, 60.0, 140.0])
LATEST = 5.0
DELIVERIES = st.lists(
    st.lists(st.floats(0, LATEST, allow_nan=False), min_size=1, max_size=3).map(tuple).map(Delivery),
    min_size=1,
    max_size=20,
)
SEQUENCES = st.lists(
    st.tuples(st.sampled_from(sorted(VERSIONS)) | st.sampled_from(sorted(EDITS) + sorted(MEDDLING)), PAUSES),
    min_size=1,
    max_size=7,
)
DISTURBED = st.lists(
    st.builds(
        Fate,
        st.sampled_from(["succeeds", "evicted", "node_lost", "job_deleted"]),
        st.sampled_from([1.0, 5.0, 20.0]),
    ),
    max_size=3,
)


def all_is_well(simulation: Simulation) -> None:
    """Faults stop, the spec is as it was, and there is one more version, which is good."""
    simulation.prometheus.says = None
    repairs(simulation)
    simulation.api.put(DEPLOYED)
    arrives()(simulation)


def ends_well(simulation: Simulation, doings: Sequence[tuple[str, float]]) -> None:
    """The last version serves alone, and there is nothing left to do, not even for an operator that begins anew."""
    marks, at, scenes = list[int](), LIVE, list[Scene]()
    for name, pause in doings:
        scenes.append(Scene(at, DOINGS[name]))
        at += pause
    play(
        simulation,
        FIRST,
        *scenes,
        Scene(at + 1, all_is_well),
        Scene(at + 500, noting(marks)),
        Scene(at + 510, restarts),
        until=at + 700,
    )
    assert simulation.api.requests[marks[0] :] == []
    deployment = simulation.api.read(DEPLOYMENT_KEY)
    status, live = deployment["status"], deployment["status"]["live"]
    assert kstatus(deployment) == "Current", status
    assert (live["version"], live["weight"], "candidate" in status, "soaking" in status) == (
        newest(simulation),
        100,
        False,
        False,
    )
    serve = [key.name for key in simulation.api.objects if key.kind == "InferenceService"]
    assert serve == [live["inferenceService"]]
    for kind in ("HTTPRoute", "Service"):
        assert shares(simulation.api.read(Key(kind, NAMESPACE, NAME))) == {live["inferenceService"]: 100}


@settings(deadline=None, max_examples=25)
@given(SEQUENCES, st.sets(st.integers(1, 120), max_size=3))
def test_no_traffic_meets_what_is_not_proved_and_the_last_good_version_serves_in_the_end(
    doings: Sequence[tuple[str, float]], deaths: set[int]
) -> None:
    simulation = Simulation()
    simulation.api.wrote = killer(deaths)
    ends_well(simulation, doings)


@settings(deadline=None, max_examples=8)
@given(
    SEQUENCES,
    st.sets(st.integers(1, 120), max_size=2),
    DELIVERIES,
    DISTURBED,
    DISTURBED,
    DISTURBED,
)
def test_nor_does_it_when_events_are_late_and_repeated_and_pods_are_lost(
    doings: Sequence[tuple[str, float]],
    deaths: set[int],
    deliveries: Sequence[Delivery],
    verifications: Sequence[Fate],
    evaluations: Sequence[Fate],
    smokes: Sequence[Fate],
) -> None:
    fates = Fates(verifications=verifications, evaluations=evaluations, smokes=smokes)
    simulation = Simulation(fates=fates, deliver=lambda number: deliveries[number % len(deliveries)])
    simulation.rollouts.lag += LATEST
    simulation.api.wrote = killer(deaths)
    ends_well(simulation, doings)


STORIES: dict[str, tuple[tuple[str, float], ...]] = {
    "promoted": (("good", 0.0),),
    "taken back while the version before is warm": (("errs under all the traffic", 0.0),),
    "rolled back at the second step": (("errs under more traffic", 0.0),),
    "rolled back for a crash": (("crashes under traffic", 0.0),),
    "rolled back for want of samples": (("has no samples", 0.0),),
    "rolled back before it had traffic": (("answers smoke requests wrongly", 0.0),),
    "never ready": (("does not load", 0.0),),
    "rejected at a gate": (("scores badly", 0.0),),
    "rejected for its bytes": (("is tampered with", 0.0),),
    "approved": (("manual", 0.0), ("good", 30.0), ("approves", 0.0)),
    "never approved": (("manual", 0.0), ("good", 0.0)),
    "all at once": (("blue-green", 0.0), ("good", 0.0)),
    "superseded with half the traffic": (("good", 60.0), ("scores badly", 0.0)),
    "suspended with a share of the traffic": (("good", 35.0), ("suspends", 0.0)),
    "pinned back after a promotion": (("good", 70.0), ("pins the first", 0.0)),
}
ENDS: dict[str, tuple[int, str, str]] = {
    "promoted": (2, "", ""),
    "taken back while the version before is warm": (1, "RolledBack", "AnalysisFailed"),
    "rolled back at the second step": (1, "RolledBack", "AnalysisFailed"),
    "rolled back for a crash": (1, "RolledBack", "ModelLoadFailed"),
    "rolled back for want of samples": (1, "RolledBack", "NoSamples"),
    "rolled back before it had traffic": (1, "RolledBack", "SmokeFailed"),
    "never ready": (1, "RolledBack", "ModelLoadFailed"),
    "rejected at a gate": (1, "Rejected", "GateFailed"),
    "rejected for its bytes": (1, "Rejected", "ArtifactDigestMismatch"),
    "approved": (2, "", ""),
    "never approved": (1, "AwaitingApproval", ""),
    "all at once": (2, "", ""),
    "superseded with half the traffic": (1, "Rejected", "GateFailed"),
    "suspended with a share of the traffic": (1, "Starting", ""),
    "pinned back after a promotion": (1, "", ""),
}
"""Who is live in the end, the candidate's phase and its reason."""
STORY_SECONDS = 300.0


@dataclass(frozen=True)
class Told:
    """One story, and how it ended."""

    simulation: Simulation
    begun: int
    """How many writes came before it."""
    end: dict[str, Any]
    """What users have, and what is said of it. What metrics say depends on who has traffic already: an operator that
    dies between the route and its status may find out about a version a step earlier."""


def told(name: str, deaths: set[int]) -> Told:
    """Let a story happen, with an operator that dies after these writes."""
    simulation, at, begun = Simulation(), LIVE, list[int]()
    simulation.api.wrote = killer(deaths)
    scenes = [Scene(at - 1, lambda world: begun.append(len(world.api.effects)))]
    for doing, pause in STORIES[name]:
        scenes.append(Scene(at, DOINGS[doing]))
        at += pause
    end = play(simulation, FIRST, *scenes, until=LIVE + STORY_SECONDS)
    return Told(simulation, begun[0], {**outcome(end), "said": _said(end[str(DEPLOYMENT_KEY)]["status"])})


def _said(status: Manifest) -> list[object]:
    roles = (status.get(role) or {} for role in ("live", "candidate", "soaking"))
    return [
        *((role.get("version"), role.get("weight"), role.get("phase"), role.get("reason")) for role in roles),
        *((condition["type"], condition["status"], condition["reason"]) for condition in status["conditions"]),
    ]


def test_a_kill_after_each_write_of_a_rollout_and_of_the_way_back_ends_in_the_same_objects() -> None:
    name = "taken back while the version before is warm"
    undisturbed = told(name, set())
    writes = undisturbed.simulation.api.effects
    assert len(writes) - undisturbed.begun > 25
    for k in range(undisturbed.begun + 1, len(writes) + 1):
        other = told(name, {k})
        assert other.end == undisturbed.end, f"killed after write {k}: {writes[k - 1]}"
        assert other.simulation.restarts == 1
        jobs = [key for key in other.simulation.api.created if key.kind == "Job"]
        assert len(jobs) == len(set(jobs)), f"killed after write {k}"


@pytest.mark.parametrize("name", STORIES)
@settings(deadline=None, max_examples=3)
@given(st.sets(st.integers(25, 70), min_size=1, max_size=4))
def test_a_story_ends_the_same_whenever_the_operator_dies(name: str, deaths: set[int]) -> None:
    undisturbed = undisturbed_end(name)
    (live, *_), (_, _, *candidate), *_ = undisturbed["said"]
    assert (live, *(fact or "" for fact in candidate)) == ENDS[name]
    assert told(name, deaths).end == undisturbed


@cache
def undisturbed_end(name: str) -> dict[str, Any]:
    """How a story ends when nobody dies."""
    return told(name, set()).end


@pytest.mark.parametrize("end", ["unreachable", "says_nothing", "times_out", "out_of_memory", "fails"])
def test_a_verification_that_came_to_nothing_is_tried_again_when_its_job_is_gone(end: End) -> None:
    simulation = Simulation(fates=Fates(verifications=[CALM, Fate(end)]))
    play(simulation, FIRST, Scene(LIVE, arrives()), until=LIVE + 500)
    assert simulation.api.read(DEPLOYMENT_KEY)["status"]["live"]["version"] == 2
    verified = [key for key in simulation.api.created if "verify-v2" in key.name and key.kind == "Job"]
    assert len(verified) == 2
