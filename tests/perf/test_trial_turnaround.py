"""How soon the next trial's Job is there when a trial has ended, beside a loop that makes bare Jobs one by one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median
from threading import Event

import pytest

from keelway.api.base import Manifest
from keelway.lifecycle.jobs import has_ended
from tests.apiserver.api import Api, Follower
from tests.apiserver.fake_kserve import RESTRICTED
from tests.apiserver.fake_node import FakeNode
from tests.apiserver.operator_process import OperatorProcess
from tests.apiserver.searches import Searches, is_trial
from tests.perf.conftest import Note

TRIALS = 40
GOAL_MS = 300


class Turnaround:
    """Follows Jobs whose names begin so: how long after the end of one the next was there, as a watch tells it."""

    def __init__(self, api: Api, namespace: str, prefix: str) -> None:
        self._api, self._namespace, self._prefix = api, namespace, prefix
        self._seen: dict[str, bool] = {}
        self._ended_at: float | None = None
        self.waits: list[float] = []
        """Seconds."""
        self.makes_next = False
        """Whether to make a bare Job when one has ended, as the loop of a script would."""
        self.done = Event()

    def follow(self) -> Follower:
        """Begin to follow."""
        follower = Follower(self._api, "Job", self.heard)
        follower.start()
        return follower

    def heard(self, event: str, job: Manifest) -> None:
        """One change of a Job."""
        name, now = job["metadata"]["name"], time.monotonic()
        mine = job["metadata"]["namespace"] == self._namespace and name.startswith(self._prefix) and is_trial(name)
        if event == "DELETED" or not mine:
            return
        if name not in self._seen and self._ended_at is not None:
            self.waits.append(now - self._ended_at)
            self._ended_at = None
        if has_ended(job) and not self._seen.get(name):
            self._ended_at = now
            self._go_on()
        self._seen[name] = has_ended(job)

    def _go_on(self) -> None:
        if len(self._seen) >= TRIALS:
            self.done.set()
        elif self.makes_next:
            self._api.create(bare_job(self._namespace, len(self._seen)))


def bare_job(namespace: str, number: int) -> Manifest:
    """A Job of one container, with a name as a trial's."""
    container = {"name": "train", "image": "dev.local/train:1", "securityContext": RESTRICTED}
    spec = {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    metadata = {"name": f"bare-t{number}-{number:08}", "namespace": namespace}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


@pytest.mark.timeout(900)
def test_time_from_a_trials_end_to_the_next_trials_job(
    api: Api,
    namespace: str,
    node: FakeNode,  # noqa: ARG001
    operator: OperatorProcess,  # noqa: ARG001
    note: Note,
) -> None:
    bare = Turnaround(api, namespace, "bare-")
    bare.makes_next = True
    follower = bare.follow()
    api.create(bare_job(namespace, 0))
    assert bare.done.wait(300), f"{len(bare.waits)} bare Jobs followed one another"
    follower.stop()
    trials = Turnaround(api, namespace, "churn-")
    follower = trials.follow()
    searches = Searches(api, namespace)
    searches.begin(algorithm="TPE", maxTrials=TRIALS, parallelTrials=1)
    searches.wait(seconds=400)
    follower.stop()
    ours, theirs = milliseconds(trials.waits), milliseconds(bare.waits)
    note(trials=len(trials.waits), median_ms=ours, bare_median_ms=theirs, goal_ms=GOAL_MS)
    assert len(trials.waits) == len(bare.waits) == TRIALS - 1
    assert ours < max(GOAL_MS, 4 * theirs)


def milliseconds(waits: Sequence[float]) -> float:
    """The median."""
    return round(median(waits) * 1000, 1)
