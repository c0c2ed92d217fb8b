"""The Job of one evaluation: who sees the model, the data and the secrets, and that the user's pod stays the user's."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.api.dataset_version import DatasetVersion
from keelway.api.gates import Gate
from keelway.api.jobs import StageOrder
from keelway.api.judging import MeasureOrder
from keelway.api.model_deployment import ModelDeployment
from keelway.api.resource import Access
from keelway.manifests.gate_job import GateJob, gate_job
from keelway.manifests.staged_pod import PodInput, pod_input
from tests.unit.lifecycle.builders import a_dataset_version
from tests.unit.manifests.pods_of_jobs import (
    container,
    mounted,
    mounted_names,
    order,
    pod,
    secret_volumes,
    variables,
)
from tests.unit.manifests.rollout_jobs import ATTEMPT, BUCKET, DIGEST, LONGEST_NAME, check_job, deployment, model

LAKE = {"endpoint": "http://minio:9000", "secretRef": {"name": "lake"}, "serviceAccountName": "data-reader"}
TEMPLATE: Manifest = {
    "metadata": {"labels": {"team": "growth"}},
    "spec": {
        "nodeSelector": {"gpu": "yes"},
        "initContainers": [{"name": "warm-up", "image": "warm:1"}],
        "containers": [
            {
                "name": "judge",
                "image": "judge:1",
                "command": ["python", "judge.py"],
                "env": [{"name": "MODE", "value": "full"}],
                "resources": {"limits": {"memory": "8Gi"}},
                "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
            },
            {"name": "proxy", "image": "proxy:1", "env": [{"name": "PORT", "value": "1"}]},
        ],
        "volumes": [{"name": "cache", "emptyDir": {}}],
    },
}


def gate(name: str = "hold-out", template: Manifest = TEMPLATE, **fields: Any) -> Gate:
    return Gate.model_validate(
        {
            "name": name,
            "dataset": {"dataset": "churn", "split": "holdout"},
            "template": template,
            "timeout": "90m",
            "checks": [{"metric": "loss", "max": 1}, {"metric": "auc", "min": 0.8}, {"metric": "auc", "max": 1}],
            **fields,
        }
    )


def data(uri: str = "s3://lake/churn/", *, edition: str = "first", split: str = "holdout") -> PodInput:
    version = a_dataset_version(1, edition, uid="u-0")
    version["spec"]["source"]["uri"] = uri
    version["spec"]["splitRule"] = {"rules": [{"name": "train", "percent": 80}, {"name": "holdout", "percent": 20}]}
    access = {} if uri.startswith("pvc:") else LAKE
    return pod_input(0, "hold-out", DatasetVersion.model_validate(version), Access.model_validate(access), split=split)


def job(of: ModelDeployment | None = None, **changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "gate": gate(),
        "model": model(),
        "access": BUCKET,
        "data": data(),
        "evaluator": "eeeeeeeeeeee",
        "attempt": ATTEMPT,
    }
    return gate_job(of or deployment(), GateJob(**{**fields, **changes}), image="worker:1", pull_policy="Never")


def test_model_and_data_come_first_then_the_sidecar_then_the_users_containers() -> None:
    spec = pod(job())
    assert [one["name"] for one in spec["initContainers"]] == ["stage", "measure", "warm-up"]
    assert [one["name"] for one in spec["containers"]] == ["judge", "proxy"]
    assert "restartPolicy" not in container(job(), "stage"), "nothing begins before it has ended well"
    assert container(job(), "measure")["restartPolicy"] == "Always", "a sidecar: it runs while the others do"
    assert "/tmp/ready" in json.dumps(container(job(), "measure")["lifecycle"]["postStart"])
    assert variables(job(), "measure")["KEELWAY_READY_FILE"] == "/tmp/ready"


def test_stage_is_told_of_the_recorded_bytes_of_both() -> None:
    told = StageOrder.model_validate(order(job(), "stage"))
    assert told.model
    assert (told.model.digest, told.model.target) == (DIGEST, "/keelway/model")
    assert (told.model.location.uri, told.model.location.secret_dir) == (
        "s3://models/churn/4/",
        "/keelway/access/model",
    )
    (given,) = told.inputs
    assert (given.target, given.split, len(given.splits)) == ("/keelway/data/hold-out", "holdout", 2)
    assert given.source.location.secret_dir == "/keelway/access/input-0"
    writable = {one["mountPath"] for one in container(job(), "stage")["volumeMounts"] if not one.get("readOnly")}
    assert {"/keelway/model", "/keelway/data"} <= writable


def test_the_evaluator_sees_model_and_data_for_reading_and_where_to_write() -> None:
    assert variables(job(), "judge") == {
        "MODE": "full",
        "KEELWAY_DATA_HOLD_OUT": "/keelway/data/hold-out",
        "KEELWAY_MODEL_DIR": "/keelway/model",
        "KEELWAY_METRICS": "/keelway/run/metrics.jsonl",
    }
    writable = {one["mountPath"]: not one.get("readOnly", False) for one in container(job(), "judge")["volumeMounts"]}
    assert writable == {"/cache": True, "/keelway/data": False, "/keelway/model": False, "/keelway/run": True}


def test_measure_is_told_what_is_checked_and_sees_the_metrics_alone() -> None:
    told = MeasureOrder.model_validate(order(job(), "measure"))
    assert (told.metrics_file, told.wanted) == ("/keelway/run/metrics.jsonl", ("auc", "loss"))
    paths = set(mounted(job(), "measure")) - {"/tmp", "/keelway/scratch"}
    assert paths == {"/keelway/run"}
    (run,) = [one for one in container(job(), "measure")["volumeMounts"] if one["mountPath"] == "/keelway/run"]
    assert run["readOnly"] is True


def test_secrets_are_mounted_into_stage_alone() -> None:
    made = job()
    assert (
        secret_volumes(made) == {"keelway-access-model", "keelway-access-input-0"} <= set(mounted_names(made, "stage"))
    )
    for name in ("measure", "judge", "proxy", "warm-up"):
        assert not secret_volumes(made) & set(mounted_names(made, name))
        for secret in ("lake", "models"):
            assert f'"{secret}"' not in json.dumps(container(made, name))


def test_it_keeps_to_what_every_job_keeps_to() -> None:
    check_job(job())
    check_job(job(data=data("pvc://claim/churn"), model=model(uri="pvc://claim/models/abc")))
    check_job(job(gate=gate(template={"spec": {"containers": [{"name": "only", "image": "judge:1"}]}})))


def test_the_users_pod_is_otherwise_untouched() -> None:
    before, made = copy.deepcopy(TEMPLATE), job()
    assert before == TEMPLATE, "the spec is not written to"
    for given in TEMPLATE["spec"]["containers"]:
        for field in ("image", "command", "resources"):
            assert container(made, given["name"]).get(field) == given.get(field)
    proxy = container(made, "proxy")
    assert (proxy["env"], proxy.get("volumeMounts")) == ([{"name": "PORT", "value": "1"}], None)
    assert pod(made)["nodeSelector"] == {"gpu": "yes"}
    assert made["spec"]["template"]["metadata"]["labels"]["team"] == "growth"


def test_another_container_may_evaluate() -> None:
    made = job(gate=gate(container="proxy"))
    assert variables(made, "proxy")["KEELWAY_MODEL_DIR"] == "/keelway/model"
    assert variables(made, "judge") == {"MODE": "full"}
    assert mounted(made, "judge") == {"/cache": "cache"}


def test_model_and_data_of_one_claim_are_one_volume() -> None:
    made = job(data=data("pvc://claim/churn"), model=model(uri="pvc://claim/models/abc"), access=Access())
    assert len([one for one in pod(made)["volumes"] if "persistentVolumeClaim" in one]) == 1
    mounts = {one["mountPath"]: one for one in container(made, "stage")["volumeMounts"]}
    for path, directory in {"/keelway/volumes/model": "models", "/keelway/volumes/input-0": "churn"}.items():
        assert (mounts[path]["subPath"], mounts[path]["readOnly"]) == (directory, True)
    told = StageOrder.model_validate(order(made, "stage"))
    assert told.model
    assert told.model.location.mount == "/keelway/volumes/model/abc"
    assert not any(name.startswith("keelway-claim-") for name in mounted_names(made, "judge"))


@pytest.mark.parametrize(
    ("own", "of_model", "expected"), [("judge", "m", "judge"), ("", "m", "m"), ("", "", "data-reader")]
)
def test_the_pod_runs_as_who_may_reach_model_and_data(own: str, of_model: str, expected: str) -> None:
    spec = {**TEMPLATE["spec"], **({"serviceAccountName": own} if own else {})}
    access = BUCKET.model_copy(update={"service_account_name": of_model})
    assert pod(job(gate=gate(template={"spec": spec}), access=access))["serviceAccountName"] == expected


def test_it_may_run_as_long_as_the_gate_says_and_has_time_to_measure() -> None:
    assert job()["spec"]["activeDeadlineSeconds"] == 5400
    assert pod(job())["terminationGracePeriodSeconds"] == 30


def test_another_evaluation_is_another_job_and_the_same_one_the_same() -> None:
    known = job()["metadata"]["name"]
    assert known.startswith("churn-hold-out-v4-")
    others = [
        job(attempt="another"),
        job(evaluator="another"),
        job(model=model(5)),
        job(model=model(uid="u-of-another-record")),
        job(data=data(edition="second")),
        job(data=data(split="train")),
        job(gate=gate("another")),
        job(deployment("churn-eu")),
    ]
    assert len({known, *(made["metadata"]["name"] for made in others)}) == len(others) + 1
    assert job()["metadata"]["name"] == known


def test_gates_whose_names_begin_alike_do_not_meet() -> None:
    names = {job(gate=gate(f"hold-out-of-the-northern-{place}"))["metadata"]["name"] for place in ("east", "west")}
    assert len(names) == 2


def test_the_longest_names_fit() -> None:
    check_job(job(deployment(LONGEST_NAME), gate=gate("a" * 19 + "-" + "b" * 20), model=model(10**9)))
