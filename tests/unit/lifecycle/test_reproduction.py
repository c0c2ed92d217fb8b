"""A model is trained again from its record, once, and what comes out is compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from keelway.api.jobs import ORDER_VARIABLE, CollectOrder, StageOrder
from keelway.api.kinds import Key
from keelway.engine.objects import key_of
from keelway.lifecycle.experiment.trials import facts
from keelway.manifests.trial_job import RUN_ANNOTATION
from tests.unit.lifecycle.builders import EXPERIMENT, NAMESPACE, a_model_version
from tests.unit.lifecycle.pods import Ended, a_pod_of, a_waiting_pod_of, ends
from tests.unit.lifecycle.reproductions import (
    AGAIN,
    DIGEST,
    IMAGE,
    METRICS,
    MODEL,
    OTHER_DIGEST,
    TELLERS,
    TEMPLATE,
    Mortal,
    Story,
    by_another,
    by_its_maker,
    job_ends,
    recorded_scene,
)
from tests.unit.lifecycle.scene import Scene, names
from tests.unit.lifecycle.trials import publish

Teller = Callable[..., Story]
everybody = pytest.mark.parametrize("tell", TELLERS, ids=["its maker", "another"])


def container(job: Any, name: str) -> Any:
    pod = job["spec"]["template"]["spec"]
    return next(c for c in (*pod["initContainers"], *pod["containers"]) if c["name"] == name)


def variables(job: Any, name: str) -> dict[str, str]:
    return {given["name"]: given["value"] for given in container(job, name)["env"]}


# what is done again


def test_the_job_is_what_the_record_says_whatever_the_experiment_says_now() -> None:
    mlflow = {"mlflow": {"uri": "http://mlflow:5000"}}
    story = by_another(search={"algorithm": "TPE", "seed": 1}, earlyStopping={}, tracking=mlflow).asks()
    (job,) = story.jobs
    trained = json.loads(json.dumps(story.scene.get(MODEL)["spec"]["producedBy"]))
    told = variables(job, "train")
    assert told["KEELWAY_PARAM_DEPTH"] == str(trained["parameters"]["depth"])
    assert (told["KEELWAY_SEED"], told["KEELWAY_TRIAL"]) == ("7", "0")
    assert container(job, "train")["image"] == IMAGE
    assert container(job, "proxy")["image"] == "proxy:1"
    staged = StageOrder.model_validate_json(variables(job, "stage")[ORDER_VARIABLE])
    (read,) = story.scene.get(MODEL)["spec"]["inputs"]
    assert [(given.name, given.digest, given.split) for given in staged.inputs] == [
        ("training", read["digest"], "train")
    ]
    assert staged.parameters == trained["parameters"]
    collect = CollectOrder.model_validate_json(variables(job, "collect")[ORDER_VARIABLE])
    assert (collect.objective, collect.follow, collect.mlflow) == ("auc", False, None)
    assert collect.destination.uri.startswith("s3://elsewhere/")
    assert RUN_ANNOTATION not in job["metadata"]["annotations"]


def test_a_trainer_that_looks_at_its_trial_sees_the_recorded_number() -> None:
    story = by_its_maker()
    origin = {"template": TEMPLATE, "container": "train", "image": "registry.example.com/train:1", "trial": 5}
    story.scene.put(a_model_version(9, producedBy=origin))
    story.asks("churn-v9")
    assert variables(story.jobs[0], "train")["KEELWAY_TRIAL"] == "5"


@everybody
def test_the_beginning_is_recorded_before_the_job_is_made(tell: Teller) -> None:
    story = tell().asks()
    assert story.scene.writes[:2] == ["status Experiment", "create Job"]
    assert story.condition == "Unknown Reproducing"
    assert (story.recorded["state"], story.recorded["job"]) == ("Running", names(story.jobs)[0])
    assert len(story.jobs) == 1


def test_a_model_goes_to_a_directory_of_its_own_beside_those_of_runs() -> None:
    story = by_its_maker().asks()
    order = CollectOrder.model_validate_json(variables(story.jobs[0], "collect")[ORDER_VARIABLE])
    recorded = story.scene.get(MODEL)["spec"]["artifact"]["uri"]
    assert order.destination.uri.startswith("s3://models/churn/")
    assert not recorded.startswith(order.destination.uri)


IMAGES = [
    ("a digest that a registry knows", "registry.example.com/train:1", IMAGE, IMAGE),
    ("with a port", "reg:5000/a/train:1", f"reg:5000/a/train@{DIGEST}", f"reg:5000/a/train@{DIGEST}"),
    ("as older nodes write it", "registry.example.com/train", f"docker-pullable://{IMAGE}", IMAGE),
    ("a short name", "train:1", f"docker.io/library/train@{DIGEST}", f"docker.io/library/train@{DIGEST}"),
    (
        "pinned already",
        f"train:1@{OTHER_DIGEST}",
        f"docker.io/library/train@{DIGEST}",
        f"docker.io/library/train@{DIGEST}",
    ),
    ("no digest of a manifest", "train:1", DIGEST, "train:1"),
    ("loaded under another name", "train:1", f"docker.io/library/import-2026@{DIGEST}", "train:1"),
    ("a name that only ends alike", "train:1", f"docker.io/library/restrain@{DIGEST}", "train:1"),
    ("no digest", "train:1", "docker.io/library/train@sha256:1", "train:1"),
    ("nothing", "train:1", "", "train:1"),
]


@pytest.mark.parametrize(("written", "ran", "expected"), [pytest.param(*c[1:], id=c[0]) for c in IMAGES])
def test_the_image_is_pinned_where_it_can_be_pulled_by_digest(written: str, ran: str, expected: str) -> None:
    assert image_run_for(written, ran) == expected


def test_an_image_that_is_never_pulled_is_not_pinned() -> None:
    assert (
        image_run_for("registry.example.com/train:1", IMAGE, imagePullPolicy="Never") == "registry.example.com/train:1"
    )


def image_run_for(written: str, ran: str, **fields: Any) -> str:
    story = by_its_maker()
    template = {"spec": {"containers": [{"name": "train", "image": written, **fields}]}}
    origin = {"template": template, "container": "train", "image": written, "imageID": ran}
    story.scene.put(a_model_version(9, producedBy=origin, metrics=METRICS, objective="auc"))
    story.asks("churn-v9")
    return str(container(story.jobs[0], "train")["image"])


# what comes out

SAME = [
    ("the same bytes", {}, "True SameBytes", f"the same bytes came out, {DIGEST}"),
    ("the same bytes although a metric differs", {"metrics": {"auc": 0.1}}, "True SameBytes", DIGEST),
    ("other bytes, the same metrics", {"digest": OTHER_DIGEST}, "True SameMetrics", "(auc 0.914)"),
    (
        "metrics that differ by rounding",
        {"digest": OTHER_DIGEST, "metrics": {"auc": 0.914 * (1 + 5e-10), "loss": 0.25, "seconds": 3.0}},
        "True SameMetrics",
        f"its bytes are {OTHER_DIGEST}, recorded are {DIGEST}",
    ),
]
DIFFERENT = [
    ("a metric differs", {"auc": 0.913, "loss": 0.25}, "auc 0.914 -> 0.913 (-0.001)"),
    ("a metric differs a little more than by rounding", {"auc": 0.914 * (1 + 2e-9), "loss": 0.25}, "auc 0.914 -> "),
    ("a metric is not there any more", {"auc": 0.914}, "loss 0.25 -> none"),
    ("the largest difference first", {"auc": 0.9, "loss": 0.5}, "loss 0.25 -> 0.5 (+0.25), auc 0.914 -> 0.9 (-0.014)"),
]


@everybody
@pytest.mark.parametrize(("verdict", "condition", "words"), [pytest.param(*c[1:], id=c[0]) for c in SAME])
def test_what_comes_out_the_same_is_reproduced(
    tell: Teller, verdict: dict[str, Any], condition: str, words: str
) -> None:
    story = tell().asks()
    story.ends(**verdict)
    assert story.condition == condition
    assert words in story.message
    assert story.recorded["state"] == "Reproduced"
    assert story.scene.told() == ["Reproduced"]


@everybody
@pytest.mark.parametrize(("metrics", "words"), [pytest.param(*c[1:], id=c[0]) for c in DIFFERENT])
def test_metrics_that_differ_are_told_with_digests(tell: Teller, metrics: dict[str, float], words: str) -> None:
    story = tell().asks()
    story.ends(digest=OTHER_DIGEST, metrics=metrics)
    assert story.condition == "False MetricsDiffer"
    assert words in story.message
    assert (story.recorded["digest"], story.recorded["recordedDigest"]) == (OTHER_DIGEST, DIGEST)
    assert OTHER_DIGEST in story.message
    assert DIGEST in story.message
    assert story.scene.told() == ["ReproductionDiffers"]


def test_many_differences_keep_the_status_small() -> None:
    scene = recorded_scene()
    many = {f"{'m' * 40}-{number}": float(number + 1) for number in range(50)}
    scene.remove(MODEL)
    origin = {"template": TEMPLATE, "container": "train", "image": "registry.example.com/train:1"}
    scene.put(a_model_version(1, producedBy=origin, metrics={**many, "auc": 0.5}, objective="auc"))
    story = Story(scene, EXPERIMENT).asks()
    story.ends(digest=OTHER_DIGEST, metrics={"auc": 0.5, **{name: -value for name, value in many.items()}})
    assert len(story.recorded["metrics"]) == 8
    assert "and 47 more" in story.message
    assert len(json.dumps(story.scene.status(EXPERIMENT))) < 16_384


def test_another_image_is_named_where_metrics_differ() -> None:
    story = by_its_maker().asks()
    story.ends(
        digest=OTHER_DIGEST, metrics={"auc": 0.1, "loss": 0.25}, image=f"registry.example.com/train@{OTHER_DIGEST}"
    )
    assert f"the image is another: registry.example.com/train@{OTHER_DIGEST}, recorded is {IMAGE}" in story.message


def test_a_record_without_metrics_can_only_give_the_same_bytes() -> None:
    scene = recorded_scene()
    origin = {"template": TEMPLATE, "container": "train", "image": "registry.example.com/train:1"}
    scene.put(a_model_version(9, producedBy=origin))
    story = Story(scene, EXPERIMENT).asks("churn-v9")
    story.ends(digest=OTHER_DIGEST)
    assert story.condition == "False MetricsDiffer"
    assert "no metrics to compare" in story.message


def test_an_experiment_that_only_reproduces_is_ready_when_it_did() -> None:
    story = by_another().asks()
    assert story.scene.standing(AGAIN) == "Reconciling Reproducing"
    story.ends()
    assert story.scene.standing(AGAIN) == "Ready SameBytes"
    assert "run" not in story.scene.status(AGAIN)
    story.scene.annotate(AGAIN, reconcile="1")
    story.settle()
    story.ends(digest=OTHER_DIGEST, metrics={"auc": 0.1, "loss": 0.25})
    assert story.scene.standing(AGAIN) == "Stalled MetricsDiffer"


def test_an_experiment_that_has_a_run_stands_as_that_does() -> None:
    story = by_its_maker().asks()
    assert story.scene.standing(EXPERIMENT) == "Ready RunSucceeded"
    story.ends(digest=OTHER_DIGEST, metrics={"auc": 0.1, "loss": 0.25})
    assert story.scene.standing(EXPERIMENT) == "Ready RunSucceeded"
    assert story.scene.condition(EXPERIMENT, "Succeeded")["status"] == "True"


# once


@everybody
def test_what_is_recorded_stays_whatever_becomes_of_the_job_and_of_the_record(tell: Teller) -> None:
    story = tell().asks()
    story.ends()
    before = story.recorded
    for job in [*story.jobs, *story.sweeps]:
        story.scene.remove(key_of(job))
    story.scene.wait(86_400)
    story.scene.remove(MODEL)
    story.settle()
    assert (story.jobs, story.recorded) == ([], before)
    assert story.condition == "True SameBytes"


@everybody
def test_a_new_request_does_it_again(tell: Teller) -> None:
    story = tell().asks()
    story.ends()
    story.scene.annotate(story.who, reconcile="once more")
    story.settle()
    assert story.condition == "Unknown Reproducing"
    assert len(story.running) == 1
    assert len({job["metadata"]["name"] for job in story.jobs}) == 2
    story.ends(digest=OTHER_DIGEST)
    assert (story.condition, story.recorded["request"]) == ("True SameMetrics", "once more")


@everybody
def test_another_model_of_the_same_name_is_another_task(tell: Teller) -> None:
    story = tell().asks()
    story.ends()
    record = story.scene.get(MODEL)
    story.scene.remove(MODEL)
    story.scene.put({**record, "metadata": {"name": MODEL.name, "namespace": NAMESPACE}})
    story.settle()
    assert (story.condition, len(story.running)) == ("Unknown Reproducing", 1)


# what goes wrong


def lost(reason: str) -> Callable[..., None]:
    """The Job ends for this reason, and its pod is not there to say how."""

    def happens(scene: Scene, job: Any) -> None:
        ends(scene, job, reason)
        scene.wait(16)

    return happens


OWN = [
    ("the trainer fails", lambda s, j: job_ends(s, j, train=Ended(3)), "TrainerFailed"),
    ("no metric", lambda s, j: job_ends(s, j, outcome="Failed", reason="MetricMissing"), "MetricMissing"),
    ("it takes too long", lost("DeadlineExceeded"), "TimedOut"),
]
OTHERS = [
    ("the pod is lost", lost("BackoffLimitExceeded"), "Disrupted"),
    ("the upload fails", lambda s, j: job_ends(s, j, outcome="Failed", reason="UploadFailed"), "UploadFailed"),
]


@everybody
@pytest.mark.parametrize(("happens", "reason"), [pytest.param(*c[1:], id=c[0]) for c in OWN])
def test_a_training_that_fails_by_itself_is_tried_as_often_as_a_trial(
    tell: Teller, happens: Callable[..., Any], reason: str
) -> None:
    story = tell(trial={"job": {"template": TEMPLATE}, "container": "train", "retries": 2}).asks()
    for failures in (1, 2):
        happens(story.scene, story.running[0])
        story.settle()
        assert (story.condition, story.recorded["failures"]) == ("Unknown Reproducing", failures)
        assert reason in story.message
    happens(story.scene, story.running[0])
    story.settle()
    assert story.condition == "False ReproductionFailed"
    assert reason in story.message
    assert [facts(job).attempt for job in sorted(story.jobs, key=lambda j: facts(j).attempt)] == [0, 1, 2]
    assert story.running == []
    assert story.scene.told() == ["ReproductionFailed"]


@everybody
@pytest.mark.parametrize(("happens", "reason"), [pytest.param(*c[1:], id=c[0]) for c in OTHERS])
def test_a_training_that_is_disturbed_is_tried_again_ever_more_slowly(
    tell: Teller, happens: Callable[..., Any], reason: str
) -> None:
    story, waits = tell().asks(), []
    for _ in range(4):
        happens(story.scene, story.running[0])
        story.settle()
        assert (story.running, story.recorded["failures"]) == ([], 0)
        assert reason in story.message
        waits.append(story.scene.decide(story.who).look_again_after)
        story.scene.wait(waits[-1] or 0)
        story.settle()
    assert waits == [10, 20, 40, 80]
    story.ends()
    assert story.condition == "True SameBytes"


def test_a_job_that_was_deleted_before_its_end_is_made_again() -> None:
    story = by_its_maker().asks()
    before = names(story.jobs)
    story.scene.remove(key_of(story.jobs[0]))
    story.settle()
    assert names(story.jobs) == before
    story.ends()
    assert story.condition == "True SameBytes"


def test_trouble_of_the_pod_shows() -> None:
    story = by_another().asks()
    a_waiting_pod_of(story.scene, story.jobs[0], "CreateContainerConfigError", "no such key", "train")
    story.settle()
    assert "PodConfigInvalid" in story.message
    assert story.scene.standing(AGAIN) == "Reconciling Reproducing"


@everybody
def test_an_image_whose_digest_nobody_has_is_run_as_written(tell: Teller) -> None:
    story = tell().asks()
    first = story.running[0]
    a_waiting_pod_of(story.scene, first, "ImagePullBackOff", "not found", "train")
    story.settle()
    assert names(story.running) == names([first])
    assert "ImagePullFailed" in story.message
    story.scene.wait(story.scene.decide(story.who).look_again_after or 0)
    story.settle()
    (second,) = story.running
    assert container(second, "train")["image"] == story.recorded["image"] == "registry.example.com/train:1"
    assert key_of(second) != key_of(first)
    a_waiting_pod_of(story.scene, second, "ImagePullBackOff", "not found", "train")
    story.scene.wait(600)
    story.settle()
    assert names(story.running) == names([second])


def nothing(scene: Scene) -> str:
    scene.remove(MODEL)
    return "nothing"


def external(scene: Scene) -> str:
    scene.put(a_model_version(9))
    return "churn-v9"


def without_template(scene: Scene) -> str:
    scene.put(a_model_version(9, producedBy={"experiment": "churn-gbt"}))
    return "churn-v9"


def without_trainer(scene: Scene) -> str:
    scene.put(a_model_version(9, producedBy={"template": {"spec": {"containers": []}}}))
    return "churn-v9"


def with_another_trainer(scene: Scene) -> str:
    scene.put(a_model_version(9, producedBy={"template": TEMPLATE, "container": "fit"}))
    return "churn-v9"


def data_key(scene: Scene) -> Key:
    return Key("DatasetVersion", NAMESPACE, scene.get(MODEL)["spec"]["inputs"][0]["datasetVersion"])


def data_gone(scene: Scene) -> str:
    scene.remove(data_key(scene))
    return MODEL.name


def files_gone(scene: Scene) -> str:
    scene.remove(Key("ConfigMap", NAMESPACE, "churn-v1-files"))
    return MODEL.name


def other_data(scene: Scene) -> str:
    version = scene.get(data_key(scene))
    scene.put({**version, "spec": {**version["spec"], "digest": f"listing:{OTHER_DIGEST}"}})
    return MODEL.name


REFUSED = [
    ("no such record", nothing, "there is no ModelVersion nothing in namespace ml"),
    ("a model from outside", external, "trained outside of Keelway"),
    ("no template in the record", without_template, "holds no pod template"),
    ("a template without containers", without_trainer, "has no container"),
    ("a template without the container that trains", with_another_trainer, "has no container 'fit'"),
    ("the record of the data is gone", data_gone, "was deleted: apply it again"),
    ("the list of files is gone", files_gone, "apply its ConfigMaps again"),
    ("the data is other data", other_data, "is of other data"),
]


@everybody
@pytest.mark.parametrize(("happens", "words"), [pytest.param(*c[1:], id=c[0]) for c in REFUSED])
def test_what_cannot_be_done_says_why_and_what_to_do(tell: Teller, happens: Callable[[Scene], str], words: str) -> None:
    story = tell(trigger={"onNewDatasetVersion": {"policy": "Never"}})
    story.asks(happens(story.scene))
    assert story.condition == "False NotReproducible"
    assert words in story.message
    assert (story.jobs, story.sweeps) == ([], [])
    assert story.scene.told() == ["ReproductionFailed"]
    story.scene.wait(60)
    assert story.scene.settle(story.who) == [], "nothing more is written"


def test_it_begins_when_what_was_missing_is_there() -> None:
    story = by_another()
    version = story.scene.get(data_key(story.scene))
    story.scene.remove(key_of(version))
    story.asks()
    assert story.condition == "False NotReproducible"
    story.scene.put(version)
    story.scene.put(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": version["spec"]["manifest"]["ref"]["configMap"], "namespace": NAMESPACE},
        }
    )
    story.settle()
    assert (story.condition, len(story.running)) == ("Unknown Reproducing", 1)
    story.ends()
    assert story.condition == "True SameBytes"


def test_it_begins_when_a_record_of_that_name_is_there() -> None:
    story = by_another().asks("churn-v9")
    assert story.condition == "False NotReproducible"
    origin = {"template": TEMPLATE, "container": "train", "image": "registry.example.com/train:1"}
    story.scene.put(a_model_version(9, producedBy=origin, metrics=METRICS, objective="auc"))
    story.settle()
    assert (story.condition, len(story.running)) == ("Unknown Reproducing", 1)


@everybody
def test_a_record_that_is_deleted_meanwhile_ends_it(tell: Teller) -> None:
    story = tell().asks()
    story.scene.remove(MODEL)
    story.settle()
    assert story.condition == "False NotReproducible"
    assert (story.running, len(story.sweeps)) == ([], 1)


# when it is not wanted any more


@everybody
@pytest.mark.parametrize("then", ["", "churn-v9"])
def test_what_is_not_asked_for_any_more_is_stopped_and_forgotten(tell: Teller, then: str) -> None:
    story = tell().asks()
    before = names(story.jobs)
    story.scene.put(a_model_version(9))
    story.scene.change(story.who, reproduce=then)
    story.settle()
    assert not set(before) & set(names(story.jobs))
    assert story.condition == ("False NotReproducible" if then else "")
    assert ("reproduction" in story.scene.status(story.who)) == bool(then)
    assert len(story.sweeps) == 1


def test_files_are_not_swept_before_the_pod_that_writes_them_has_ended() -> None:
    story = by_its_maker().asks()
    (job,) = story.running
    pod = a_pod_of(story.scene, job, phase="Running")
    ending = {**pod["metadata"], "deletionTimestamp": pod["metadata"]["creationTimestamp"], "ownerReferences": []}
    story.scene.change(EXPERIMENT, reproduce="")
    story.scene.remove(key_of(job))
    story.scene.put({**pod, "metadata": ending})
    story.settle()
    assert (story.sweeps, story.recorded["state"]) == ([], "Running")
    story.scene.wait(story.scene.decide(EXPERIMENT).look_again_after or 0)
    story.settle()
    assert len(story.sweeps) == 1, "its node is gone, and the pod with it"


def test_what_was_over_is_forgotten_without_another_sweep() -> None:
    story = by_its_maker().asks()
    story.ends()
    (sweep,) = story.sweeps
    story.scene.remove(key_of(sweep))
    story.scene.change(EXPERIMENT, reproduce="")
    story.settle()
    assert (story.condition, story.sweeps) == ("", [])


def test_a_job_that_no_status_tells_of_is_stopped() -> None:
    story = by_its_maker().asks()
    story.scene.change(EXPERIMENT, reproduce="")
    status = story.scene.status(EXPERIMENT)
    status.pop("reproduction")
    story.scene.put({**story.scene.get(EXPERIMENT), "status": status})
    story.settle()
    assert story.jobs == []


def test_an_experiment_that_only_reproduced_begins_its_first_run_when_it_may() -> None:
    story = by_another().asks()
    story.scene.change(AGAIN, reproduce="")
    story.settle()
    assert story.jobs == []
    assert story.scene.status(AGAIN)["run"]["state"] == "Running"


# in its turn


def test_it_waits_for_the_run_that_goes_on() -> None:
    story = by_its_maker(trigger={"cooldown": "0s"})
    publish(story.scene, 2, "second")
    story.settle()
    assert story.scene.status(EXPERIMENT)["run"]["state"] == "Running"
    story.asks()
    assert (story.jobs, story.condition) == ([], "")
    recorded_scene(story.scene)
    story.settle()
    assert (len(story.running), story.condition) == (1, "Unknown Reproducing")


def test_a_run_may_begin_while_it_trains() -> None:
    story = by_its_maker(trigger={"cooldown": "0s"}).asks()
    publish(story.scene, 2, "second")
    story.settle()
    assert story.scene.status(EXPERIMENT)["run"]["number"] == 2
    assert len(story.running) == 1
    job_ends(story.scene, story.running[0])
    story.settle()
    assert story.condition == "Unknown Reproducing"
    recorded_scene(story.scene)
    story.settle()
    assert story.condition == "True SameBytes"


def test_what_is_not_wanted_ends_although_a_run_goes_on() -> None:
    story = by_its_maker(trigger={"cooldown": "0s"}).asks()
    publish(story.scene, 2, "second")
    story.settle()
    story.scene.change(EXPERIMENT, reproduce="")
    story.settle()
    assert (story.jobs, story.condition) == ([], "")
    assert story.scene.status(EXPERIMENT)["run"]["state"] == "Running"


@everybody
def test_a_suspended_experiment_begins_nothing(tell: Teller) -> None:
    story = tell(suspend=False)
    story.scene.change(story.who, suspend=True)
    story.asks()
    assert (story.jobs, story.condition) == ([], "")
    story.scene.change(story.who, suspend=False)
    story.settle()
    assert len(story.running) == 1
    story.scene.change(story.who, suspend=True)
    job_ends(story.scene, story.running[0], train=Ended(1))
    story.settle()
    assert (story.running, story.condition) == ([], "Unknown Reproducing")
    assert "spec.suspend is true" in story.message
    story.scene.change(story.who, suspend=False)
    story.settle()
    story.ends()
    assert story.condition == "True SameBytes"


@everybody
def test_what_it_uploaded_is_swept_once_it_is_compared(tell: Teller) -> None:
    story = tell().asks()
    order = CollectOrder.model_validate_json(variables(story.jobs[0], "collect")[ORDER_VARIABLE])
    story.ends()
    (sweep,) = story.sweeps
    told = json.loads(sweep["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"])
    assert told["location"]["uri"] == order.destination.uri
    assert told["keep"] == []


# killed at any moment


def told_with(scene: Mortal, look: int, after: int) -> Story:
    """Asked, failed once, trained, compared; in look number `look` the operator dies after so many writes."""
    for manifest in everything(recorded_scene()):
        scene.put(manifest)
    scene.looks.clear()
    scene.killed = (look, after)
    story = Story(scene, EXPERIMENT).asks()
    job_ends(scene, story.running[0], train=Ended(1))
    story.settle()
    story.ends()
    return story


def everything(scene: Scene) -> list[Any]:
    return [manifest for kind in scene.store.counts() for manifest in scene.all(kind)]


def test_a_crash_between_any_two_writes_changes_nothing() -> None:
    calm = told_with(calmly := Mortal(), -1, 0)
    moments = [(look, after) for look, writes in enumerate(calmly.looks) for after in range(writes)]
    assert len(moments) > 10
    for look, after in moments:
        story = told_with(Mortal(), look, after)
        assert (story.recorded, story.condition) == (calm.recorded, "True SameBytes"), (look, after)
        assert names(story.scene.all("Job")) == names(calm.scene.all("Job")), (look, after)
        assert story.scene.writes.count("create Job") == 3, (look, after)
