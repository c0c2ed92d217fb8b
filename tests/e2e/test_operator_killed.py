"""A rollout with everything, whose operator is killed in each of its phases: it goes on where it was."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from dev.demo.data import as_csv, tumours, upload
from dev.demo.load import Load
from dev.demo.resources import condition
from tests.e2e.models import brought_in, from_bucket, trained
from tests.e2e.operator import Operator
from tests.e2e.rollouts import Moment, candidate_of, has_phase, watched_route, weights_of
from tests.e2e.world import Manifest, World, serves

MODEL = "tumour-classifier"
PHASES = ("Verifying", "Evaluating", "Starting", "Smoke", "Canary")
STEPS = [{"weight": 10, "hold": "5s"}, {"weight": 50, "hold": "5s"}]


@dataclass(frozen=True)
class Survived:
    """Version 2 went out although its operator was killed again and again."""

    killed_in: Sequence[str]
    """The phase in which the candidate was found once the operator was dead."""
    operators: set[str]
    """Names of the pods that there were."""
    moments: list[Moment]
    deployment: Manifest
    load: Load


@pytest.fixture(scope="module")
def survived(world: World, operator: Operator) -> Survived:
    upload(world.bucket("lake"), "tumours", {"part-1.csv": as_csv(tumours())})
    dataset, deployment = world.dataset(), rolled_out_with_care(world)
    world.apply(dataset, world.deployment(model=from_bucket(MODEL)), brought_in(world, MODEL, 1, trained(1)))
    world.wait(deployment, serves(1))
    world.wait(dataset)
    world.predict(deployment, tumours()[:1])
    load = Load(world.endpoints.gateway, world.host(), MODEL, tumours()[0], most_seconds=400)
    with load.running(), watched_route(world, MODEL) as moments:
        load.wait_for_version("1")
        world.apply(deployment, brought_in(world, MODEL, 2, trained(2)))
        killed_in, operators = zip(*(killed(world, operator, deployment, phase) for phase in PHASES), strict=True)
        seen = world.wait(deployment, serves(2), seconds=120)
        load.wait_for_version("2")
    return Survived(killed_in, {*operators, operator.pod()["metadata"]["name"]}, moments, seen, load)


def rolled_out_with_care(world: World) -> Manifest:
    """The example with its gate, its smoke request and its analysis, and with steps that are short."""
    deployment = world.careful_deployment(model=from_bucket(MODEL))
    deployment["spec"]["rollout"]["steps"] = STEPS
    return deployment


def killed(world: World, operator: Operator, deployment: Manifest, phase: str) -> tuple[str, str]:
    """Kill the operator as soon as the candidate is in a phase; gives the phase that it left behind, and its pod."""
    later = PHASES[PHASES.index(phase) :]
    world.wait(deployment, has_phase(*later, version=2), seconds=90)
    pod = operator.pod()["metadata"]["name"]
    operator.kill_for_good()
    return candidate_of(world.get("modeldeployment", MODEL)).get("phase", ""), pod


def test_it_was_killed_in_every_phase(survived: Survived) -> None:
    assert survived.killed_in == PHASES
    assert len(survived.operators) == len(PHASES) + 1


def test_no_request_failed(survived: Survived) -> None:
    print(f"{survived.load.count} requests, {len(survived.load.failures)} failed, {len(PHASES)} operators killed")
    assert survived.load.count > 1000
    assert survived.load.failures == []


def test_it_went_through_all_steps_and_was_promoted(survived: Survived) -> None:
    assert weights_of(survived.moments, 2) == [0, 10, 50, 100]
    assert all(sum(moment.weights.values()) == 100 for moment in survived.moments)
    history = survived.deployment["status"]["history"]
    assert [(line["version"], line["outcome"]) for line in history] == [(2, "Promoted"), (1, "Replaced")]
    assert condition(survived.deployment, "Ready")["status"] == "True"


def test_nothing_was_done_twice(world: World, operator: Operator, survived: Survived) -> None:
    """One Job for each piece of work, one evaluation in the record of each model."""
    assert survived.deployment
    writes = operator.writes(world.namespace, since=operator.audit_from)
    made = [one.name for one in writes if (one.verb, one.resource, one.code) == ("create", "jobs", 201)]
    for work in ("verify-v2", "holdout-v1", "holdout-v2", "smoke"):
        assert len([name for name in made if name.startswith(f"{MODEL}-{work}-")]) == 1, made
    judged = [model["status"].get("evaluations", []) for model in world.list("modelversions")]
    assert [len(evaluations) for evaluations in judged] == [1, 1]
