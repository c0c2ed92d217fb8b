"""A trial that does badly ends at once, with its Job and pod; what it reported on its way is kept."""

from __future__ import annotations

import time

from keelway.lifecycle.experiment.trials import TrialRow
from tests.apiserver.api import Api
from tests.apiserver.fake_node import FakeNode
from tests.apiserver.operator_process import OperatorProcess
from tests.apiserver.pod_script import Container, Outcome, named
from tests.apiserver.searches import Searches
from tests.apiserver.waiting import eventually
from tests.property.lifecycle.curves import curve

BAD = 3
"""The number of the trial that does badly; those before it are done when it begins."""
START_STEP = 4
STOPPING = {"algorithm": "Median", "minTrials": 3, "startStep": START_STEP}
GONE_SECONDS = 10


def trains(container: Container) -> Outcome:
    """Good trials are quick; the bad one would take minutes, and tells early how it does."""
    number = int(container.environment["KEELWAY_TRIAL"])
    if container.pod["metadata"]["name"].startswith("quiet-"):
        return Outcome(seconds=9, reports=curve(0.9))
    if number == BAD:
        return Outcome(seconds=240, reports=curve(0.1, steps=240))
    return Outcome(seconds=1, reports=curve(0.9 + number / 100))


def test_a_bad_trial_is_pruned_with_its_job_and_pod_and_keeps_its_curve(
    api: Api,
    namespace: str,
    node: FakeNode,
    operator: OperatorProcess,  # noqa: ARG001
) -> None:
    searches = Searches(api, namespace)
    with node.script(named("train", namespace=namespace), trains):
        searches.begin("quiet", algorithm="Random", maxTrials=2, parallelTrials=2)
        searches.begin("hasty", spec={"earlyStopping": STOPPING}, algorithm="Random", maxTrials=5, parallelTrials=1)
        row = eventually(lambda: row_of(searches, BAD), seconds=90, what="the bad trial is pruned")
        begin = time.monotonic()
        eventually(lambda: not left_of(api, namespace, row.job), seconds=GONE_SECONDS, what="its Job and pod are gone")
        gone_after = time.monotonic() - begin
        searches.wait("hasty", "quiet")
    print(f"gone {gone_after:.2f} s after the decision was seen")
    assert row.state == "Pruned"
    assert row.curve[-1][0] >= START_STEP
    assert row.curve == curve(0.1, steps=240)[: len(row.curve)]
    assert row.value == row.curve[-1][1]
    assert row.seconds is not None
    assert row.seconds < 60
    counts = searches.run("hasty")["trials"]
    assert (counts["succeeded"], counts["pruned"], counts["progress"]) == (4, 1, "5/5")
    assert searches.table("hasty")[0].curve == curve(0.9)
    assert_few_logs_were_read(node.logs_read(namespace), row.job)


def assert_few_logs_were_read(reads: list[str], pruned: str) -> None:
    """Of `collect`, in trials that ran in an Experiment that asks for it, every few seconds."""
    ours = [read.partition("/") for read in reads if "-observe-" not in read]
    assert {container for _, _, container in ours} == {"collect"}
    assert {pod.split("-")[0] for pod, _, _ in ours} == {"hasty"}
    assert any(pod.startswith(pruned) for pod, _, _ in ours)
    assert max(ours.count(read) for read in ours) <= 6


def row_of(searches: Searches, number: int) -> TrialRow | None:
    """The recorded row of a trial."""
    told = searches.get("hasty").get("status", {}).get("trials")
    return searches.table("hasty").get(number) if told else None


def left_of(api: Api, namespace: str, job: str) -> list[str]:
    """A Job and its pods, as far as they are there."""
    pods = [pod["metadata"]["name"] for pod in api.list("Pod", namespace)]
    jobs = [job] if api.get("Job", namespace, job) else []
    return [*jobs, *(pod for pod in pods if pod.startswith(f"{job}-"))]
