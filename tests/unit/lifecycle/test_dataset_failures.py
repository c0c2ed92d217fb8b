"""What it means for a Dataset that a look fails, or that its pod cannot start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from keelway.api.digests import sha256
from keelway.api.jobs import REPORT_MARK
from keelway.lifecycle.dataset.failures import NEEDS_HELP
from tests.property.lifecycle.lake import Lake
from tests.unit.lifecycle.builders import DATASET
from tests.unit.lifecycle.looks import FIRST, SECOND, begun, look_again, recorded
from tests.unit.lifecycle.pods import (
    Ended,
    a_pod_of,
    a_waiting_pod_of,
    an_ended_pod_of,
    ends,
    observe_ends,
    observe_fails,
    observe_finds,
    observe_order,
)
from tests.unit.lifecycle.scene import Scene


@dataclass(frozen=True)
class Failure:
    """One way for a look to fail, and how it stands then while there is no version."""

    name: str
    happens: Callable[[Scene], Any]
    standing: str
    reason: str = field(default="")


def _observe_pod(scene: Scene, ended: Ended) -> None:
    an_ended_pod_of(scene, scene.only("Job"), {"observe": ended})
    ends(scene, scene.only("Job"), "BackoffLimitExceeded")


def _without_pod(reason: str) -> Callable[[Scene], Any]:
    def happens(scene: Scene) -> None:
        ends(scene, scene.only("Job"), reason)
        scene.wait(16)

    return happens


def _reports(scene: Scene, log: str, *, vouched_for: str = "") -> None:
    """The verdict speaks of a report that is not in the log, or (`vouched_for`) of one that says nothing."""
    order = observe_order(scene.only("Job"))
    verdict, _ = Lake({order.source.location.uri: SECOND}).observe(order)
    wrong = verdict.model_copy(update={"report_sha256": sha256(vouched_for.encode())})
    observe_ends(scene, wrong if vouched_for else verdict, log)


def _the_worker_says(reason: str) -> Failure:
    word = "Stalled" if reason in NEEDS_HELP else "Reconciling"
    return Failure(f"the worker says {reason}", lambda scene: observe_fails(scene, reason), f"{word} {reason}")


FAILURES = [
    *map(
        _the_worker_says,
        (
            "SecretMissing",
            "SourceUnreachable",
            "AccessDenied",
            "SourceEmpty",
            "SourceInvalid",
            "SchemaMismatch",
            "SourceChanging",
            "OutOfSpace",
            "InternalError",
        ),
    ),
    Failure(
        "a newer worker says what nobody knows", lambda s: observe_fails(s, "NewReason"), "Reconciling InternalError"
    ),
    Failure("out of memory", lambda s: _observe_pod(s, Ended(137, reason="OOMKilled")), "Reconciling OutOfMemory"),
    Failure("killed without a word", lambda s: _observe_pod(s, Ended(137)), "Reconciling Disrupted"),
    Failure("something else in the message", lambda s: _observe_pod(s, Ended(1, "panic: {")), "Reconciling Disrupted"),
    Failure("the pod is gone", _without_pod("BackoffLimitExceeded"), "Reconciling Disrupted"),
    Failure("the Job ran too long", _without_pod("DeadlineExceeded"), "Reconciling TimedOut"),
    Failure("the report is lost", lambda s: _reports(s, ""), "Reconciling Disrupted"),
    Failure("the report is another one", lambda s: _reports(s, f"{REPORT_MARK}{{}}"), "Reconciling Disrupted"),
    Failure("the report is none", lambda s: _reports(s, f"{REPORT_MARK}?", vouched_for="?"), "Reconciling Disrupted"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
def test_a_first_look_that_fails_says_why_and_is_repeated(failure: Failure) -> None:
    scene = begun()
    failure.happens(scene)
    scene.settle()
    assert scene.standing(DATASET) == failure.standing
    assert scene.condition(DATASET, "SourceReachable")["status"] == "False"
    unreachable = failure.standing.endswith("SourceUnreachable")
    assert scene.told() == ["SourceUnreachable" if unreachable else "ObservationFailed"]
    assert scene.all("Job") == []
    assert scene.decide(DATASET).look_again_after == 10
    scene.wait(10)
    scene.settle()
    observe_finds(scene, FIRST)
    scene.settle()
    assert scene.standing(DATASET) == "Ready Ready"
    assert scene.condition(DATASET, "SourceReachable")["reason"] == "SourceReached"


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
def test_consumers_keep_what_they_have_when_a_later_look_fails(failure: Failure) -> None:
    scene = recorded()
    look_again(scene)
    failure.happens(scene)
    scene.settle()
    assert scene.standing(DATASET) == "Ready Ready"
    assert scene.condition(DATASET, "SourceReachable")["reason"] == failure.standing.split()[1]
    assert scene.status(DATASET)["lastGood"]["version"] == 1


CHANGES: list[dict[str, Any]] = [
    {"splits": [{"name": "train", "percent": 50}]},
    {"splitKey": "customer"},
    {"source": {"uri": "s3://lake/elsewhere/"}},
    {"source": {"uri": "s3://lake/churn/", "include": ["*.parquet"]}},
    {"source": {"uri": "s3://lake/churn/", "exclude": ["*.tmp"]}},
    {"source": {"uri": "s3://lake/churn/", "format": "CSV"}},
    {"access": {"endpoint": "http://other:9000"}},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_version_that_is_not_what_the_changed_spec_asks_for_is_not_taken_for_it(change: dict[str, Any]) -> None:
    """However often the look at the new source fails, and although the listing may be the same then."""
    scene = recorded()
    scene.change(DATASET, **change)
    for _ in range(3):
        scene.settle()
        observe_fails(scene, "SourceUnreachable")
        scene.settle()
        assert scene.standing(DATASET) == "Reconciling SourceUnreachable"
        assert scene.status(DATASET)["lastGood"]["version"] == 1, "consumers keep what they have"
        scene.wait(300)
    scene.settle()
    observe_finds(scene, FIRST)
    scene.settle()
    assert scene.status(DATASET)["lastGood"]["version"] == 2


def test_other_credentials_do_not_make_another_version() -> None:
    scene = recorded()
    scene.change(DATASET, access={"secretRef": {"name": "rotated"}})
    scene.settle()
    assert scene.standing(DATASET) == "Reconciling Observing"
    observe_finds(scene, FIRST)
    scene.settle()
    assert scene.status(DATASET)["lastGood"]["version"] == 1


def test_looks_that_fail_come_ever_more_slowly_and_the_event_once() -> None:
    scene, waits = begun(), []
    for _ in range(7):
        observe_fails(scene, "SourceUnreachable")
        scene.settle()
        waits.append(scene.decide(DATASET).look_again_after)
        scene.wait(waits[-1] or 0)
        scene.settle()
    assert waits == [10, 20, 40, 80, 160, 300, 300]
    assert scene.told() == ["SourceUnreachable"]


def test_a_look_that_fails_comes_again_no_later_than_the_interval() -> None:
    scene, waits = begun(refresh={"interval": "30s"}), []
    for _ in range(3):
        observe_fails(scene, "AccessDenied")
        scene.settle()
        waits.append(scene.decide(DATASET).look_again_after)
        scene.wait(waits[-1] or 0)
        scene.settle()
    assert waits == [10, 20, 30]


TROUBLES = [
    ("ErrImagePull", "ImagePullFailed"),
    ("ImagePullBackOff", "ImagePullFailed"),
    ("CreateContainerConfigError", "PodConfigInvalid"),
    ("CrashLoopBackOff", "ContainerCrashing"),
]


@pytest.mark.parametrize(("waiting", "reason"), TROUBLES)
def test_a_pod_that_cannot_start_shows_at_once_and_recovers(waiting: str, reason: str) -> None:
    scene = begun()
    a_waiting_pod_of(scene, scene.only("Job"), waiting, "no such image")
    scene.settle()
    assert scene.standing(DATASET) == f"Reconciling {reason}"
    a_pod_of(scene, scene.only("Job"), phase="Running")
    observe_finds(scene, FIRST)
    scene.settle()
    assert scene.standing(DATASET) == "Ready Ready"


def test_a_later_look_whose_pod_cannot_start_shows_beside_ready() -> None:
    scene = recorded()
    look_again(scene)
    a_waiting_pod_of(scene, scene.only("Job"), "ErrImagePull", "no such image")
    scene.settle()
    assert scene.standing(DATASET) == "Ready Ready"
    assert scene.condition(DATASET, "SourceReachable")["reason"] == "ImagePullFailed"


def test_a_job_that_gets_no_pod_shows_after_a_while() -> None:
    scene = begun()
    assert scene.decide(DATASET).look_again_after == 10
    scene.wait(11)
    scene.settle()
    assert scene.standing(DATASET) == "Reconciling PodRefused"


def test_a_job_is_not_read_before_its_pod_is_known_to_have_ended() -> None:
    scene = begun()
    ends(scene, scene.only("Job"))
    assert scene.settle() == []
    assert scene.decide(DATASET).look_again_after == 2
    observe_finds(scene, FIRST)
    scene.settle()
    assert scene.standing(DATASET) == "Ready Ready"
