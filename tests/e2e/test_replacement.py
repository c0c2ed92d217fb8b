"""A newer ModelVersion takes over from the live one, and an older one when it is pinned, without a failed request."""

from collections.abc import Iterator
from typing import Any

import pytest

from dev.demo.data import tumours
from dev.demo.load import Load
from tests.e2e.models import brought_in, from_bucket, trained
from tests.e2e.world import World, serves

Manifest = dict[str, Any]
MODEL = "tumour-classifier"


@pytest.fixture(scope="module")
def load(world: World) -> Iterator[Load]:
    """Version 1 serves under steady load."""
    deployment = serving(world)
    world.apply(brought_in(world, MODEL, 1, trained(1)), deployment)
    world.wait(deployment, serves(1))
    world.predict(deployment, tumours()[:1])
    load = Load(world.endpoints.gateway, world.host(), MODEL, tumours()[0])
    with load.running():
        load.wait_for_version("1")
        yield load


def test_a_newer_version_takes_over_without_a_failed_request(world: World, load: Load) -> None:
    world.apply(brought_in(world, MODEL, 2, trained(2)))
    world.wait(world.deployment(), serves(2))
    load.wait_for_version("2")
    assert load.failures == []
    assert load.switches() == [["1", "2"]] * len(load.answers)
    assert state_of(world) == {1: "Retired", 2: "Live"}


def test_the_version_before_stays_for_the_soak_and_then_goes(world: World, load: Load) -> None:
    deployment = world.wait(world.deployment(), lambda resource: "soaking" not in resource["status"], seconds=60)
    live = deployment["status"]["live"]["inferenceService"]
    world.wait(deployment, lambda _: [server["metadata"]["name"] for server in servers(world)] == [live], seconds=60)
    before = load.count
    load.wait_for_version("2")
    assert load.count > before
    assert load.failures == []


def test_pinning_the_version_before_rolls_back_without_a_failed_request(world: World, load: Load) -> None:
    pinned = serving(world, version="1")
    world.apply(pinned)
    world.wait(pinned, serves(1))
    load.wait_for_version("1")
    assert load.failures == []
    assert load.switches() == [["1", "2", "1"]] * len(load.answers)
    history = world.get("modeldeployment", MODEL)["status"]["history"]
    assert [(line["version"], line["outcome"]) for line in history] == [
        (1, "Promoted"),
        (2, "Replaced"),
        (1, "Replaced"),
    ]


def serving(world: World, **pin: str) -> Manifest:
    return world.deployment(model=from_bucket(MODEL, **pin), rollout={"soak": "15s", "steps": []})


def servers(world: World) -> list[Manifest]:
    return [server for server in world.list("inferenceservices") if not server["metadata"].get("deletionTimestamp")]


def state_of(world: World) -> dict[int, str]:
    return {model["spec"]["version"]: model["status"]["state"] for model in world.list("modelversions")}
