"""What the metrics say of a version decides whether it keeps its share of the traffic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.lifecycle.plan import MetricAnswer, MetricQuery
from tests.unit.lifecycle.builders import DEPLOYMENT
from tests.unit.lifecycle.rollouts import (
    STEPS,
    an_analysis,
    challenged,
    clear,
    fails,
    history,
    measures,
    of_candidate,
    passes,
    phase,
    settled,
    shares,
    sharing,
)
from tests.unit.lifecycle.scene import Scene, named, names
from tests.unit.lifecycle.servers import break_down, candidate, get_ready, live, play

NAN = float("nan")
ERRORS = {"name": "errors", "query": "errors", "max": 0.01}
LATENCY = {"name": "latency", "query": "latency", "max": 0.2}


def _analysed(*checks: Manifest, rollout: Manifest | None = None, **analysis: Any) -> Scene:
    """Version 2 has its first share and is looked at every 15 s."""
    return sharing(analysis=an_analysis(*checks, **analysis), **(rollout or {}))


def _looks(scene: Scene) -> list[MetricQuery]:
    """Every query from now on, as Prometheus gets it; it is content."""
    asked: list[MetricQuery] = []

    def answers(query: MetricQuery) -> MetricAnswer:
        asked.append(query)
        return MetricAnswer(values=(0.0,))

    scene.prometheus = answers
    return asked


def test_the_candidates_metrics_are_asked_for_every_interval() -> None:
    scene = _analysed()
    wanted, asked = candidate(scene), _looks(scene)
    passes(scene, 14)
    assert asked == [], "its share had no time to show anything"
    passes(scene, 1)
    (query,) = asked
    assert (query.url, query.query) == ("http://prometheus:9090", f'sum(errors{{service="{wanted}-predictor"}})')
    assert of_candidate(scene)["analysis"]["last"] == [
        {"name": "errors", "outcome": "Passed", "value": 0.0, "message": "errors 0"}
    ]
    passes(scene, 14)
    assert len(asked) == 1
    passes(scene, 1)
    assert len(asked) == 2
    assert asked[0] != asked[1], "no answer serves twice"


def test_it_is_looked_at_in_time() -> None:
    scene = _analysed()
    _looks(scene)
    assert scene.decide(DEPLOYMENT).look_again_after == 15
    passes(scene, 50)
    assert scene.decide(DEPLOYMENT).look_again_after == 10


def test_a_query_knows_whom_it_is_about() -> None:
    query = "{{service}} {{inferenceService}} {{version}} {{namespace}} {{name}} {{other}}"
    scene = _analysed({"name": "all", "query": query, "max": 1})
    wanted, asked = candidate(scene), _looks(scene)
    passes(scene, 15)
    assert asked[0].query == f"{wanted}-predictor {wanted} 2 ml churn {{{{other}}}}"


def test_nothing_is_written_between_question_and_answer() -> None:
    scene = _analysed()
    scene.wait(15)
    plan = scene.decide(DEPLOYMENT)
    assert len(plan.fetches) == 1
    assert (plan.applies, plan.creates, plan.deletes, plan.status) == ((), (), (), None)


def test_a_version_that_does_well_takes_over() -> None:
    scene = _analysed()
    asked = _looks(scene)
    passes(scene, 180)
    assert shares(scene) == {2: 100}
    assert len(asked) >= 12


OUTCOMES: list[tuple[str, Manifest, tuple[float, ...], str]] = [
    ("within", {"max": 0.01}, (0.001,), "Passed"),
    ("the most itself", {"max": 0.01}, (0.01,), "Passed"),
    ("above", {"max": 0.01}, (0.02,), "Failed"),
    ("the least itself", {"min": 0.99}, (0.99,), "Passed"),
    ("below", {"min": 0.99}, (0.98,), "Failed"),
    ("within both", {"min": 1, "max": 2}, (1.5,), "Passed"),
    ("below both", {"min": 1, "max": 2}, (0.5,), "Failed"),
    ("above both", {"min": 1, "max": 2}, (2.5,), "Failed"),
    ("the worst of several series counts", {"max": 0.01}, (0.0, 0.02, 0.001), "Failed"),
    ("infinitely much", {"max": 0.01}, (float("inf"),), "Failed"),
    ("no series", {"max": 0.01}, (), "NoData"),
    ("no number", {"max": 0.01}, (NAN,), "NoData"),
    ("a number beside one that is none", {"max": 0.01}, (NAN, 0.02), "Failed"),
    ("no data pass", {"max": 0.01, "noData": "Pass"}, (), "Passed"),
    ("no data fail", {"max": 0.01, "noData": "Fail"}, (), "Failed"),
]


@pytest.mark.parametrize(("bounds", "values", "outcome"), named(OUTCOMES))
def test_one_look(bounds: Manifest, values: tuple[float, ...], outcome: str) -> None:
    scene = _analysed({"name": "check", "query": "x", **bounds}, failureLimit=1)
    measures(scene, *values)
    passes(scene, 15)
    analysis = of_candidate(scene)["analysis"]
    assert [one["outcome"] for one in analysis["last"]] == [outcome]
    assert (analysis["round"], analysis["failures"]) == (1, int(outcome == "Failed"))
    assert analysis["blind"] is (outcome == "NoData")


@pytest.mark.parametrize("after", [0, 60], ids=["step 1", "step 2"])
def test_one_look_too_many_that_failed_rolls_back_in_one_write(after: float) -> None:
    scene = _analysed()
    before, weight = live(scene), 50 if after else 10
    measures(scene, 0.0)
    passes(scene, after)
    measures(scene, 0.2)
    scene.wait(15)
    clear(scene)
    scene.look(DEPLOYMENT)
    assert scene.writes == ["ask Prometheus"]
    scene.look(DEPLOYMENT)
    assert scene.writes == ["ask Prometheus", "apply HTTPRoute", "status ModelDeployment"]
    assert shares(scene) == {1: 100}
    play(scene)
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("RolledBack", "Ready AnalysisFailed")
    assert of_candidate(scene)["message"] == f"errors 0.2 is not at most 0.01 at {weight} %"
    assert of_candidate(scene)["analysis"]["last"][0]["value"] == 0.2
    assert history(scene)[0] == (2, "RolledBack", "AnalysisFailed")
    assert names(scene.all("InferenceService")) == [before]
    assert scene.told() == ["RolledBack", "Retired"]
    passes(scene, 60)
    assert settled(scene), "it is not looked at any more"


def test_looks_may_fail_as_often_as_the_limit_says() -> None:
    scene = _analysed(failureLimit=2)
    measures(scene, 0.2)
    passes(scene, 30)
    assert (phase(scene), of_candidate(scene)["analysis"]["failures"]) == ("Canary", 2)
    passes(scene, 15)
    assert phase(scene) == "RolledBack"


def test_failures_of_the_step_before_are_not_forgotten() -> None:
    scene = _analysed(failureLimit=1)
    measures(scene, 0.2)
    passes(scene, 15)
    measures(scene, 0.0)
    passes(scene, 60)
    assert of_candidate(scene)["step"] == 2
    measures(scene, 0.2)
    passes(scene, 15)
    assert phase(scene) == "RolledBack"


def test_one_of_several_checks_is_enough_and_counts_once() -> None:
    scene = _analysed(ERRORS, LATENCY, failureLimit=1)
    scene.prometheus = lambda query: MetricAnswer(values=(0.5 if query.query == "latency" else 0.0,))
    passes(scene, 15)
    assert of_candidate(scene)["analysis"]["failures"] == 1
    measures(scene, 0.5)
    passes(scene, 15)
    assert phase(scene) == "RolledBack"
    assert of_candidate(scene)["message"] == ("errors 0.5 is not at most 0.01; latency 0.5 is not at most 0.2 at 10 %")


def test_a_step_is_not_left_before_it_was_looked_at() -> None:
    scene = sharing(steps=[{"weight": 10, "hold": "5s"}, {"weight": 50, "hold": "5s"}], analysis=an_analysis())
    asked = _looks(scene)
    passes(scene, 14)
    assert (of_candidate(scene)["step"], asked) == (1, [])
    passes(scene, 1)
    assert (of_candidate(scene)["step"], len(asked)) == (2, 1)
    passes(scene, 14)
    assert (phase(scene), len(asked)) == ("Canary", 1), "a whole interval after its own weight"
    passes(scene, 1)
    assert shares(scene) == {2: 100}


# no answer


def _silent(scene: Scene) -> None:
    measures(scene)


BLIND: list[tuple[str, Callable[[Scene], None], str, str]] = [
    ("no data", _silent, "errors: no data", "NoSamples"),
    ("no answer", fails, "errors: connection refused", "PrometheusUnreachable"),
]


@pytest.mark.parametrize(("happens", "words", "reason"), named(BLIND))
def test_a_step_lasts_until_its_metrics_can_be_judged(
    happens: Callable[[Scene], None], words: str, reason: str
) -> None:
    del reason
    scene = _analysed()
    happens(scene)
    passes(scene, 120)
    assert (phase(scene), shares(scene)) == ("Canary", {1: 90, 2: 10})
    assert scene.message(DEPLOYMENT).startswith(
        f"version 2 has 10 % of the traffic, step 1 of 2; its metrics cannot be judged: {words}"
    )
    assert of_candidate(scene)["analysis"]["failures"] == 0
    measures(scene, 0.0)
    passes(scene, 15)
    assert of_candidate(scene)["step"] == 2


@pytest.mark.parametrize(("happens", "words", "reason"), named(BLIND))
def test_a_version_that_could_not_be_judged_for_too_long_is_rolled_back(
    happens: Callable[[Scene], None], words: str, reason: str
) -> None:
    scene = _analysed(rollout={"progressDeadline": "5m"})
    happens(scene)
    passes(scene, 60 + 300)
    assert phase(scene) == "Canary"
    passes(scene, 15)
    assert (phase(scene), of_candidate(scene)["reason"]) == ("RolledBack", reason)
    assert of_candidate(scene)["message"] == f"for 5m its metrics could not be judged: {words}"
    assert shares(scene) == {1: 100}
    assert settled(scene)


def test_a_check_that_fails_counts_though_another_has_no_data() -> None:
    scene = _analysed(ERRORS, LATENCY)
    scene.prometheus = lambda query: MetricAnswer(values=(0.5,) if query.query == "errors" else ())
    passes(scene, 15)
    assert phase(scene) == "RolledBack"


def test_a_candidate_that_crashes_loses_its_share_without_asking_anybody() -> None:
    scene = _analysed()
    scene.wait(15)
    break_down(scene, candidate(scene))
    clear(scene)
    scene.look(DEPLOYMENT)
    assert scene.writes[0] == "apply HTTPRoute"
    assert shares(scene) == {1: 100}


def test_a_pin_to_what_is_live_takes_the_share_away_without_asking_anybody() -> None:
    scene = _analysed()
    measures(scene, 0.0)
    passes(scene, 60)
    scene.wait(15)
    scene.change(DEPLOYMENT, model={"name": "churn", "version": "1"})
    clear(scene)
    scene.look(DEPLOYMENT)
    assert scene.writes[0] == "apply HTTPRoute"
    assert shares(scene) == {1: 100}


def test_resumed_it_is_asked_anew() -> None:
    scene = _analysed(failureLimit=5)
    measures(scene, 0.2)
    passes(scene, 30)
    scene.change(DEPLOYMENT, suspend=True)
    play(scene)
    scene.change(DEPLOYMENT, suspend=False)
    play(scene)
    assert of_candidate(scene)["analysis"]["failures"] == 0
    asked = _looks(scene)
    passes(scene, 30)
    assert (of_candidate(scene)["analysis"]["failures"], len(asked)) == (0, 2)


def test_a_taken_back_share_is_not_given_again_when_the_record_was_lost() -> None:
    scene = _analysed()
    measures(scene, 0.2)
    scene.wait(15)
    scene.look(DEPLOYMENT)
    before = scene.get(DEPLOYMENT)
    plan = scene.look(DEPLOYMENT)
    assert plan.reason == "rolled back"
    # A crash between the two writes, and a new start that has to ask again.
    fresh = Scene(*(manifest for kind in scene.store.counts() for manifest in scene.all(kind)))
    fresh.now = scene.now
    fresh.put({**fresh.get(DEPLOYMENT), "status": before["status"]})
    plan = fresh.decide(DEPLOYMENT)
    assert (plan.applies, len(plan.fetches)) == ((), 1)


def test_without_steps_the_analysis_goes_on_behind_the_new_version() -> None:
    scene = challenged(rollout={"strategy": "BlueGreen", "steps": STEPS, "analysis": an_analysis()})
    get_ready(scene, candidate(scene))
    play(scene)
    asked = _looks(scene)
    assert shares(scene) == {2: 100}
    passes(scene, 30)
    assert len(asked) == 2
