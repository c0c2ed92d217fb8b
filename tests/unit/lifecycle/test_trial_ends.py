"""How trials end: results, failures of their own, failures of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from keelway.api.jobs import CollectVerdict
from keelway.engine.objects import key_of
from keelway.lifecycle.experiment.trials import facts
from tests.unit.lifecycle.builders import EXPERIMENT
from tests.unit.lifecycle.pods import (
    Ended,
    a_pod_of,
    a_waiting_pod_of,
    an_ended_pod_of,
    ends,
    trial_ends,
    trial_ends_with,
)
from tests.unit.lifecycle.scene import Scene
from tests.unit.lifecycle.trials import (
    begun,
    collect_failed,
    collected,
    finish,
    job_of,
    jobs,
    rows,
    run,
    running,
    search,
    stage_failed,
)


def one_trial(**trial: Any) -> Scene:
    """One trial is under way; `trial` changes `spec.trial`."""
    template = {"spec": {"containers": [{"name": "train", "image": "train:1"}]}}
    return begun(trials=1, search=search(), trial={"job": {"template": template}, **trial})


@dataclass(frozen=True)
class End:
    """One way for an attempt to end, why, and whether that is the trial's own fault."""

    name: str
    happens: Callable[[Scene], Any]
    reason: str
    own_fault: bool


def _last(scene: Scene) -> Any:
    return job_of(scene, 0)


def _pod_lost(reason: str) -> Callable[[Scene], Any]:
    def happens(scene: Scene) -> None:
        ends(scene, _last(scene), reason)
        scene.wait(16)

    return happens


def _evicted(scene: Scene) -> None:
    """Its replacement never came: the Job gave up."""
    an_ended_pod_of(scene, _last(scene), {"train": Ended(143), "collect": Ended()}, evicted=True)
    ends(scene, _last(scene), "BackoffLimitExceeded")
    scene.wait(16)


def _stages(reason: str) -> Callable[[Scene], Any]:
    return lambda scene: trial_ends_with(scene, _last(scene), stage=stage_failed(reason))


def _collects(reason: str) -> Callable[[Scene], Any]:
    return lambda scene: trial_ends_with(scene, _last(scene), collect=collect_failed(reason))


def _trains(ended: Ended, collect: CollectVerdict | None = None) -> Callable[[Scene], Any]:
    return lambda scene: trial_ends_with(scene, _last(scene), train=ended, collect=collect)


def _says(**fields: Any) -> Callable[[Scene], Any]:
    return lambda scene: trial_ends_with(scene, _last(scene), collect=collected(**fields))


def _garbled(scene: Scene) -> None:
    containers = {"stage": Ended(), "collect": Ended(message='{"outcome": "Coll'), "train": Ended()}
    an_ended_pod_of(scene, _last(scene), containers)
    ends(scene, _last(scene))


OWN = [
    End("the trainer exits with a code", _trains(Ended(3)), "TrainerFailed", True),
    End("the trainer fails after writing metrics", _trains(Ended(1), collected()), "TrainerFailed", True),
    End("the trainer needs too much memory", _trains(Ended(137, reason="OOMKilled")), "OutOfMemory", True),
    End("the Job runs too long", _pod_lost("DeadlineExceeded"), "TimedOut", True),
    End("no metrics", _collects("MetricMissing"), "MetricMissing", True),
    End("metrics that are none", _collects("MetricInvalid"), "MetricInvalid", True),
    End("no model", _collects("ModelMissing"), "ModelMissing", True),
    End("too large a model", _collects("ModelTooLarge"), "ModelTooLarge", True),
    End("other metrics", _says(metrics={"loss": 1.0}), "MetricMissing", True),
    End("the data has changed at the source", _stages("DatasetVersionGone"), "DatasetVersionGone", True),
    End("the data cannot be read", _stages("SourceInvalid"), "SourceInvalid", True),
    End("the data has other columns", _stages("SchemaMismatch"), "SchemaMismatch", True),
]


OTHERS = [
    End("the bucket does not answer", _stages("SourceUnreachable"), "SourceUnreachable", False),
    End("the bucket denies", _stages("AccessDenied"), "AccessDenied", False),
    End("the secret is missing", _stages("SecretMissing"), "SecretMissing", False),
    End("the disk is full", _stages("OutOfSpace"), "OutOfSpace", False),
    End("the model cannot be uploaded", _collects("UploadFailed"), "UploadFailed", False),
    End("collect breaks", _collects("InternalError"), "InternalError", False),
    End("collect says what nobody knows", _collects("Unheard"), "InternalError", False),
    End("collect says nothing", _trains(Ended()), "Disrupted", False),
    End("collect says something else", _garbled, "Disrupted", False),
    End("the pod is lost", _pod_lost("BackoffLimitExceeded"), "Disrupted", False),
    End("the pod is lost although the Job is complete", _pod_lost(""), "Disrupted", False),
    End("the pod is evicted", _evicted, "Disrupted", False),
]


def ids(end: End) -> str:
    return end.name


@pytest.mark.parametrize("end", OWN, ids=ids)
def test_a_trial_that_fails_by_itself_is_tried_once_more_at_once_and_then_has_failed(end: End) -> None:
    scene = one_trial()
    end.happens(scene)
    scene.settle(EXPERIMENT)
    assert (rows(scene)[0]["state"], rows(scene)[0]["reason"], rows(scene)[0]["failures"]) == (
        "Retrying",
        end.reason,
        1,
    )
    assert [facts(job).attempt for job in jobs(scene)] == [0, 1]
    assert scene.standing(EXPERIMENT) == f"Reconciling {end.reason}"
    end.happens(scene)
    scene.settle(EXPERIMENT)
    assert (rows(scene)[0]["state"], rows(scene)[0]["failures"]) == ("Failed", 2)
    assert scene.standing(EXPERIMENT) == f"Stalled {end.reason}"
    assert scene.condition(EXPERIMENT, "Succeeded")["status"] == "False"
    assert run(scene)["trials"] == {
        "total": 1,
        "pending": 0,
        "running": 0,
        "succeeded": 0,
        "failed": 1,
        "pruned": 0,
        "cached": 0,
        "progress": "1/1",
    }
    assert scene.told() == ["RunStarted", "TrialFailed", "RunFailed"]
    assert scene.all("ModelVersion") == []


@pytest.mark.parametrize("end", OTHERS, ids=ids)
def test_a_trial_that_is_disturbed_is_tried_again_ever_more_slowly_without_counting(end: End) -> None:
    scene, waits = one_trial(), []
    for attempt in range(8):
        end.happens(scene)
        scene.settle(EXPERIMENT)
        row = rows(scene)[0]
        assert (row["state"], row["reason"], row["failures"], row["attempt"]) == (
            "Retrying",
            end.reason,
            0,
            attempt + 1,
        )
        assert scene.standing(EXPERIMENT) == f"Reconciling {end.reason}"
        assert running(scene) == []
        waits.append(scene.decide(EXPERIMENT).look_again_after)
        scene.wait(waits[-1] or 0)
        scene.settle(EXPERIMENT)
        assert running(scene) == [0]
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]
    finish(scene)
    assert scene.standing(EXPERIMENT) == "Ready RunSucceeded"


@pytest.mark.parametrize("end", [*OWN, *OTHERS], ids=ids)
def test_a_second_attempt_that_ends_well_is_the_trials_result(end: End) -> None:
    scene = one_trial()
    end.happens(scene)
    scene.settle(EXPERIMENT)
    scene.wait(10)
    scene.settle(EXPERIMENT)
    finish(scene)
    row = rows(scene)[0]
    assert (row["state"], row["attempt"], row["value"]) == ("Succeeded", 1, 0.5)
    assert row["reason"] == "", "a result is not a failure"
    assert scene.standing(EXPERIMENT) == "Ready RunSucceeded"


def test_disturbances_and_failures_of_its_own_are_counted_apart() -> None:
    scene = one_trial(retries=2)
    for end in (OTHERS[0], OWN[0], OTHERS[-2], OWN[2]):
        end.happens(scene)
        scene.settle(EXPERIMENT)
        scene.wait(60)
        scene.settle(EXPERIMENT)
    assert running(scene) == [0]
    assert rows(scene)[0]["failures"] == 2
    OTHERS[0].happens(scene)
    scene.settle(EXPERIMENT)
    assert scene.decide(EXPERIMENT).look_again_after == 40, "the third disturbance"
    scene.wait(40)
    scene.settle(EXPERIMENT)
    OWN[3].happens(scene)
    scene.settle(EXPERIMENT)
    assert rows(scene)[0]["state"] == "Failed"


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_trial_has_as_many_attempts_as_retries_allow(retries: int) -> None:
    scene, attempts = one_trial(retries=retries), 0
    while running(scene):
        trial_ends_with(scene, _last(scene), train=Ended(1))
        attempts += 1
        scene.settle(EXPERIMENT)
    assert attempts == retries + 1


def test_nobody_looks_at_a_second_attempt_every_second() -> None:
    scene = one_trial()
    OTHERS[0].happens(scene)
    scene.settle(EXPERIMENT)
    scene.wait(10)
    scene.settle(EXPERIMENT)
    a_pod_of(scene, _last(scene), phase="Running")
    assert scene.decide(EXPERIMENT).look_again_after is None


def test_a_pod_that_takes_the_place_of_an_evicted_one_gives_the_result() -> None:
    scene = one_trial()
    interrupted = collected(metrics={"auc": 0.1}, digest="sha256:half")
    containers = {"stage": Ended(), "collect": Ended(message=interrupted.model_dump_json()), "train": Ended(143)}
    an_ended_pod_of(scene, _last(scene), containers, pod="first", evicted=True)
    assert scene.settle(EXPERIMENT) == []
    assert scene.standing(EXPERIMENT) == "Reconciling TrialsRunning"
    scene.wait(60)
    trial_ends(scene, _last(scene), 0.9)
    scene.settle(EXPERIMENT)
    assert (rows(scene)[0]["value"], rows(scene)[0]["attempt"]) == (0.9, 0)


def test_the_words_of_an_evicted_pod_do_not_count_although_its_replacement_said_nothing() -> None:
    scene = one_trial()
    interrupted = collected(metrics={"auc": 0.1}, digest="sha256:half")
    containers = {"stage": Ended(), "collect": Ended(message=interrupted.model_dump_json()), "train": Ended(143)}
    an_ended_pod_of(scene, _last(scene), containers, pod="first", evicted=True)
    scene.wait(60)
    trial_ends_with(scene, _last(scene))
    scene.settle(EXPERIMENT)
    assert (rows(scene)[0]["state"], rows(scene)[0]["reason"]) == ("Retrying", "Disrupted")


def test_a_job_that_ended_is_not_read_before_its_pod_is_known_to_have_ended() -> None:
    scene = one_trial()
    ends(scene, _last(scene))
    assert scene.settle(EXPERIMENT) == []
    assert scene.decide(EXPERIMENT).look_again_after == 2
    an_ended_pod_of(
        scene,
        scene.only("Job"),
        {"stage": Ended(), "collect": Ended(message=collected().model_dump_json()), "train": Ended()},
    )
    scene.settle(EXPERIMENT)
    assert rows(scene)[0]["state"] == "Succeeded"


TROUBLES = [
    ("ErrImagePull", "ImagePullFailed"),
    ("InvalidImageName", "ImagePullFailed"),
    ("CreateContainerConfigError", "PodConfigInvalid"),
    ("CreateContainerError", "PodConfigInvalid"),
    ("CrashLoopBackOff", "ContainerCrashing"),
]


@pytest.mark.parametrize(("waiting", "reason"), TROUBLES)
def test_a_pod_in_trouble_shows_while_it_lasts(waiting: str, reason: str) -> None:
    scene = one_trial()
    a_waiting_pod_of(scene, _last(scene), waiting, "as the case says")
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == f"Reconciling {reason}"
    a_pod_of(scene, _last(scene), phase="Running")
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Reconciling TrialsRunning"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("0/1 nodes are available: 1 Insufficient cpu.", "PodUnschedulable"),
        ('persistentvolumeclaim "lake" not found.', "VolumeUnavailable"),
        ("pod has unbound immediate PersistentVolumeClaims.", "VolumeUnavailable"),
    ],
)
def test_a_pod_without_a_node_says_why(message: str, reason: str) -> None:
    scene = one_trial()
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    a_pod_of(scene, _last(scene), phase="Pending", conditions=[condition])
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == f"Reconciling {reason}"
    assert message.rstrip(".") in scene.message(EXPERIMENT)


def test_a_job_that_gets_no_pod_shows_after_a_while_but_not_while_it_is_queued() -> None:
    scene = one_trial()
    scene.wait(11)
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Reconciling PodRefused"
    job = _last(scene)
    scene.put({**job, "spec": {**job["spec"], "suspend": True}})
    scene.settle(EXPERIMENT)
    assert scene.standing(EXPERIMENT) == "Reconciling TrialsRunning"


def test_a_pod_that_goes_on_after_the_deadline_is_given_no_more_than_seconds() -> None:
    scene = begun(trials=1)
    job = job_of(scene, 0)
    pod = a_pod_of(scene, job, phase="Running")
    assert scene.settle(EXPERIMENT) == []
    overdue = {"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded"}
    scene.say(key_of(job), conditions=[overdue])
    (order,) = scene.decide(EXPERIMENT).deletes
    assert (order.key, order.grace_seconds) == (key_of(pod), 5)


def test_of_a_trial_that_is_stopped_the_pod_goes_first() -> None:
    """Else Kubernetes, which takes it with the Job, asks the node first: to wait as long as the template says."""
    scene = begun(trials=1)
    pod = a_pod_of(scene, job_of(scene, 0), phase="Running")
    scene.change(EXPERIMENT, search=search(seed=7))
    first, second = scene.decide(EXPERIMENT).deletes
    assert (first.key, first.grace_seconds) == (key_of(pod), 5)
    assert second.key == key_of(job_of(scene, 0))
