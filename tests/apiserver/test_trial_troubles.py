"""How a trial can end badly: the state, the reason, how often it is tried, and that nothing is done twice."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from keelway.api.jobs import CollectVerdict, FailureReason
from keelway.lifecycle.experiment.trials import TrialRow
from tests.apiserver.api import STRATEGIC_MERGE
from tests.apiserver.audit import Audit
from tests.apiserver.fake_node import FakeNode
from tests.apiserver.pod_script import FOREVER, Container, Matcher, Outcome, named
from tests.apiserver.searches import Searches
from tests.apiserver.track import Track
from tests.apiserver.waiting import eventually, stays

RETRIES = 1


def failed(reason: FailureReason, message: str) -> Outcome:
    """What `collect` leaves when it cannot do what it was told."""
    return Outcome(
        exit_code=1, message=CollectVerdict(outcome="Failed", reason=reason, message=message).model_dump_json()
    )


def row_of(track: Track) -> TrialRow | None:
    """The row of the only trial, once there is one."""
    told = track.get("Experiment").get("status", {}).get("trials")
    return Searches(track.api, track.namespace).table().get(0) if told else None


def jobs_of(track: Track, audit: Audit) -> int:
    """How many Jobs were made for trials, none of them twice."""
    made = Searches(track.api, track.namespace).jobs_made(audit)
    assert set(made.values()) <= {1}, made
    return len(made)


ENDS: dict[str, tuple[str, Outcome, str]] = {
    "exits-with-1": ("train", Outcome(exit_code=1), "TrainerFailed"),
    "out-of-memory": ("train", Outcome(exit_code=137, reason="OOMKilled"), "OutOfMemory"),
    "no-metrics": ("collect", failed("MetricMissing", "there is no metrics file"), "MetricMissing"),
    "says-nan": ("collect", failed("MetricInvalid", "metric 'auc' is NaN"), "MetricInvalid"),
    "no-model": ("collect", failed("ModelMissing", "there is no file in the model directory"), "ModelMissing"),
    "large-model": ("collect", failed("ModelTooLarge", "the model has 6 TiB"), "ModelTooLarge"),
}


def of(experiment: str, container: str) -> Matcher:
    """This container in pods of an Experiment's trials."""
    return lambda one: one.name == container and str(one.pod["metadata"]["name"]).startswith(f"{experiment}-t")


def test_trials_that_fail_by_themselves_are_tried_as_often_as_asked_for(
    track: Track, node: FakeNode, audit: Audit
) -> None:
    """All ends side by side, each in an Experiment of its own, named after it."""
    searches = Searches(track.api, track.namespace)
    trial = {**track.experiment()["spec"]["trial"], "retries": RETRIES}
    with ExitStack() as scripts:
        for end, (container, outcome, _) in ENDS.items():
            scripts.enter_context(node.script(of(end, container), outcome))
            searches.begin(end, spec={"trial": trial}, algorithm="Random", maxTrials=1, maxFailedTrials=0)
        for end in ENDS:
            eventually(partial(has_failed, searches, end), seconds=90, what=f"the run that {end} has failed")
    for end, (_, _, reason) in ENDS.items():
        row = searches.table(end)[0]
        assert (row.state, row.reason, row.failures) == ("Failed", reason, RETRIES + 1), end
        succeeded = next(c for c in searches.get(end)["status"]["conditions"] if c["type"] == "Succeeded")
        assert (succeeded["status"], succeeded["reason"]) == ("False", reason), end
    made = searches.jobs_made(audit)
    assert set(made.values()) == {1}
    assert len(made) == len(ENDS) * (RETRIES + 1)
    assert track.names("ModelVersion") == []


def has_failed(searches: Searches, name: str) -> bool:
    """Whether the run of an Experiment is over without a model."""
    return bool(searches.run(name).get("state") == "Failed")


def test_a_bucket_that_is_down_while_the_model_is_kept_costs_no_retry(
    track: Track, node: FakeNode, audit: Audit
) -> None:
    down = failed("UploadFailed", "s3://models/ does not answer")
    with node.script(named("collect", namespace=track.namespace), down):
        track.apply(track.dataset(), track.experiment(trials=1, spec__trial__retries=0))
        first = eventually(lambda: row_of(track), what="the first attempt is recorded")
        assert (first.state, first.reason, first.failures) == ("Retrying", "UploadFailed", 0)
    track.wait_ready("Experiment")
    row = row_of(track)
    assert row is not None
    assert (row.state, row.failures) == ("Succeeded", 0)
    assert jobs_of(track, audit) == row.attempt + 1


def test_a_pod_whose_node_is_gone_comes_again_and_counts_as_no_failure(
    track: Track, node: FakeNode, audit: Audit
) -> None:
    with node.script(named("train", namespace=track.namespace), FOREVER):
        track.apply(track.dataset(), track.experiment(trials=1, spec__trial__retries=0))
        eventually(track.running_trials, what="the trial runs")
        (pod,) = [name for name in track.names("Pod") if "-t0-" in name]
        lose(track, pod)
    track.wait_ready("Experiment")
    row = row_of(track)
    assert row is not None
    assert (row.state, row.failures) == ("Succeeded", 0)
    assert jobs_of(track, audit) <= 2


def lose(track: Track, pod: str) -> None:
    """What the control plane does with a pod whose node does not come back."""
    reason = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}
    status = {"phase": "Failed", "conditions": [reason]}
    track.api.patch("Pod", track.namespace, pod, {"status": status}, part="status", content_type=STRATEGIC_MERGE)
    track.api.delete("Pod", track.namespace, pod, options={"gracePeriodSeconds": 0})


def test_a_job_deleted_after_its_verdict_is_not_made_again(track: Track, node: FakeNode, audit: Audit) -> None:
    def train(container: Container) -> Outcome:
        return Outcome(seconds=6.0 * int(container.environment["KEELWAY_TRIAL"]))

    with node.script(named("train", namespace=track.namespace), train):
        track.apply(track.dataset(), track.experiment(trials=2))
        row = eventually(lambda: row_of(track), what="the first trial is recorded")
        assert row.state == "Succeeded"
        track.api.delete("Job", track.namespace, row.job)
        eventually(lambda: row.job not in track.names("Job"), what="its Job is gone")
        stays(lambda: row.job in track.names("Job"), seconds=1.5, what="the Job that was deleted")
    track.wait_ready("Experiment")
    assert row_of(track) == row
    assert jobs_of(track, audit) == 2
