"""Under steady load one version goes out step by step, and one that answers with errors is taken back by analysis."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from dev.demo.data import tumours
from dev.demo.load import Load
from dev.demo.prediction import Answer, ask, infer_request
from dev.demo.resources import condition
from dev.platform.endpoints import PROMETHEUS_IN_CLUSTER
from dev.processes import wait_until
from keelway.manifests.serving import CANDIDATE_HEADER
from tests.e2e.models import brought_in, failing, from_bucket, trained
from tests.e2e.rollouts import (
    Moment,
    candidate_of,
    has_phase,
    has_weight,
    said,
    servers,
    share_at,
    watched_route,
    weights_of,
)
from tests.e2e.world import Manifest, World, serves

MODEL = "tumour-classifier"
SERVICE = 'service="{{namespace}}-{{service}}-http-80@kubernetesgateway"'
ERRORS = f"""
(sum(rate(traefik_service_requests_total{{{SERVICE},code=~"5.."}}[10s])) or vector(0))
/ sum(rate(traefik_service_requests_total{{{SERVICE}}}[10s]))
"""
"""The share of a version's answers that are errors, as the gateway counts them; nothing before it was asked."""
INTERVAL, SCRAPED_EVERY = 5, 2
ANALYSIS = {
    "interval": f"{INTERVAL}s",
    "prometheus": {"url": PROMETHEUS_IN_CLUSTER, "checks": [{"name": "errors", "query": ERRORS, "max": 0.05}]},
}
ROLLOUT = {
    "steps": [{"weight": 10, "hold": "10s"}, {"weight": 50, "hold": "10s"}],
    "analysis": ANALYSIS,
    "soak": "15s",
    "progressDeadline": "2m",
}
DARK_REQUESTS = 20


@dataclass(frozen=True)
class Promotion:
    """Version 2 went out."""

    moments: list[Moment]
    dark: list[Answer]
    """Answers to requests that asked for the candidate, at its first step."""
    deployment: Manifest
    failures: list[Answer]
    count: int


@dataclass(frozen=True)
class Rollback:
    """Version 3 came and went."""

    moments: list[Moment]
    deployment: Manifest


@pytest.fixture(scope="module")
def load(world: World) -> Iterator[Load]:
    """Version 1 serves under steady load."""
    deployment = careful(world)
    world.apply(brought_in(world, MODEL, 1, trained(1)), deployment)
    world.wait(deployment, serves(1))
    world.predict(deployment, tumours()[:1])
    load = Load(world.endpoints.gateway, world.host(), MODEL, tumours()[0], most_seconds=400)
    with load.running():
        load.wait_for_version("1")
        yield load


@pytest.fixture(scope="module")
def promotion(world: World, load: Load) -> Promotion:
    deployment = careful(world)
    with watched_route(world, MODEL) as moments:
        world.apply(brought_in(world, MODEL, 2, trained(2)))
        world.wait(deployment, has_weight(10))
        wait_until(lambda: answered_by(load, "2"), seconds=10, what="the gateway to send somebody to version 2")
        dark = asked_for_the_candidate(load)
        seen = world.wait(deployment, serves(2))
        load.wait_for_version("2")
    return Promotion(moments, dark, seen, load.failures, load.count)


@pytest.fixture(scope="module")
def rollback(world: World, load: Load, promotion: Promotion) -> Rollback:
    assert promotion.deployment["status"]["live"]["version"] == 2
    deployment = careful(world)
    with watched_route(world, MODEL) as moments:
        world.apply(brought_in(world, MODEL, 3, failing(3)))
        seen = world.wait(deployment, has_phase("RolledBack", version=3))
        load.wait_for_version("2")
    return Rollback(moments, seen)


def careful(world: World, **spec: Any) -> Manifest:
    return world.deployment(model=from_bucket(MODEL), rollout=ROLLOUT, **spec)


def answered_by(load: Load, version: str) -> bool:
    return any(answer.version == version for answers in load.answers for answer in answers[-20:])


def asked_for_the_candidate(load: Load) -> list[Answer]:
    request = infer_request(load.gateway, load.host, load.model, [load.row])
    request.add_header(CANDIDATE_HEADER, "true")
    return [ask(request) for _ in range(DARK_REQUESTS)]


def test_a_version_goes_out_step_by_step_without_a_failed_request(promotion: Promotion) -> None:
    print(f"{promotion.count} requests, {len(promotion.failures)} failed, while version 2 went out")
    assert promotion.failures == []
    assert weights_of(promotion.moments, 2) == [0, 10, 50, 100]
    assert all(sum(moment.weights.values()) == 100 for moment in promotion.moments)


@pytest.mark.parametrize("weight", [10, 50])
def test_at_each_step_it_has_its_share(load: Load, promotion: Promotion, weight: int) -> None:
    tally, spread = share_at(load, promotion.moments, 2, weight)
    print(f"at {weight} %: {tally}; may differ by {spread:.1f}")
    assert tally.count > 100
    assert tally.answered.keys() == {"1", "2"}
    assert abs(tally.percent("2") - weight) <= spread


def test_a_request_that_asks_for_the_candidate_gets_it_whatever_its_weight(promotion: Promotion) -> None:
    assert [(answer.status, answer.version) for answer in promotion.dark] == [(200, "2")] * DARK_REQUESTS


def test_the_history_says_that_it_was_promoted(promotion: Promotion) -> None:
    newest, before = promotion.deployment["status"]["history"]
    assert (newest["version"], newest["outcome"], "to" in newest) == (2, "Promoted", False)
    assert (before["version"], before["outcome"], before["to"]) == (1, "Replaced", newest["from"])


def test_a_version_that_answers_with_errors_is_rolled_back_by_analysis(rollback: Rollback) -> None:
    candidate = candidate_of(rollback.deployment)
    assert candidate["reason"] == "AnalysisFailed"
    assert "errors" in candidate["message"]
    assert "at most 0.05" in candidate["message"]
    assert condition(rollback.deployment, "RolledBack")["status"] == "True"
    assert "version 2 keeps serving" in said(rollback.deployment)
    assert rollback.deployment["status"]["live"]["version"] == 2
    assert rollback.deployment["status"]["live"]["weight"] == 100


def test_only_what_it_answered_itself_failed_and_that_was_no_more_than_its_share(
    load: Load, rollback: Rollback
) -> None:
    assert {(answer.status, answer.version) for answer in load.failures} == {(500, "3")}
    tally, spread = share_at(load, rollback.moments, 3, 10)
    print(f"{load.count} requests in all, {len(load.failures)} failed; at 10 %: {tally}; may exceed by {spread:.1f}")
    assert tally.percent("3") <= 10 + spread


def test_the_errors_ended_soon_after_they_began(load: Load, rollback: Rollback) -> None:
    bad = [answer.at for answer in load.failures]
    (began,) = [moment.at for moment in rollback.moments if moment.weights.get(3) == 10]
    print(f"{max(bad) - min(bad):.2f} s from the first bad answer to the last, {min(bad) - began:.2f} s after the step")
    assert max(bad) - min(bad) < INTERVAL + SCRAPED_EVERY + 5


def test_the_route_is_back_to_the_version_before(world: World, rollback: Rollback) -> None:
    assert weights_of(rollback.moments, 3) == [0, 10, 0]
    assert rollback.moments[-1].weights[2] == 100
    (rule,) = world.get("httproute", MODEL)["spec"]["rules"]
    assert [(one["weight"], one["name"].partition("-v")[2][0]) for one in rule["backendRefs"]] == [(100, "2")]


def test_it_does_not_come_again_and_its_servers_go(world: World, load: Load, rollback: Rollback) -> None:
    world.wait(rollback.deployment, lambda _: set(servers(world, MODEL)) == {2}, seconds=60)
    began = time.monotonic()
    world.apply(brought_in(world, MODEL, 4, trained(4)))
    seen = world.wait(rollback.deployment, waits_for_the_hold_down, seconds=30)
    assert "version 4 waits" in said(seen)
    assert set(servers(world, MODEL)) == {2}
    load.wait_for_version("2")
    assert load.between(began, time.monotonic()).answered.keys() == {"2"}
    outcomes = [(line["version"], line["outcome"]) for line in seen["status"]["history"]]
    assert outcomes == [(3, "RolledBack"), (2, "Promoted"), (1, "Replaced")]


def waits_for_the_hold_down(deployment: Manifest) -> bool:
    return bool(condition(deployment, "Ready").get("reason") == "HeldDown")
