"""The Job of one trial: who sees the data, the secrets and the parameters, and that the user's pod stays the user's."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.api.dataset_version import DatasetVersion
from keelway.api.experiment import Experiment
from keelway.api.jobs import CollectOrder, StageOrder
from keelway.api.resource import Access
from keelway.manifests.staged_pod import PodInput, pod_input
from keelway.manifests.trial_job import TrialJob, trial_job
from tests.unit.lifecycle.builders import a_dataset_version, an_experiment
from tests.unit.manifests.pod_security import violations
from tests.unit.manifests.pods_of_jobs import (
    claim_mount,
    container,
    mounted,
    mounted_names,
    order,
    pod,
    secret_volumes,
    variables,
)

BUCKET = {"endpoint": "http://minio:9000", "region": "eu", "secretRef": {"name": "lake"}}
TEMPLATE: Manifest = {
    "metadata": {"labels": {"team": "growth"}, "annotations": {"sidecar.istio.io/inject": "false"}},
    "spec": {
        "nodeSelector": {"gpu": "yes"},
        "serviceAccountName": "trainer",
        "initContainers": [{"name": "warm-up", "image": "warm:1"}],
        "containers": [
            {
                "name": "fit",
                "image": "fit:1",
                "command": ["python", "fit.py"],
                "args": ["--fast"],
                "env": [{"name": "MODE", "value": "full"}],
                "resources": {"limits": {"memory": "8Gi"}},
                "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
            },
            {"name": "proxy", "image": "proxy:1", "env": [{"name": "PORT", "value": "1"}]},
        ],
        "volumes": [{"name": "cache", "emptyDir": {}}],
    },
}


def experiment(template: Manifest | None = None, **output: Any) -> Experiment:
    spec = an_experiment()["spec"]
    trial = {"job": {"template": template or TEMPLATE}, "timeout": "90m", "container": "" if template else "fit"}
    manifest = an_experiment(trial=trial, output={**spec["output"], **output}, retention={"runs": 1, "jobTTL": "2h"})
    manifest["metadata"]["uid"] = "u-1"
    return Experiment.model_validate(manifest)


def an_input(name: str, uri: str, access: dict[str, Any], index: int = 0, *, parts: int = 1) -> PodInput:
    version = a_dataset_version(index + 1, "first", uid="u-0")
    spec = version["spec"]
    spec["source"]["uri"] = uri
    spec["manifest"]["parts"] = parts
    spec["splitRule"] = {"rules": [{"name": "train", "percent": 80}]}
    return pod_input(index, name, DatasetVersion.model_validate(version), Access.model_validate(access), split="train")


INPUTS = (an_input("training", "s3://lake/churn/", BUCKET), an_input("zip-codes", "pvc://claim/codes", {}, 1))


def job(of: Experiment | None = None, **fields: Any) -> Manifest:
    trial = TrialJob(
        name="churn-gbt-t3-01234567",
        run="0123456789ab",
        number=3,
        attempt=1,
        parameters={"learning_rate": 0.1, "max-depth": 4, "booster": "dart"},
        inputs=INPUTS,
        destination="s3://models/churn/0123456789ab/3",
        **fields,
    )
    return trial_job(of or experiment(access=BUCKET), trial, image="worker:1", pull_policy="IfNotPresent")


def test_data_come_first_then_the_sidecar_then_the_users_containers() -> None:
    spec = pod(job())
    assert [c["name"] for c in spec["initContainers"]] == ["stage", "collect", "warm-up"]
    assert [c["name"] for c in spec["containers"]] == ["fit", "proxy"]
    assert container(job(), "collect")["restartPolicy"] == "Always", "a sidecar: it runs while the others do"
    assert "restartPolicy" not in container(job(), "stage")


def test_the_trainer_sees_data_parameters_and_where_to_write() -> None:
    assert variables(job(), "fit") == {
        "MODE": "full",
        "KEELWAY_DATA_TRAINING": "/keelway/data/training",
        "KEELWAY_DATA_ZIP_CODES": "/keelway/data/zip-codes",
        "KEELWAY_PARAM_LEARNING_RATE": "0.1",
        "KEELWAY_PARAM_MAX_DEPTH": "4",
        "KEELWAY_PARAM_BOOSTER": "dart",
        "KEELWAY_PARAMS": "/keelway/run/params.json",
        "KEELWAY_MODEL_DIR": "/keelway/model",
        "KEELWAY_METRICS": "/keelway/run/metrics.jsonl",
        "KEELWAY_SEED": "42",
        "KEELWAY_RUN": "0123456789ab",
        "KEELWAY_TRIAL": "3",
    }
    writable = {m["mountPath"]: not m.get("readOnly", False) for m in container(job(), "fit")["volumeMounts"]}
    assert writable == {"/cache": True, "/keelway/data": False, "/keelway/model": True, "/keelway/run": True}


def test_the_users_pod_is_otherwise_untouched() -> None:
    before = copy.deepcopy(TEMPLATE)
    made = job()
    assert before == TEMPLATE, "the spec is not written to"
    for given in TEMPLATE["spec"]["containers"]:
        for field in ("image", "command", "args", "resources"):
            assert container(made, given["name"]).get(field) == given.get(field)
    proxy = container(made, "proxy")
    assert (proxy["env"], proxy.get("volumeMounts")) == ([{"name": "PORT", "value": "1"}], None)
    assert container(made, "warm-up")["image"] == "warm:1"
    assert "env" not in container(made, "warm-up")
    assert pod(made)["nodeSelector"] == {"gpu": "yes"}
    assert pod(made)["serviceAccountName"] == "trainer"
    assert pod(made)["volumes"][0] == {"name": "cache", "emptyDir": {}}


def test_secrets_of_the_storage_are_mounted_into_stage_and_collect_alone() -> None:
    made = job()
    for name in ("fit", "proxy"):
        assert not secret_volumes(made) & set(mounted_names(made, name))
        assert "lake" not in json.dumps(container(made, name))
    assert mounted(made, "stage")["/keelway/access/input-0"] == "keelway-access-input-0"
    assert mounted(made, "collect")["/keelway/access/output"] == "keelway-access-output"
    assert "/keelway/access/output" not in mounted(made, "stage")
    assert "/keelway/access/input-0" not in mounted(made, "collect")
    assert all(volume["secret"]["optional"] for volume in pod(made)["volumes"] if "secret" in volume)


def test_no_container_gets_a_token_of_the_api_server() -> None:
    assert pod(job())["automountServiceAccountToken"] is False


def test_every_mount_has_its_volume_and_every_name_is_used_once() -> None:
    spec = pod(job())
    names = [volume["name"] for volume in spec["volumes"]]
    assert len(names) == len(set(names))
    for one in [*spec["initContainers"], *spec["containers"]]:
        assert {m["name"] for m in one.get("volumeMounts", [])} <= set(names)
        paths = [m["mountPath"] for m in one.get("volumeMounts", [])]
        assert len(paths) == len(set(paths))


def test_stage_is_told_what_to_fetch_and_how_to_split_it() -> None:
    told = StageOrder.model_validate(order(job(), "stage"))
    assert [given.name for given in told.inputs] == ["training", "zip-codes"]
    assert told.parameters == {"learning_rate": 0.1, "max-depth": 4, "booster": "dart"}
    first, second = (given.source.location for given in told.inputs)
    assert (first.uri, first.endpoint, first.region) == ("s3://lake/churn/", "http://minio:9000", "eu")
    assert (first.secret_dir, first.secret_name) == ("/keelway/access/input-0", "lake")
    assert (second.uri, second.mount) == ("", "/keelway/volumes/input-1")
    assert [(given.split, given.splits[0].percent, given.target) for given in told.inputs] == [
        ("train", 80, "/keelway/data/training"),
        ("train", 80, "/keelway/data/zip-codes"),
    ]


def test_a_list_of_files_is_one_directory_however_many_config_maps_hold_it() -> None:
    inputs = (an_input("training", "s3://lake/churn/", BUCKET, parts=3),)
    trial = TrialJob("n", "r", 0, 0, {}, inputs, "s3://models/churn/r/0")
    made = trial_job(experiment(), trial, image="worker:1", pull_policy="Never")
    (given,) = StageOrder.model_validate(order(made, "stage")).inputs
    volumes = {volume["name"]: volume for volume in pod(made)["volumes"]}
    sources = volumes[mounted(made, "stage")[given.manifest.directory]]["projected"]["sources"]
    maps = [source["configMap"] for source in sources]
    assert [one["name"] for one in maps] == ["churn-v1-files", "churn-v1-files-1", "churn-v1-files-2"]
    paths = [item["path"] for one in maps for item in one["items"]]
    assert paths == sorted(set(paths)), "their sorted names give the order"
    assert {item["key"] for one in maps for item in one["items"]} == {"manifest.jsonl.gz"}


@pytest.mark.parametrize(
    ("own", "output", "data", "expected"),
    [
        ("trainer", "writer", "reader", "trainer"),
        ("", "writer", "reader", "writer"),
        ("", "", "reader", "reader"),
        ("", "", "", None),
    ],
)
def test_the_pod_runs_as_who_may_reach_the_data(own: str, output: str, data: str, expected: str | None) -> None:
    template = {"spec": {**PLAIN["spec"], **({"serviceAccountName": own} if own else {})}}
    inputs = (an_input("training", "s3://lake/churn/", {"serviceAccountName": data}),)
    trial = TrialJob("n", "r", 0, 0, {}, inputs, "s3://models/churn/r/0")
    of = experiment(template, access={"serviceAccountName": output})
    made = trial_job(of, trial, image="worker:1", pull_policy="Never")
    assert pod(made).get("serviceAccountName") == expected


def test_collect_is_told_what_to_keep_and_where() -> None:
    told = CollectOrder.model_validate(order(job(), "collect"))
    assert (told.metrics_file, told.model_dir) == ("/keelway/run/metrics.jsonl", "/keelway/model")
    assert told.objective == "auc"
    assert told.destination.uri == "s3://models/churn/0123456789ab/3"
    read_only = {m["mountPath"] for m in container(job(), "collect")["volumeMounts"] if m.get("readOnly")}
    assert {"/keelway/run", "/keelway/model"} <= read_only


def test_tracking_and_its_secret_are_collects_alone() -> None:
    manifest = an_experiment(tracking={"mlflow": {"uri": "http://mlflow:5000", "secretRef": {"name": "login"}}})
    made = job(Experiment.model_validate(manifest))
    assert CollectOrder.model_validate(order(made, "collect")).mlflow is not None
    assert mounted(made, "collect")["/keelway/access/mlflow"] in secret_volumes(made)
    for other in ("stage", "train"):
        assert "/keelway/access/mlflow" not in mounted(made, other)
        assert "mlflow" not in json.dumps(container(made, other))
    assert CollectOrder.model_validate(order(job(), "collect")).mlflow is None


@pytest.mark.parametrize(("destination", "claims"), [("pvc://models/churn", 2), ("pvc://claim/models", 1)])
def test_a_claim_is_mounted_for_reading_where_it_is_read_and_for_writing_where_it_is_written(
    destination: str, claims: int
) -> None:
    trial = TrialJob("n", "r", 0, 0, {}, (INPUTS[1],), f"{destination}/r/0")
    made = trial_job(experiment(uri=destination), trial, image="worker:1", pull_policy="Never")
    assert len([v for v in pod(made)["volumes"] if "persistentVolumeClaim" in v]) == claims, "each claim once"
    read, write = claim_mount(made, "stage"), claim_mount(made, "collect")
    assert (read["readOnly"], read["subPath"]) == (True, "codes")
    assert (write["readOnly"], write["subPath"]) == (False, f"{destination.rpartition('/')[2]}/r/0")
    assert order(made, "collect")["destination"]["mount"] == write["mountPath"]
    assert not any(name.startswith("keelway-claim-") for name in mounted_names(made, "fit"))


PLAIN: Manifest = {"spec": {"containers": [{"name": "train", "image": "train:1"}]}}


PLAIN_TOO = [
    PLAIN,
    {"spec": {**PLAIN["spec"], "securityContext": {"runAsUser": 1000}}},
    {"spec": {**PLAIN["spec"], "initContainers": [{"name": "warm-up", "image": "warm:1"}]}},
]


@pytest.mark.parametrize("template", PLAIN_TOO)
def test_a_plain_pod_passes_pod_security_restricted(template: Manifest) -> None:
    assert violations(pod(job(experiment(template, access=BUCKET)))) == []


def test_what_the_user_says_about_security_stands() -> None:
    own = {"runAsNonRoot": False, "runAsUser": 0}
    template = {
        "spec": {"securityContext": {"fsGroup": 7}, "containers": [{"name": "t", "image": "t", "securityContext": own}]}
    }
    made = job(experiment(template))
    assert container(made, "t")["securityContext"]["runAsUser"] == 0
    assert container(made, "t")["securityContext"]["allowPrivilegeEscalation"] is False
    assert pod(made)["securityContext"]["fsGroup"] == 7
    stricter = [wrong for wrong in violations(pod(made)) if not wrong.startswith("t: ")]
    assert stricter == [], "Keelway's own containers stay restricted"


def test_a_trial_is_one_pod_that_runs_once_and_disruptions_do_not_count() -> None:
    spec = job()["spec"]
    assert (spec["completions"], spec["parallelism"], spec["backoffLimit"]) == (1, 1, 0)
    assert pod(job())["restartPolicy"] == "Never"
    assert (spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (5400, 7200)
    assert spec["podFailurePolicy"]["rules"] == [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    ]


@pytest.mark.parametrize(("given", "expected"), [(None, 600), (30, 600), (3600, 3600)])
def test_the_pod_has_time_to_upload_its_model(given: int | None, expected: int) -> None:
    template = {"spec": {**PLAIN["spec"], **({"terminationGracePeriodSeconds": given} if given else {})}}
    assert pod(job(experiment(template)))["terminationGracePeriodSeconds"] == expected


def test_job_and_pod_are_found_by_label_and_know_whose_they_are() -> None:
    made = job()
    template = made["spec"]["template"]["metadata"]
    for metadata in (made["metadata"], template):
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "keelway"
        assert metadata["labels"]["keelway.dev/experiment"] == "churn-gbt"
        assert metadata["annotations"]["keelway.dev/for"] == "Experiment/churn-gbt"
        assert metadata["annotations"]["keelway.dev/run"] == "0123456789ab"
        assert json.loads(metadata["annotations"]["keelway.dev/trial"])["number"] == 3
    assert template["labels"]["team"] == "growth"
    assert template["annotations"]["sidecar.istio.io/inject"] == "false"
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("Experiment", "churn-gbt", "u-1", True)


def test_a_template_cannot_take_keelways_labels_for_itself() -> None:
    template = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "me"}}, **PLAIN}
    made = job(experiment(template))
    assert made["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "keelway"


@pytest.mark.parametrize("value", [0.1, 1e-05, 3.0, 12, -4, "dart", "with space", 'quote"', "ümlaut", 2**53], ids=repr)
def test_parameters_arrive_as_they_were_suggested(value: Any) -> None:
    trial = TrialJob("n", "r", 0, 0, {"p": value}, INPUTS, "s3://models/churn/r/0")
    made = trial_job(experiment(), trial, image="worker:1", pull_policy="Never")
    assert StageOrder.model_validate(order(made, "stage")).parameters == {"p": value}
    assert variables(made, "fit")["KEELWAY_PARAM_P"] == str(value)
