"""What a run leaves in the store goes once it is over, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from keelway.engine.objects import key_of
from tests.unit.lifecycle.builders import EXPERIMENT, a_model_version
from tests.unit.lifecycle.pods import Ended, a_pod_of, an_ended_pod_of, ends
from tests.unit.lifecycle.scene import Scene, named, names
from tests.unit.lifecycle.sweeps import artifacts, facts, order, sweep_ends, sweep_fails, sweeps, the_sweep
from tests.unit.lifecycle.trials import begun, failed, finish, job_of, publish, run, succeeded

OTHER = [{"name": "depth", "int": {"min": 1, "max": 3}}]


def test_what_the_trials_left_goes_and_the_model_stays() -> None:
    scene = succeeded()
    kept = scene.only("ModelVersion")["spec"]["artifact"]["uri"]
    told = order(the_sweep(scene))
    assert told.location.uri == artifacts(scene)
    trial, directory = kept.removeprefix(f"{artifacts(scene)}/").split("/")
    assert told.keep == (f"{trial}/{directory}", f"{trial}/files-{directory}.json")
    assert run(scene)["swept"] is False
    sweep_ends(scene, files=7)
    scene.settle(EXPERIMENT)
    assert run(scene)["swept"]
    assert sweeps(scene) == []
    assert scene.standing(EXPERIMENT) == "Ready RunSucceeded"
    (event,) = [event for event in scene.events if event.reason == "ArtifactsSwept"]
    assert event.message == f"deleted 7 files at {artifacts(scene)}"
    assert scene.settle(EXPERIMENT) == [], "and that is all"


def test_of_a_run_that_failed_nothing_stays() -> None:
    scene = failed()
    assert order(the_sweep(scene)).keep == ()
    sweep_ends(scene)
    scene.settle(EXPERIMENT)
    assert run(scene)["swept"]
    assert run(scene)["state"] == "Failed"


def test_one_trial_that_succeeded_at_once_costs_no_job() -> None:
    scene = succeeded(trials=1)
    assert run(scene)["swept"]
    assert sweeps(scene) == []


def test_a_run_that_goes_on_is_left_alone() -> None:
    assert sweeps(begun()) == []


def test_nor_is_anything_deleted_while_the_experiment_is_suspended() -> None:
    scene = begun()
    scene.change(EXPERIMENT, suspend=True)
    finish(scene)
    scene.settle(EXPERIMENT)
    assert sweeps(scene) == []
    scene.change(EXPERIMENT, suspend=False)
    scene.settle(EXPERIMENT)
    assert len(sweeps(scene)) == 1


def test_a_superseded_run_is_swept_after_the_next_one_one_at_a_time() -> None:
    scene = begun()
    first = artifacts(scene)
    scene.change(EXPERIMENT, parameters=OTHER)
    scene.settle(EXPERIMENT)
    assert sweeps(scene) == [], "the spec may come back while a run goes on"
    finish(scene)
    assert facts(the_sweep(scene))["uri"] == artifacts(scene) != first
    sweep_ends(scene)
    scene.settle(EXPERIMENT)
    assert facts(the_sweep(scene))["uri"] == first
    sweep_ends(scene)
    scene.settle(EXPERIMENT)
    assert [line["swept"] for line in scene.status(EXPERIMENT)["runs"]] == [True]
    assert sweeps(scene) == []


def test_a_pod_that_may_still_upload_is_waited_for() -> None:
    scene = begun()
    job = job_of(scene, 0)
    finish(scene)
    scene.remove(key_of(the_sweep(scene)))
    pod = a_pod_of(scene, job, "stuck", phase="Running")
    scene.settle(EXPERIMENT)
    assert sweeps(scene) == []
    scene.remove(key_of(pod))
    scene.settle(EXPERIMENT)
    assert len(sweeps(scene)) == 1


def test_a_job_that_was_deleted_by_hand_is_made_again() -> None:
    scene = succeeded()
    first = the_sweep(scene)
    scene.remove(key_of(first))
    scene.settle(EXPERIMENT)
    assert names(sweeps(scene)) == names([first])


# whose directory it is


def test_any_model_below_a_runs_directory_is_kept() -> None:
    scene = begun()
    artifact = {"digest": f"sha256:{'1' * 64}", "format": {"name": "sklearn"}}
    for number, path in enumerate(("0/abc", "1/deep/er", "2"), 20):
        scene.put(a_model_version(number, artifact={**artifact, "uri": f"{artifacts(scene)}/{path}/"}))
    finish(scene)
    kept = order(the_sweep(scene)).keep
    assert {"0/abc", "0/files-abc.json", "1/deep/er", "1/deep/files-er.json", "2", "files-2.json"} < set(kept)


@pytest.mark.parametrize("cut", ["", "/churn", "/churn/{tag}"])
def test_a_directory_that_is_an_artifact_as_a_whole_is_not_touched(cut: str) -> None:
    scene = begun()
    tag = artifacts(scene).rpartition("/")[2]
    uri = "s3://models" + cut.format(tag=tag)
    artifact = {"uri": f"{uri}/", "digest": f"sha256:{'1' * 64}", "format": {"name": "sklearn"}}
    other = scene.put(a_model_version(20, model="other", artifact=artifact))
    finish(scene)
    assert sweeps(scene) == []
    scene.remove(key_of(other))
    scene.settle(EXPERIMENT)
    assert len(sweeps(scene)) == 1


@pytest.mark.parametrize(
    "uri",
    ["s3://models/churn", "s3://models", "s3://models/churn/0123456789ab", "pvc://models/", "s3://models/churn/"],
)
def test_a_directory_that_this_experiment_did_not_name_is_never_swept(uri: str) -> None:
    """Whoever wrote that into the status: it may be another Experiment's, or everybody's."""
    scene = begun()
    finish(scene)
    scene.remove(key_of(the_sweep(scene)))
    scene.say(EXPERIMENT, run={**run(scene), "artifacts": uri})
    scene.settle(EXPERIMENT)
    assert sweeps(scene) == []


def test_two_experiments_with_one_bucket_do_not_meet() -> None:
    """The same name and spec, in another cluster: only the uid differs."""
    one, two = succeeded(), Scene()
    two.put({"kind": "Experiment", "metadata": {**EXPERIMENT_METADATA}, "spec": one.get(EXPERIMENT)["spec"]})
    two.remove(EXPERIMENT)
    two.put({"kind": "Experiment", "metadata": {**EXPERIMENT_METADATA}, "spec": one.get(EXPERIMENT)["spec"]})
    publish(two, 1, "first")
    two.settle(EXPERIMENT)
    finish(two)
    mine, theirs = artifacts(one), artifacts(two)
    assert mine != theirs
    assert [facts(the_sweep(scene))["uri"] for scene in (one, two)] == [mine, theirs]
    two.remove(key_of(the_sweep(two)))
    two.say(EXPERIMENT, run={**run(two), "artifacts": mine})
    two.settle(EXPERIMENT)
    assert sweeps(two) == []


EXPERIMENT_METADATA: dict[str, Any] = {"name": EXPERIMENT.name, "namespace": EXPERIMENT.namespace}


# what fails


def lost(scene: Scene) -> None:
    ends(scene, the_sweep(scene))


def evicted(scene: Scene) -> None:
    an_ended_pod_of(scene, the_sweep(scene), {"sweep": Ended(137)}, evicted=True)
    ends(scene, the_sweep(scene), "BackoffLimitExceeded")


def out_of_memory(scene: Scene) -> None:
    an_ended_pod_of(scene, the_sweep(scene), {"sweep": Ended(137, reason="OOMKilled")})
    ends(scene, the_sweep(scene), "BackoffLimitExceeded")


def too_late(scene: Scene) -> None:
    ends(scene, the_sweep(scene), "DeadlineExceeded")


FAILURES = named(
    [
        ("the bucket denies", sweep_fails, "AccessDenied: as the case says"),
        ("its pod is gone", lost, "Disrupted"),
        ("its pod was evicted", evicted, "Disrupted"),
        ("it ran out of memory", out_of_memory, "Disrupted"),
        ("it took too long", too_late, "TimedOut"),
    ]
)


@pytest.mark.parametrize(("fail", "words"), FAILURES)
def test_what_failed_is_tried_again_later(fail: Callable[[Scene], None], words: str) -> None:
    scene = succeeded()
    first, uri = the_sweep(scene), artifacts(scene)
    scene.wait(60)
    fail(scene)
    scene.settle(EXPERIMENT)
    scene.wait(16)
    scene.settle(EXPERIMENT)
    again = the_sweep(scene)
    assert again["metadata"]["name"] != first["metadata"]["name"]
    assert order(again) == order(first)
    assert facts(again) == {"attempt": 1, "model": "", "uri": uri}
    (event,) = [event for event in scene.events if event.reason == "SweepFailed"]
    assert words in event.message
    assert "attempt 1" in event.message
    sweep_ends(scene)
    scene.settle(EXPERIMENT)
    assert run(scene)["swept"]


def test_the_wait_doubles_and_is_known_in_advance() -> None:
    scene = succeeded()
    waits = []
    for _ in range(7):
        sweep_fails(scene)
        waits.append(scene.look(EXPERIMENT).look_again_after)
        scene.wait(waits[-1] or 0)
        scene.settle(EXPERIMENT)
        assert not the_sweep(scene).get("status"), "another one"
    assert waits == [10, 20, 40, 80, 160, 300, 300]


def test_after_eight_failures_it_is_given_up_and_said_what_stays() -> None:
    scene = succeeded()
    for attempt in range(8):
        assert facts(the_sweep(scene))["attempt"] == attempt
        sweep_fails(scene)
        scene.wait(300)
        scene.settle(EXPERIMENT)
    assert sweeps(scene) == []
    assert run(scene)["swept"]
    told = [event for event in scene.events if event.reason == "SweepFailed"]
    assert [event.type for event in told] == ["Warning"] * 8
    assert artifacts(scene) in told[-1].message
    assert "given up" in told[-1].message
    assert "by hand" in told[-1].message
    assert scene.standing(EXPERIMENT) == "Ready RunSucceeded"
    assert scene.settle(EXPERIMENT) == []


def test_earlier_attempts_go_when_a_crash_left_them() -> None:
    scene = succeeded()
    first = the_sweep(scene)
    sweep_fails(scene)
    ended = scene.get(key_of(first))
    scene.wait(10)
    scene.settle(EXPERIMENT)
    second = the_sweep(scene)
    scene.put(ended)
    scene.settle(EXPERIMENT)
    assert names(sweeps(scene)) == names([second])


def test_a_model_that_came_since_is_kept_by_the_next_attempt() -> None:
    scene = succeeded()
    before = order(the_sweep(scene)).keep
    sweep_fails(scene)
    uri = f"{artifacts(scene)}/7/abc"
    artifact = {"uri": uri, "digest": f"sha256:{'1' * 64}", "format": {"name": "sklearn"}}
    scene.put(a_model_version(20, artifact=artifact))
    scene.wait(10)
    scene.settle(EXPERIMENT)
    assert set(order(the_sweep(scene)).keep) == {*before, "7/abc", "7/files-abc.json"}
