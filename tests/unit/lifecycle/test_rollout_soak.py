"""For a while after it took over a version is watched, and the one before is kept ready to take over again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from keelway.api.kinds import Key
from keelway.lifecycle.plan import MetricAnswer
from tests.unit.lifecycle.builders import DEPLOYMENT, NAMESPACE, a_model_version
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
    verification_ends,
)
from tests.unit.lifecycle.scene import Scene, named, names
from tests.unit.lifecycle.servers import (
    a_server_pod,
    break_down,
    candidate,
    crashed,
    get_ready,
    live,
    play,
    remove_server,
    selected,
)

V3 = Key("ModelVersion", NAMESPACE, "churn-v3")


def _promoted(*, analysis: Any = None, **rollout: Any) -> Scene:
    """Version 2 has just taken over from version 1, which is kept ready for 10 min."""
    watched = {"analysis": analysis or an_analysis()}
    scene = challenged(rollout={"steps": [], **watched, **rollout})
    measures(scene, 0.0)
    get_ready(scene, candidate(scene))
    play(scene)
    clear(scene)
    return scene


def _soaking(scene: Scene) -> str:
    name: str = scene.status(DEPLOYMENT)["soaking"]["inferenceService"]
    return name


def test_a_version_that_took_over_is_looked_at_until_the_soak_is_over() -> None:
    scene = _promoted()
    before = _soaking(scene)
    assert scene.decide(DEPLOYMENT).look_again_after == 15
    passes(scene, 595)
    assert scene.status(DEPLOYMENT)["soaking"]["analysis"]["round"] == 39
    assert before in names(scene.all("InferenceService"))
    passes(scene, 5)
    assert "soaking" not in scene.status(DEPLOYMENT)
    assert names(scene.all("InferenceService")) == [live(scene)]
    assert scene.told() == ["Retired"]
    measures(scene, 0.5)
    passes(scene, 60)
    assert scene.standing(DEPLOYMENT) == "Ready Serving"
    assert settled(scene)


def test_a_version_that_does_badly_after_it_took_over_gives_the_traffic_back_in_one_write() -> None:
    scene = _promoted()
    before, bad = _soaking(scene), live(scene)
    measures(scene, 0.5)
    scene.wait(15)
    scene.look(DEPLOYMENT)
    clear(scene)
    scene.look(DEPLOYMENT)
    assert scene.writes == ["apply HTTPRoute", "apply Service", "status ModelDeployment"]
    assert (live(scene), selected(scene), shares(scene)) == (before, before, {1: 100})
    play(scene)
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("RolledBack", "Ready AnalysisFailed")
    assert "version 2 was rolled back: errors 0.5 is not at most 0.01 at 100 %" in _told(scene)
    assert "version 1 serves again" in _told(scene)
    assert names(scene.all("InferenceService")) == [before]
    assert "soaking" not in scene.status(DEPLOYMENT)
    assert bad not in names(scene.all("InferenceService"))
    assert scene.told() == ["RolledBack", "Retired"]
    assert history(scene) == [
        (1, "Promoted", ""),
        (2, "RolledBack", "AnalysisFailed"),
        (1, "Replaced", ""),
    ]
    assert [("to" in line) for line in scene.status(DEPLOYMENT)["history"]] == [False, True, True]
    assert settled(scene)


def _told(scene: Scene) -> str:
    return " ".join(event.message for event in scene.events)


def test_it_stays_taken_back() -> None:
    scene = _promoted()
    measures(scene, 0.5)
    passes(scene, 15)
    measures(scene, 0.0)
    passes(scene, 7200, every=600)
    assert (shares(scene), phase(scene)) == ({1: 100}, "RolledBack")


def _crashes(scene: Scene) -> None:
    break_down(scene, live(scene))
    a_server_pod(scene, live(scene), containers=[crashed(137, "killed")])


LOST: list[tuple[str, Callable[[Scene], Any], str]] = [
    ("all its replicas are lost", lambda scene: break_down(scene, live(scene)), "CandidateUnready"),
    ("all its replicas crash", _crashes, "ModelLoadFailed"),
    ("somebody deletes its servers", lambda scene: remove_server(scene, live(scene)), "CandidateUnready"),
]


@pytest.mark.parametrize(("happens", "reason"), named(LOST))
def test_a_version_that_answers_no_more_gives_the_traffic_back(happens: Callable[[Scene], Any], reason: str) -> None:
    scene = _promoted()
    before = _soaking(scene)
    happens(scene)
    scene.look(DEPLOYMENT)
    assert scene.writes[0] == "apply HTTPRoute"
    play(scene)
    assert (live(scene), of_candidate(scene)["reason"]) == (before, reason)
    assert shares(scene) == {1: 100}


def test_a_version_that_answers_no_more_keeps_the_traffic_when_nobody_else_answers_either() -> None:
    scene = _promoted()
    now = live(scene)
    break_down(scene, _soaking(scene))
    break_down(scene, now)
    play(scene)
    assert live(scene) == now
    assert scene.standing(DEPLOYMENT) == "Reconciling ModelStarting"


def test_a_version_that_does_badly_keeps_the_traffic_while_the_one_before_does_not_answer() -> None:
    scene = _promoted()
    before = _soaking(scene)
    break_down(scene, before)
    measures(scene, 0.5)
    passes(scene, 30)
    assert shares(scene) == {2: 100}
    get_ready(scene, before)
    play(scene)
    assert shares(scene) == {1: 100}, "it is back, and what was found counts"


def test_one_replica_that_is_lost_is_no_reason_to_go_back() -> None:
    scene = _promoted()
    get_ready(scene, live(scene), replicas=2, availableReplicas=1)
    play(scene)
    assert shares(scene) == {2: 100}
    assert scene.standing(DEPLOYMENT) == "Reconciling ModelStarting"


def test_no_answer_is_no_reason_to_go_back() -> None:
    scene = _promoted()
    fails(scene)
    passes(scene, 700)
    assert (shares(scene), scene.standing(DEPLOYMENT)) == ({2: 100}, "Ready Serving")
    assert settled(scene)


def test_looks_may_fail_as_often_behind_the_new_version_as_before() -> None:
    scene = _promoted(analysis=an_analysis(failureLimit=1))
    measures(scene, 0.5)
    passes(scene, 15)
    assert shares(scene) == {2: 100}
    passes(scene, 15)
    assert shares(scene) == {1: 100}


def test_without_analysis_nobody_is_asked() -> None:
    scene = challenged(rollout={"steps": []})
    get_ready(scene, candidate(scene))
    play(scene)
    clear(scene)
    passes(scene, 60)
    assert "ask Prometheus" not in scene.writes
    assert scene.decide(DEPLOYMENT).look_again_after == 540


def test_without_a_soak_there_is_no_way_back() -> None:
    scene = _promoted(soak="0s")
    measures(scene, 0.5)
    passes(scene, 60)
    assert shares(scene) == {2: 100}
    assert "soaking" not in scene.status(DEPLOYMENT)


def test_a_newer_version_that_takes_over_in_the_soak_is_soaked_against_the_one_before_it() -> None:
    scene = _promoted()
    first, second = _soaking(scene), live(scene)
    scene.put(a_model_version(3))
    play(scene)
    get_ready(scene, candidate(scene))
    play(scene)
    assert (_soaking(scene), shares(scene)) == (second, {3: 100})
    assert first not in names(scene.all("InferenceService"))


def _challenged_in_its_soak() -> Scene:
    """Version 2 soaks, and version 3 has its first share."""
    scene = _promoted()
    scene.change(DEPLOYMENT, rollout={"steps": STEPS, "analysis": an_analysis()})
    scene.put(a_model_version(3))
    play(scene)
    get_ready(scene, candidate(scene))
    play(scene)
    assert shares(scene) == {2: 90, 3: 10}
    clear(scene)
    return scene


def test_a_soak_goes_on_while_the_next_version_is_on_its_way() -> None:
    scene = _challenged_in_its_soak()
    newest = candidate(scene)
    assert scene.decide(DEPLOYMENT).look_again_after == 15
    passes(scene, 50)
    assert scene.status(DEPLOYMENT)["soaking"]["analysis"]["round"] == 3
    assert of_candidate(scene)["analysis"]["round"] == 3
    assert shares(scene) == {2: 90, 3: 10}
    scene.prometheus = lambda query: MetricAnswer(values=(0.0 if newest in query.query else 0.5,))
    passes(scene, 15)
    assert shares(scene) == {1: 100}, "version 2 does badly; version 3 was not to blame, but waits"
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("", "Ready HeldDown")
    assert history(scene)[:2] == [(1, "Promoted", ""), (2, "RolledBack", "AnalysisFailed")]
    assert "errors 0.5 is not at most 0.01 at 90 %" in _told(scene)
    assert names(scene.all("InferenceService")) == [live(scene)]
    assert settled(scene)


def test_a_candidate_that_does_badly_in_the_soak_of_another_is_the_one_that_goes() -> None:
    scene = _challenged_in_its_soak()
    newest = candidate(scene)
    scene.prometheus = lambda query: MetricAnswer(values=(0.5 if newest in query.query else 0.0,))
    passes(scene, 15)
    assert (shares(scene), phase(scene)) == ({2: 100}, "RolledBack")
    assert history(scene)[0] == (3, "RolledBack", "AnalysisFailed")
    measures(scene, 0.5)
    passes(scene, 15)
    assert shares(scene) == {1: 100}, "the soak of version 2 goes on after that, too"


def test_a_candidate_that_is_lost_in_the_soak_of_another_goes_before_anybody_is_asked() -> None:
    scene = _challenged_in_its_soak()
    scene.wait(15)
    break_down(scene, candidate(scene))
    scene.look(DEPLOYMENT)
    assert scene.writes[0] == "apply HTTPRoute"
    assert shares(scene) == {2: 100}


def test_a_soak_goes_on_while_the_next_version_is_verified() -> None:
    scene = _promoted()
    scene.put(a_model_version(3))
    scene.settle(DEPLOYMENT)
    assert phase(scene) == "Verifying"
    measures(scene, 0.5)
    scene.wait(15)
    scene.settle(DEPLOYMENT)
    assert shares(scene) == {1: 100}


def test_a_rejected_version_that_came_and_went_does_not_blur_the_history() -> None:
    scene = _promoted()
    scene.put(a_model_version(3))
    scene.settle(DEPLOYMENT)
    verification_ends(scene, "ArtifactMissing")
    scene.remove(V3)
    play(scene)
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("", "Ready Serving")
    measures(scene, 0.5)
    passes(scene, 30)
    assert history(scene) == [
        (1, "Promoted", ""),
        (2, "RolledBack", "AnalysisFailed"),
        (3, "Rejected", "ArtifactMissing"),
        (1, "Replaced", ""),
    ]


def test_a_pin_to_what_is_live_ends_a_canary_before_anybody_is_asked_about_the_soak() -> None:
    scene = _promoted()
    scene.put(a_model_version(3))
    scene.change(DEPLOYMENT, rollout={"steps": STEPS, "analysis": an_analysis()})
    play(scene)
    get_ready(scene, candidate(scene))
    play(scene)
    assert shares(scene) == {2: 90, 3: 10}
    passes(scene, 20)
    scene.wait(15)
    scene.change(DEPLOYMENT, model={"name": "churn", "version": "2"})
    clear(scene)
    scene.look(DEPLOYMENT)
    assert scene.writes[0] == "apply HTTPRoute"
    assert shares(scene) == {2: 100}
    measures(scene, 0.5)
    passes(scene, 15)
    assert shares(scene) == {1: 100}, "and the soak is watched on"


def test_suspended_in_a_soak_the_version_before_stays_and_is_let_go_afterwards() -> None:
    scene = _promoted()
    before = _soaking(scene)
    scene.change(DEPLOYMENT, suspend=True)
    play(scene)
    scene.wait(3600)
    assert settled(scene)
    assert before in names(scene.all("InferenceService"))
    scene.change(DEPLOYMENT, suspend=False)
    play(scene)
    assert names(scene.all("InferenceService")) == [live(scene)]
