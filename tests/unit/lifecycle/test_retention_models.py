"""Models beyond the newest few expire, go with their files, or come back, and none goes that somebody needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from keelway.engine.objects import key_of
from tests.unit.lifecycle.builders import (
    DEPLOYMENT,
    EXPERIMENT,
    a_model_deployment,
    a_model_version,
    an_experiment,
)
from tests.unit.lifecycle.scene import Scene, named
from tests.unit.lifecycle.sweeps import (
    facts,
    made,
    model,
    order,
    state,
    sweep_ends,
    sweep_fails,
    sweeps,
    swept,
    the_sweep,
)
from tests.unit.lifecycle.trials import succeeded


def catalogue(*, keep: int = 2, models: int = 4, **spec: Any) -> Scene:
    """An Experiment that has made so many models, the first by its run, and keeps so many of them."""
    scene = succeeded(trials=1, retention={"models": 20}, **spec)
    scene.settle()
    for number in range(2, models + 1):
        made(scene, number)
    scene.change(EXPERIMENT, retention={"models": keep})
    return scene


def states(scene: Scene, models: int = 4) -> list[str]:
    return [state(scene, number) for number in range(1, models + 1)]


def past_grace(scene: Scene) -> Scene:
    """Nobody has wanted the expired models back in time."""
    scene.settle()
    scene.wait(31)
    scene.settle()
    return scene


def test_the_newest_stay_and_the_others_go_with_their_files_one_at_a_time() -> None:
    scene = catalogue()
    # As after later runs: what its status names stays.
    scene.say(EXPERIMENT, model={"name": "churn-v4", "version": 4})
    scene.settle(EXPERIMENT)
    assert states(scene) == ["Expired", "Expired", "Candidate", "Candidate"]
    assert sweeps(scene) == [], "they may be wanted back"
    expired = [scene.get(model(number))["spec"]["artifact"]["uri"] for number in (1, 2)]
    past_grace(scene)
    for uri in expired:
        assert order(the_sweep(scene)).location.uri == uri
        assert order(the_sweep(scene)).keep == ()
        sweep_ends(scene)
        scene.settle()
    assert states(scene) == ["Gone", "Gone", "Candidate", "Candidate"]
    assert sweeps(scene) == []
    assert [event.reason for event in scene.events if "Expired" in event.reason] == ["ModelExpired", "ModelExpired"]
    assert scene.settle() == []


def test_an_expired_model_says_what_becomes_of_it() -> None:
    scene = catalogue(models=3)
    scene.settle()
    assert scene.standing(model(2)) == "Ready Ready"
    assert state(scene, 1) == "Candidate", "the Experiment's status names it"
    scene = catalogue(models=4)
    scene.settle()
    assert scene.standing(model(2)) == "- Expired"
    assert "goes soon, unless something names it" in scene.message(model(2))
    past_grace(scene)
    assert "its files are being deleted" in scene.message(model(2))


def test_the_next_look_is_when_the_grace_is_over() -> None:
    scene = catalogue()
    scene.settle()
    scene.wait(10)
    assert scene.look(EXPERIMENT).look_again_after == 20


# who holds a model


def deployed(scene: Scene, **status: Any) -> None:
    scene.put(a_model_deployment("prod", suspend=True))
    scene.say(key_of(a_model_deployment("prod")), **status)


LINE = {"version": 2, "name": "churn-v2", "inferenceService": "churn-2", "since": "2026-03-01T12:00:00Z"}
ENDED = {"version": 2, "name": "churn-v2", "from": "2026-03-01T12:00:00Z", "outcome": "Replaced"}
OTHER_URI = {"digest": f"sha256:{'1' * 64}", "format": {"name": "sklearn"}}


def shares(path: str) -> Callable[[Scene], None]:
    def write(scene: Scene) -> None:
        uri = scene.get(model(2))["spec"]["artifact"]["uri"]
        uri = f"{uri}/{path}" if path != ".." else uri.rpartition("/")[0]
        scene.put(a_model_version(7, model="copy", artifact={**OTHER_URI, "uri": f"{uri}/"}))

    return write


HOLDERS = named(
    [
        ("it is live", lambda scene: deployed(scene, live=LINE)),
        ("it is a candidate", lambda scene: deployed(scene, candidate={**LINE, "phase": "Failed"})),
        ("it is kept ready for a rollback", lambda scene: deployed(scene, soaking={**LINE, "until": LINE["since"]})),
        ("it has served", lambda scene: deployed(scene, history=[ENDED])),
        ("it is pinned", lambda scene: scene.put(a_model_deployment("prod", version="2", suspend=True))),
        ("it is to be reproduced", lambda scene: scene.put(an_experiment("other", reproduce="churn-v2", suspend=True))),
        ("another Experiment's newest", lambda scene: newest_of(scene, "other")),
        ("another record has the same files", shares("")),
        ("another record has a part of its files", shares("sub")),
        ("another record has the directory around", shares("..")),
    ]
)


def newest_of(scene: Scene, experiment: str) -> None:
    scene.put(an_experiment(experiment, suspend=True))
    scene.say(key_of(an_experiment(experiment)), model={"name": "churn-v2", "version": 2})


@pytest.mark.parametrize("hold", HOLDERS)
def test_a_model_that_something_refers_to_stays(hold: Callable[[Scene], Any]) -> None:
    scene = catalogue()
    hold(scene)
    past_grace(scene)
    swept(scene)
    assert state(scene, 2) not in ("Expired", "Gone")


@pytest.mark.parametrize("hold", HOLDERS)
def test_an_expired_model_that_something_refers_to_comes_back(hold: Callable[[Scene], Any]) -> None:
    scene = catalogue()
    scene.settle()
    assert state(scene, 2) == "Expired"
    hold(scene)
    past_grace(scene)
    swept(scene)
    assert state(scene, 2) in ("Candidate", "Live", "Retired")
    assert scene.standing(model(2)) == "Ready Ready"


@pytest.mark.parametrize("hold", HOLDERS)
def test_but_not_once_its_files_are_going(hold: Callable[[Scene], Any]) -> None:
    """No record says that files are there which may be gone."""
    scene = past_grace(catalogue())
    assert facts(the_sweep(scene))["model"] == "churn-v2"
    hold(scene)
    scene.settle()
    assert state(scene, 2) == "Expired"
    sweep_ends(scene)
    scene.settle()
    assert state(scene, 2) == "Gone"


def test_a_model_comes_back_when_retention_keeps_more() -> None:
    scene = catalogue()
    scene.settle()
    scene.change(EXPERIMENT, retention={"models": 10})
    scene.settle()
    assert states(scene) == ["Candidate"] * 4


def test_a_model_that_has_served_comes_back_as_one_that_has() -> None:
    scene = catalogue()
    scene.settle()
    deployed(scene, history=[ENDED])
    scene.settle()
    assert state(scene, 2) == "Retired"


def test_the_newest_of_a_model_stays_whoever_made_it() -> None:
    scene = catalogue(keep=1, models=2)
    scene.put(a_model_version(9))
    scene.say(EXPERIMENT, model={"name": "churn-v9", "version": 9})
    past_grace(scene)
    assert states(scene, 2) == ["Expired", "Candidate"], "of this Experiment's, one is kept besides"


# what this Experiment did not make


FOREIGN = named(
    [
        ("brought in by hand", {"producedBy": {"external": {"system": "notebook"}}}),
        ("of nobody", {"producedBy": {}}),
        ("of a former Experiment of this name", {"producedBy": {"experiment": "churn-gbt", "uid": "other", "run": 1}}),
    ]
)


@pytest.mark.parametrize("spec", FOREIGN)
def test_a_model_that_it_did_not_make_stays(spec: dict[str, Any]) -> None:
    scene = catalogue(keep=1, models=2)
    made(scene, 5, **spec)
    made(scene, 6)
    made(scene, 7)
    past_grace(scene)
    swept(scene)
    assert state(scene, 5) == "Candidate"


@pytest.mark.parametrize(
    "uri",
    [
        "s3://models/churn",
        "s3://models",
        "s3://models/churn/0123456789ab/0/{directory}",
        "{run}/0/other",
        "{run}/{directory}",
        "{run}",
    ],
)
def test_a_copied_record_with_other_files_deletes_none(uri: str) -> None:
    """It names this Experiment as its maker, and its files lie where the Experiment puts none."""
    scene = catalogue(keep=1, models=2)
    run, _, directory = str(scene.get(model(2))["spec"]["artifact"]["uri"]).replace("/0/", " ").partition(" ")
    origin = scene.get(model(2))["spec"]["producedBy"]
    digest = scene.get(model(2))["spec"]["artifact"]["digest"]
    artifact = {"uri": uri.format(run=run, directory=directory), "digest": digest, "format": {"name": "sklearn"}}
    scene.put(a_model_version(3, artifact=artifact, producedBy=origin))
    made(scene, 8)
    past_grace(scene)
    while sweeps(scene):
        assert facts(the_sweep(scene))["model"] != "churn-v3"
        sweep_ends(scene)
        scene.settle()
    assert state(scene, 3) == "Candidate"


def test_when_the_experiment_is_deleted_its_models_stay() -> None:
    scene = catalogue()
    scene.settle()
    assert states(scene)[1] == "Expired"
    scene.remove(EXPERIMENT)
    scene.settle()
    assert states(scene) == ["Candidate"] * 4


def test_but_not_one_whose_files_were_going() -> None:
    scene = past_grace(catalogue())
    scene.remove(EXPERIMENT)
    scene.settle()
    assert states(scene) == ["Candidate", "Gone", "Candidate", "Candidate"]


# failures and crashes


def test_a_record_outlives_its_files_never_the_other_way_round() -> None:
    scene = past_grace(catalogue())
    plan_before = scene.get(model(2))
    sweep_fails(scene)
    scene.settle()
    assert scene.get(model(2)) == plan_before
    scene.wait(10)
    scene.settle()
    assert facts(the_sweep(scene)) == {**facts(the_sweep(scene)), "model": "churn-v2", "attempt": 1}
    sweep_ends(scene)
    scene.settle()
    assert state(scene, 2) == "Gone"


def test_when_it_is_given_up_the_record_goes_and_the_event_says_what_stays() -> None:
    scene = past_grace(catalogue())
    uri = scene.get(model(2))["spec"]["artifact"]["uri"]
    for _ in range(8):
        sweep_fails(scene)
        scene.wait(300)
        scene.settle()
    assert state(scene, 2) == "Gone"
    assert "given up" in scene.events[-1].message
    assert uri in scene.events[-1].message


def test_a_job_of_a_model_that_is_gone_already_goes() -> None:
    scene = past_grace(catalogue())
    scene.remove(model(2))
    sweep_ends(scene)
    scene.settle()
    assert sweeps(scene) == []


def test_another_record_of_the_same_name_is_not_the_one_that_was_to_go() -> None:
    scene = past_grace(catalogue())
    scene.remove(model(2))
    scene.put(a_model_version(2))
    scene.settle(model(2))
    sweep_ends(scene)
    scene.settle()
    assert state(scene, 2) == "Candidate"


# whoever serves


def test_an_expired_model_is_not_chosen() -> None:
    scene = catalogue()
    scene.settle()
    scene.put(a_model_deployment())
    scene.settle(DEPLOYMENT)
    assert scene.status(DEPLOYMENT)["candidate"]["name"] == "churn-v4"


def test_a_pinned_model_that_has_expired_is_said_to_come_back_and_then_starts() -> None:
    scene = catalogue()
    scene.settle()
    scene.put(a_model_deployment(version="2"))
    scene.settle(DEPLOYMENT)
    assert scene.standing(DEPLOYMENT) == "Stalled ModelVersionMissing"
    assert "churn-v2 has expired: it comes back now that it is named" in scene.message(DEPLOYMENT)
    scene.settle()
    assert scene.status(DEPLOYMENT)["candidate"]["name"] == "churn-v2"


def test_a_pinned_model_whose_files_are_going_is_refused() -> None:
    scene = past_grace(catalogue())
    scene.put(a_model_deployment(version="2"))
    scene.settle()
    assert scene.standing(DEPLOYMENT) == "Stalled ModelVersionMissing"
    assert "files are being deleted; name another" in scene.message(DEPLOYMENT)
    assert scene.all("InferenceService") == []
