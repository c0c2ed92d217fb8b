"""The whole path with a real API server, a real Job controller and an operator as a process, as users see it."""

import time
from functools import partial
from threading import Lock

import pytest
import yaml

from dev.controlplane import ControlPlane
from keelway.api.base import Manifest
from tests.apiserver.api import RefusedError
from tests.apiserver.audit import Audit
from tests.apiserver.cluster_setup import OPERATOR_USER
from tests.apiserver.fake_kserve import serves
from tests.apiserver.fake_node import FakeNode
from tests.apiserver.fake_worker import score
from tests.apiserver.operator_process import OperatorProcess
from tests.apiserver.pod_script import FOREVER, Container, Outcome, named
from tests.apiserver.searches import is_trial
from tests.apiserver.track import CONTAINERS, NAME, PARALLEL, SOURCE, TRIALS, Track, trainer
from tests.apiserver.waiting import eventually, stays
from tests.property.lifecycle.lake import Content, content

OWN_KINDS = ("Dataset", "Experiment", "ModelDeployment")


def test_data_becomes_a_served_model(track: Track, node: FakeNode, audit: Audit) -> None:
    track.apply()
    deployment = track.wait_live(1)
    (dataset_version,) = track.all("DatasetVersion")
    (model,) = track.all("ModelVersion")
    table = node.lake.at(track.namespace, SOURCE)
    assert isinstance(table, Content)
    assert dataset_version["spec"]["digest"] == table.digest
    assert dataset_version["spec"]["rows"] == table.rows
    (read,) = model["spec"]["inputs"]
    assert (read["datasetVersion"], read["digest"]) == (dataset_version["metadata"]["name"], table.digest)
    parameters = [parameters_of(pod) for pod in track.all("Pod") if parameters_of(pod)]
    best = max(parameters, key=score)
    assert len(parameters) == TRIALS
    assert model["spec"]["metrics"] == {"auc": score(best)}
    assert model["spec"]["producedBy"]["parameters"] == best
    service = f"{deployment['status']['live']['inferenceService']}"
    assert track.get("Service")["spec"]["selector"] == {"serving.kserve.io/inferenceservice": service}
    assert track.routed_to() == {f"{service}-predictor"}
    assert (
        track.get("InferenceService", service)["spec"]["predictor"]["model"]["storageUri"]
        == (model["spec"]["artifact"]["uri"])
    )
    assert deployment["status"]["url"] == "http://churn.example.com/"
    assert not [write for write in audit.writes(OPERATOR_USER, namespace=track.namespace) if write.code == 403]


def parameters_of(pod: Manifest) -> dict[str, object]:
    """The parameters of a trial's pod; none for any other."""
    return Container(pod, pod["spec"]["containers"][0]).parameters


def test_trials_run_side_by_side_but_no_more_than_asked_for(track: Track, node: FakeNode) -> None:
    spans: list[tuple[float, float]] = []
    lock = Lock()

    def train(_: Container) -> Outcome:
        with lock:
            spans.append((time.monotonic(), time.monotonic() + 0.5))
        return Outcome(seconds=0.5)

    with node.script(named("train", namespace=track.namespace), train):
        track.apply(track.dataset(), track.experiment())
        track.wait_ready("Experiment")
    at_once = [sum(start <= moment < end for start, end in spans) for moment, _ in spans]
    assert len(spans) == TRIALS
    assert max(at_once) == PARALLEL


def test_jobs_mount_no_token_and_hold_no_secret(track: Track) -> None:
    track.apply(track.dataset(spec__access__secretRef={"name": "lake"}), track.experiment())
    track.wait_ready("Experiment")
    for pod in track.all("Pod"):
        assert pod["spec"]["automountServiceAccountToken"] is False
        mounts = {c["name"]: [m["name"] for m in c.get("volumeMounts", [])] for c in pod["spec"]["containers"]}
        assert not [name for name in mounts.get("train", []) if "access" in name]


def test_applying_again_and_restarting_write_nothing(
    track: Track, plane: ControlPlane, operator: OperatorProcess, audit: Audit
) -> None:
    manifests = (track.dataset(), track.experiment(), track.deployment())
    text = yaml.safe_dump_all(manifests)
    plane.kubectl("apply", "-f", "-", input=text)
    track.wait_live(1)
    wait_quiet(audit)
    mark = audit.mark()
    plane.kubectl("apply", "-f", "-", input=text)
    operator.restart()
    eventually(lambda: has_looked_at_everything(operator), what="the operator has looked at every kind")
    stays(
        lambda: audit.writes(OPERATOR_USER, since=mark, namespace=track.namespace),
        seconds=2,
        what="writes of the operator",
    )
    assert audit.writes(OPERATOR_USER, since=mark, namespace=track.namespace) == []
    track.ask("Dataset", "once more")
    eventually(
        lambda: audit.writes(OPERATOR_USER, since=mark, namespace=track.namespace),
        what="a look that was asked for is a write",
    )


def has_looked_at_everything(operator: OperatorProcess) -> bool:
    """Whether every kind was looked at at least once."""
    return len(operator.looks()) == 5


def wait_quiet(audit: Audit) -> None:
    """Wait until the operator has written nothing for a second."""

    def quiet() -> bool:
        mark = audit.mark()
        time.sleep(1)
        return not audit.writes(OPERATOR_USER, since=mark)

    eventually(quiet, what="the operator comes to rest")


def test_new_data_replaces_the_live_model_when_the_new_one_is_ready(track: Track, node: FakeNode) -> None:
    track.apply()
    first = track.wait_live(1)["status"]["live"]["inferenceService"]
    with node.script(serves(2, namespace=track.namespace), Outcome(never_ends=True, ready=False)):
        node.lake.put(track.namespace, SOURCE, content("2", rows=200))
        track.ask("Dataset", "new data")
        condition = track.wait_reason("ModelDeployment", "ModelStarting", type_="Progressing")
        assert "version 1 keeps serving" in condition["message"]
        stays(track.routed_to, seconds=1, what="the route")
        assert track.routed_to() == {f"{first}-predictor"}
    status = track.wait_live(2)["status"]
    assert track.routed_to() == {f"{status['live']['inferenceService']}-predictor"}
    assert status["soaking"]["inferenceService"] == first
    assert track.get("InferenceService", first)
    assert [line["outcome"] for line in status["history"]] == ["Promoted", "Replaced"]
    newest = track.get("ModelVersion", "churn-v2")
    assert newest["spec"]["inputs"][0]["digest"] == content("2", rows=200).digest


def test_version_before_goes_after_its_soak(track: Track, node: FakeNode) -> None:
    track.apply(track.dataset(), track.experiment(trials=1), track.deployment(spec__rollout__soak="1s"))
    first = track.wait_live(1)["status"]["live"]["inferenceService"]
    node.lake.put(track.namespace, SOURCE, content("2"))
    track.ask("Dataset", "new data")
    track.wait_live(2)
    eventually(lambda: first not in track.names("InferenceService"), what="the version before is gone")
    assert "soaking" not in track.get("ModelDeployment")["status"]


def test_changed_spec_supersedes_the_run(track: Track, node: FakeNode) -> None:
    def train(container: Container) -> Outcome:
        return FOREVER if container.spec["image"].endswith(":slow") else Outcome()

    with node.script(named("train", namespace=track.namespace), train):
        slow = track.experiment(trials=1)
        slow["spec"]["trial"]["job"]["template"]["spec"]["containers"] = trainer("dev.local/train:slow")
        track.apply(track.dataset(), slow)
        (job,) = eventually(track.running_trials, what="the trial runs")
        track.change("Experiment", CONTAINERS, trainer("dev.local/train:fast"))
        status = track.wait_ready("Experiment")["status"]
        eventually(lambda: job not in track.names("Job"), what="the Job of the superseded run is gone")
    assert status["run"]["number"] == 2
    assert [(run["number"], run["state"]) for run in status["runs"]] == [(1, "Superseded")]
    assert track.names("ModelVersion") == ["churn-v1"]


def test_suspended_experiment_starts_nothing_until_resumed(track: Track) -> None:
    track.apply(track.dataset(), track.experiment(spec__suspend=True))
    track.wait_reason("Experiment", "Suspended")
    track.wait_ready("Dataset")
    stays(track.running_trials, seconds=1, what="Jobs of trials")
    track.change("Experiment", "spec.suspend", False)
    track.wait_ready("Experiment")


def test_run_with_the_same_hash_is_never_paid_for_twice(track: Track, audit: Audit) -> None:
    track.apply(track.dataset(), track.experiment())
    track.wait_ready("Experiment")
    mark = audit.mark()
    track.change("Experiment", "spec.search.seed", 7)
    eventually(lambda: run_number(track) == 2, what="another seed is another run")
    track.wait_ready("Experiment")
    track.change("Experiment", "spec.search.seed", 42)
    eventually(lambda: track.condition("Experiment")["observedGeneration"] == 3, what="the change was seen")
    track.wait_ready("Experiment")
    writes = audit.writes(OPERATOR_USER, since=mark, namespace=track.namespace)
    made = [write.name for write in writes if (write.verb, write.resource) == ("create", "jobs")]
    assert len([name for name in made if is_trial(name)]) == TRIALS
    assert sorted(track.names("ModelVersion")) == ["churn-v1", "churn-v2"]


def run_number(track: Track) -> int:
    """Number of the current run."""
    return int(track.get("Experiment")["status"]["run"]["number"])


def test_deletion_ends_and_leaves_the_records(track: Track) -> None:
    track.apply()
    track.wait_live(1)
    for kind in OWN_KINDS:
        track.api.delete(kind, track.namespace, NAME)
    for kind in (*OWN_KINDS, "Job", "Pod", "InferenceService", "HTTPRoute", "Deployment"):
        eventually(partial(is_empty, track, kind), what=f"no {kind} is left")
    assert track.names("ModelVersion") == ["churn-v1"]
    assert len(track.names("DatasetVersion")) == 1


def is_empty(track: Track, kind: str) -> bool:
    """Whether no object of a kind is left."""
    return not track.names(kind)


def test_operator_has_no_right_to_read_secrets(track: Track) -> None:
    for verb in ("get", "list", "watch"):
        asked = {"namespace": track.namespace, "verb": verb, "resource": "secrets"}
        review = {"spec": {"user": OPERATOR_USER, "resourceAttributes": asked}}
        answer = track.api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=review)
        assert answer["status"]["allowed"] is False


def test_track_that_is_applied_backwards_ends_the_same(track: Track) -> None:
    for manifest in (track.deployment(), track.experiment(), track.dataset()):
        track.apply(manifest)
    track.wait_live(1)


def test_refusal_changes_nothing(track: Track) -> None:
    track.apply()
    track.wait_live(1)
    before = track.get("Experiment")
    with pytest.raises(RefusedError, match="exactly one of float, int, choice"):
        track.apply(track.experiment() | {"spec": {**before["spec"], "parameters": [{"name": "x"}]}})
    assert track.get("Experiment")["spec"] == before["spec"]
