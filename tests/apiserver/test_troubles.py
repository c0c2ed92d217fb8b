"""What goes wrong on the way shows in the status with its reason, and recovers by itself when it is mended."""

import pytest

from keelway.api.jobs import CollectVerdict
from tests.apiserver.fake_kserve import serves
from tests.apiserver.fake_node import FakeNode
from tests.apiserver.fake_worker import Broken
from tests.apiserver.pod_script import FOREVER, Container, Outcome, image_pull_error, named
from tests.apiserver.track import CONTAINERS, NAME, SOURCE, TRIALS, Track, trainer
from tests.apiserver.waiting import eventually
from tests.property.lifecycle.lake import content

CRASHED = Outcome(exit_code=1, message="ValueError: not a model", log="ValueError: not a model\n")


def test_failing_trainer_shows_and_a_mended_image_succeeds(track: Track, node: FakeNode) -> None:
    def train(container: Container) -> Outcome:
        return Outcome(exit_code=3) if container.spec["image"].endswith(":broken") else Outcome()

    with node.script(named("train", namespace=track.namespace), train):
        broken = track.experiment(spec__trial__retries=0)
        broken["spec"]["trial"]["job"]["template"]["spec"]["containers"] = trainer("dev.local/train:broken")
        track.apply(track.dataset(), broken)
        condition = track.wait_reason("Experiment", "TrainerFailed")
        assert condition["status"] == "False"
        assert "exit code 3" in condition["message"]
        track.change("Experiment", CONTAINERS, trainer("dev.local/train:mended"))
        track.wait_ready("Experiment")
    assert track.names("ModelVersion") == ["churn-v1"]


def test_some_failing_trials_do_not_fail_the_search(track: Track, node: FakeNode) -> None:
    def train(container: Container) -> Outcome:
        return Outcome(exit_code=int(container.environment["KEELWAY_TRIAL"] in ("0", "3")))

    with node.script(named("train", namespace=track.namespace), train):
        track.apply(track.dataset(), track.experiment(spec__trial__retries=0))
        counts = track.wait_ready("Experiment")["status"]["run"]["trials"]
    assert (counts["succeeded"], counts["failed"], counts["progress"]) == (TRIALS - 2, 2, f"{TRIALS}/{TRIALS}")


def test_failed_trial_is_tried_again_as_often_as_asked_for(track: Track, node: FakeNode) -> None:
    attempts: list[str] = []

    def train(container: Container) -> Outcome:
        attempts.append(container.pod["metadata"]["name"])
        return Outcome(exit_code=int(len(attempts) == 1))

    with node.script(named("train", namespace=track.namespace), train):
        track.apply(track.dataset(), track.experiment(trials=1, spec__trial__retries=1))
        track.wait_ready("Experiment")
    assert len(attempts) == 2


def test_missing_image_shows_and_recovers_when_it_appears(track: Track, node: FakeNode) -> None:
    image = "dev.local/train:1"
    with node.script(named("train", namespace=track.namespace), image_pull_error(image)):
        track.apply()
        condition = track.wait_reason("Experiment", "ImagePullFailed")
        assert condition["status"] == "False"
        assert image in condition["message"]
    track.wait_live(1)


def test_unreachable_source_shows_and_recovers_when_it_answers(track: Track, node: FakeNode) -> None:
    node.lake.put(track.namespace, SOURCE, Broken("SourceUnreachable", "no answer from s3://lake/ within 10 s"))
    track.apply()
    condition = track.wait_reason("Dataset", "SourceUnreachable")
    assert (condition["status"], condition["message"]) == ("False", "no answer from s3://lake/ within 10 s")
    assert track.condition("Dataset", "SourceReachable")["status"] == "False"
    assert track.wait_reason("Experiment", "DatasetNotReady")["status"] == "False"
    node.lake.put(track.namespace, SOURCE, content("1"))
    track.wait_live(1)
    assert track.condition("Dataset", "SourceReachable")["status"] == "True"


def test_unreachable_source_leaves_consumers_what_they_have(track: Track, node: FakeNode) -> None:
    track.apply(track.dataset())
    good = track.wait_ready("Dataset")["status"]["lastGood"]
    node.lake.put(track.namespace, SOURCE, Broken("AccessDenied", "s3://lake/ denies access"))
    track.ask("Dataset", "look")
    track.wait_reason("Dataset", "AccessDenied", type_="SourceReachable")
    dataset = track.get("Dataset")
    assert dataset["status"]["lastGood"] == good
    assert track.condition("Dataset")["status"] == "True"


def test_model_that_does_not_load_shows_and_recovers(track: Track, node: FakeNode) -> None:
    with node.script(serves(1, namespace=track.namespace), CRASHED):
        track.apply()
        condition = track.wait_reason("ModelDeployment", "ModelLoadFailed")
        assert "ValueError: not a model" in condition["message"]
        assert condition["status"] == "False"
        with pytest.raises(AssertionError, match="no HTTPRoute"):
            track.routed_to()
    track.wait_live(1)


def test_trial_that_takes_too_long_is_ended(track: Track, node: FakeNode) -> None:
    with node.script(named("train", namespace=track.namespace), FOREVER):
        experiment = track.experiment(trials=1, spec__trial__timeout="2s", spec__trial__retries=0)
        track.apply(track.dataset(), experiment)
        condition = track.wait_reason("Experiment", "TimedOut")
    assert "2s" in condition["message"]


def test_trial_that_runs_out_of_memory_says_so(track: Track, node: FakeNode) -> None:
    with node.script(named("train", namespace=track.namespace), Outcome(exit_code=137, reason="OOMKilled")):
        track.apply(track.dataset(), track.experiment(trials=1, spec__trial__retries=0))
        assert "raise its limit" in track.wait_reason("Experiment", "OutOfMemory")["message"]


def test_evicted_trial_runs_again_and_counts_as_no_failure(track: Track, node: FakeNode) -> None:
    with node.script(named("train", namespace=track.namespace), FOREVER):
        track.apply(track.dataset(), track.experiment(trials=1, spec__trial__retries=0))
        eventually(track.running_trials, what="the trial runs")
        (pod,) = [name for name in track.names("Pod") if "-t0-" in name]
        metadata = {"name": pod, "namespace": track.namespace}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        track.api.request("POST", f"/api/v1/namespaces/{track.namespace}/pods/{pod}/eviction", body=body)
        eventually(lambda: pod not in track.names("Pod"), what="the pod is evicted")
    counts = track.wait_ready("Experiment")["status"]["run"]["trials"]
    assert (counts["succeeded"], counts["failed"]) == (1, 0)


def test_metric_that_the_trainer_does_not_write_is_named(track: Track, node: FakeNode) -> None:
    message = "metric 'auc' is missing; found: accuracy, loss"
    verdict = CollectVerdict(outcome="Failed", reason="MetricMissing", message=message, metrics={})
    left = Outcome(exit_code=1, message=verdict.model_dump_json(by_alias=True))
    with node.script(named("collect", namespace=track.namespace), left):
        track.apply(track.dataset(), track.experiment(trials=1, spec__trial__retries=0))
        assert message in track.wait_reason("Experiment", "MetricMissing")["message"]


def test_job_deleted_by_hand_is_run_again(track: Track, node: FakeNode) -> None:
    with node.script(named("train", namespace=track.namespace), FOREVER):
        track.apply(track.dataset(), track.experiment(trials=1))
        (job,) = eventually(track.running_trials, what="the trial runs")
        first = track.get("Job", job)["metadata"]["uid"]
    # What comes instead has the same name, and comes at once.
    track.api.delete("Job", track.namespace, job)
    eventually(lambda: first not in [j["metadata"]["uid"] for j in track.all("Job")], what="the first Job is gone")
    counts = track.wait_ready("Experiment")["status"]["run"]["trials"]
    assert (counts["succeeded"], counts["failed"]) == (1, 0)


def test_service_edited_by_hand_is_put_right(track: Track) -> None:
    track.apply()
    selector = track.wait_live(1) and track.get("Service")["spec"]["selector"]
    track.change("Service", "spec.selector", {"serving.kserve.io/inferenceservice": "other"})
    eventually(lambda: track.get("Service")["spec"]["selector"] == selector, what="the Service is as before")


def test_foreign_service_of_the_same_name_is_never_touched(track: Track) -> None:
    foreign = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": track.namespace},
        "spec": {"selector": {"app": "mine"}, "ports": [{"port": 80}]},
    }
    track.api.create(foreign)
    track.apply()
    condition = track.wait_reason("ModelDeployment", "NameConflict")
    assert "Service churn" in condition["message"]
    assert track.get("Service")["spec"]["selector"] == {"app": "mine"}
    track.api.delete("Service", track.namespace, NAME)
    track.wait_live(1)


def test_job_that_the_api_server_refuses_shows_its_words(track: Track) -> None:
    experiment = track.experiment(trials=1)
    experiment["spec"]["trial"]["job"]["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": 1}]
    track.apply(track.dataset(), experiment)
    condition = track.wait_reason("Experiment", "ApiRefused")
    assert "env" in condition["message"]
    track.change("Experiment", CONTAINERS, trainer("dev.local/train:1"))
    track.wait_ready("Experiment")
