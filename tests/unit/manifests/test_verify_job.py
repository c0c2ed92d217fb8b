"""The Job that reads a model before anything of it runs."""

from __future__ import annotations

import json

import pytest

from keelway.api.base import Manifest
from keelway.api.jobs import StageOrder
from keelway.api.model_deployment import ModelDeployment
from keelway.api.model_version import ModelVersion
from keelway.api.resource import Access
from keelway.manifests.verify_job import verify_job
from tests.unit.manifests.pods_of_jobs import claim_mount, mounted, order, pod, secret_volumes
from tests.unit.manifests.rollout_jobs import (
    ATTEMPT,
    BUCKET,
    DIGEST,
    LONGEST_NAME,
    SCHEDULING,
    check_job,
    deployment,
    model,
)


def job(
    of: ModelDeployment | None = None,
    version: ModelVersion | None = None,
    access: Access = BUCKET,
    attempt: str = ATTEMPT,
) -> Manifest:
    return verify_job(
        of or deployment(), version or model(), access, attempt=attempt, image="worker:1", pull_policy="IfNotPresent"
    )


def told(made: Manifest) -> StageOrder:
    return StageOrder.model_validate(order(made, "stage"))


def test_it_is_told_where_the_model_lies_and_what_its_bytes_must_be_and_keeps_nothing() -> None:
    asked = told(job())
    assert asked.model
    assert (asked.model.digest, asked.model.target, asked.inputs) == (DIGEST, "", ())
    location = asked.model.location
    assert (location.uri, location.endpoint, location.region) == ("s3://models/churn/4/", "http://minio:9000", "eu")
    assert (location.secret_dir, location.secret_name) == ("/keelway/access/model", "models")


def test_it_keeps_to_what_every_job_keeps_to() -> None:
    check_job(job())
    assert [container["name"] for container in pod(job())["containers"]] == ["stage"]
    assert pod(job())["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert job()["spec"]["activeDeadlineSeconds"] == 3600


def test_the_secret_is_mounted_for_reading_and_may_be_missing() -> None:
    made = job()
    (volume,) = [one for one in pod(made)["volumes"] if "secret" in one]
    assert mounted(made, "stage")["/keelway/access/model"] == volume["name"]
    assert (volume["secret"]["secretName"], volume["secret"]["optional"]) == ("models", True)
    assert secret_volumes(job(access=Access())) == set()


def test_it_runs_where_the_servers_run_and_as_who_may_read_the_model() -> None:
    spec = pod(job())
    assert (spec["nodeSelector"], spec["tolerations"]) == (SCHEDULING["nodeSelector"], SCHEDULING["tolerations"])
    assert spec["serviceAccountName"] == "model-reader"
    plain = pod(job(deployment(serving={}), access=Access()))
    assert not {"nodeSelector", "tolerations", "serviceAccountName"} & plain.keys()


@pytest.mark.parametrize(
    ("uri", "path", "directory"),
    [
        ("pvc://models/churn/run/9/abc", "churn/run/9", "/keelway/volumes/model/abc"),
        ("pvc://models/churn/model.joblib", "churn", "/keelway/volumes/model/model.joblib"),
        ("pvc://models/abc/", None, "/keelway/volumes/model/abc"),
        ("pvc://models", None, "/keelway/volumes/model"),
        ("pvc://models/", None, "/keelway/volumes/model"),
    ],
)
def test_of_a_claim_the_directory_above_is_mounted_for_reading(uri: str, path: str | None, directory: str) -> None:
    """The list of the model's files is there; and a directory that is gone is not made by who mounts it."""
    made = job(version=model(uri=uri), access=Access())
    asked = told(made)
    assert asked.model
    assert (asked.model.location.mount, asked.model.location.uri) == (directory, "")
    mount = claim_mount(made, "stage")
    assert (mount["mountPath"], mount.get("subPath"), mount["readOnly"]) == ("/keelway/volumes/model", path, True)
    (volume,) = [one for one in pod(made)["volumes"] if one["name"] == mount["name"]]
    assert volume["persistentVolumeClaim"] == {"claimName": "models"}
    check_job(made)


def test_every_attempt_has_a_name_of_its_own_and_the_same_after_a_crash() -> None:
    others = [
        job(attempt="another"),
        job(version=model(5)),
        job(version=model(uid="u-of-another-record")),
        job(deployment("churn-eu")),
    ]
    names = {made["metadata"]["name"] for made in [job(), *others]}
    assert len(names) == 5
    assert job()["metadata"]["name"] in names
    assert job()["metadata"]["name"].startswith("churn-verify-v4-")


def test_the_longest_names_fit() -> None:
    version = model(10**9)
    made = [job(deployment(name), version) for name in (LONGEST_NAME, f"{LONGEST_NAME[:-1]}b", "a." * 100 + "b")]
    for one in made:
        check_job(one)
    assert made[0]["metadata"]["ownerReferences"][0]["name"] == LONGEST_NAME


def test_the_orders_of_one_attempt_are_the_same_to_the_letter() -> None:
    assert json.dumps(job()) == json.dumps(job())
