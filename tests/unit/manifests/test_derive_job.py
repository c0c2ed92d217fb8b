"""The Job of one derivation: who sees data, output and secrets, and that the user's pod stays the user's."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.api.dataset import Dataset
from keelway.api.dataset_version import DatasetVersion
from keelway.api.jobs import RecordOrder, SplitRule, StageOrder, TransformOrder
from keelway.api.resource import Access
from keelway.manifests.checks import MeasuredAgainst
from keelway.manifests.derive_job import derive_job
from keelway.manifests.staged_pod import PodInput, pod_input
from tests.unit.lifecycle.builders import SHA, a_dataset_version, resource
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

LAKE = {"endpoint": "http://minio:9000", "secretRef": {"name": "lake"}}
KEPT = {"endpoint": "http://minio:9000", "secretRef": {"name": "clean"}}
SQL = "SELECT DISTINCT ON (id) * FROM raw JOIN zips USING (zip)"
TEMPLATE: Manifest = {
    "metadata": {"labels": {"team": "growth"}},
    "spec": {
        "nodeSelector": {"gpu": "yes"},
        "initContainers": [{"name": "warm-up", "image": "warm:1"}],
        "containers": [
            {"name": "clean", "image": "clean:1", "args": ["--fast"], "env": [{"name": "MODE", "value": "full"}]},
            {"name": "proxy", "image": "proxy:1"},
        ],
        "volumes": [{"name": "cache", "emptyDir": {}}],
    },
}


def dataset(
    *, sql: str = SQL, template: Manifest | None = None, output: Manifest | None = None, **spec: Any
) -> Dataset:
    derive: Manifest = {
        "inputs": [{"name": "raw", "dataset": "churn"}, {"name": "zips", "dataset": "zip-codes"}],
        "output": {"uri": "s3://lake/churn-clean/", "access": KEPT, **(output or {})},
        **({"job": {"template": template}} if template else {"sql": sql}),
    }
    return Dataset.model_validate(resource("Dataset", "churn-clean", {"derive": derive, **spec}, uid="u-1"))


def an_input(index: int, name: str, uri: str, access: Manifest) -> PodInput:
    version = a_dataset_version(index + 1, "first", name=name, uid="u-0")
    version["spec"]["source"]["uri"] = uri
    return pod_input(index, name, DatasetVersion.model_validate(version), Access.model_validate(access))


INPUTS = (an_input(0, "raw", "s3://lake/churn/", LAKE), an_input(1, "zips", "pvc://claim/codes", {}))


def job(of: Dataset | None = None, against: MeasuredAgainst | None = None) -> Manifest:
    return derive_job(
        of or dataset(),
        "0123abcd",
        inputs=INPUTS,
        derivation_hash=SHA,
        against=against or MeasuredAgainst(),
        splits=(SplitRule(name="train", percent=80),),
        image="worker:1",
        pull_policy="IfNotPresent",
    )


def test_data_come_first_then_the_sidecar_then_what_derives() -> None:
    assert [c["name"] for c in pod(job())["initContainers"]] == ["stage", "record"]
    assert [c["name"] for c in pod(job())["containers"]] == ["transform"]
    made = pod(job(dataset(template=TEMPLATE)))
    assert [c["name"] for c in made["initContainers"]] == ["stage", "record", "warm-up"]
    assert [c["name"] for c in made["containers"]] == ["clean", "proxy"]
    assert container(job(), "record")["restartPolicy"] == "Always", "a sidecar: it runs while the others do"
    assert variables(job(), "record")["KEELWAY_READY_FILE"] in json.dumps(container(job(), "record")["lifecycle"])


@pytest.mark.parametrize("template", [None, TEMPLATE], ids=["sql", "job"])
def test_only_stage_and_record_have_credentials(template: Manifest | None) -> None:
    made = job(dataset(template=template))
    assert secret_volumes(made) == {"keelway-access-input-0", "keelway-access-output"}
    holders = {c["name"]: secret_volumes(made) & set(mounted_names(made, c["name"])) for c in _containers(made)}
    assert {name: found for name, found in holders.items() if found} == {
        "stage": {"keelway-access-input-0"},
        "record": {"keelway-access-output"},
    }
    for name in holders.keys() - {"stage", "record"}:
        assert "secret" not in json.dumps(container(made, name)).lower()
        assert not any(volume.startswith("keelway-claim-") for volume in mounted_names(made, name))
    assert pod(made)["automountServiceAccountToken"] is False


def _containers(manifest: Manifest) -> list[Manifest]:
    return [*pod(manifest)["initContainers"], *pod(manifest)["containers"]]


def test_transform_is_told_the_query_and_where_its_tables_are() -> None:
    told = TransformOrder.model_validate(order(job(), "transform"))
    assert told.sql == SQL
    assert [(one.name, one.directory, one.format) for one in told.inputs] == [
        ("raw", "/keelway/data/raw", "Parquet"),
        ("zips", "/keelway/data/zips", "Parquet"),
    ]
    assert [column.name for column in told.inputs[0].columns] == ["age"]
    assert told.output_dir == "/keelway/output"
    assert told.timeout_seconds < job()["spec"]["activeDeadlineSeconds"]


def test_stage_is_told_what_to_fetch() -> None:
    told = StageOrder.model_validate(order(job(), "stage"))
    assert [(given.name, given.target, given.split) for given in told.inputs] == [
        ("raw", "/keelway/data/raw", ""),
        ("zips", "/keelway/data/zips", ""),
    ]
    assert told.inputs[0].source.location.uri == "s3://lake/churn/"
    assert told.inputs[1].source.location.mount == "/keelway/volumes/input-1"
    assert (told.parameters, told.parameters_file) == ({}, "")
    assert {given.manifest.directory for given in told.inputs} <= set(mounted(job(), "stage"))


@pytest.mark.parametrize(("total", "told"), [(1, ["age"]), (501, [])])
def test_columns_are_told_where_the_record_has_all_of_them(total: int, told: list[str]) -> None:
    """A record that lists the first 500 of a very wide table must not make the others vanish."""
    version = a_dataset_version(1, "first", uid="u-0")
    version["spec"]["schema"]["total"] = total
    given = pod_input(0, "raw", DatasetVersion.model_validate(version), Access())
    assert [column.name for column in given.stage.columns] == told


def test_record_is_told_what_to_describe_and_where_it_goes() -> None:
    checks: dict[str, Any] = {
        "expectations": {"rows": {"min": 1000}},
        "sample": {"rows": 3, "columns": ["age"]},
        "splitKey": "id",
    }
    told = RecordOrder.model_validate(order(job(dataset(**checks)), "record"))
    assert told.destination.uri == "s3://lake/churn-clean/0123456789ab/", "a directory of this derivation alone"
    assert told.destination.secret_dir in mounted(job(), "record")
    assert (told.derivation, told.output_dir, told.format) == (SHA, "/keelway/output", "Parquet")
    assert (told.checks.expectations.rows.min, told.checks.sample.rows) == (1000, 3)
    assert (told.checks.baseline, told.checks.reference) == (None, None)
    assert ([split.name for split in told.splits], told.split_key) == (["train"], "id")


def test_what_the_result_is_measured_against_is_mounted_into_record_alone() -> None:
    version = a_dataset_version(3, "third", name="churn-clean", uid="u-1")
    version["spec"]["profile"] = {"configMap": "churn-clean-v3-profile", "sha256": SHA}
    version["spec"]["manifest"]["parts"] = 2
    good = DatasetVersion.model_validate(version)
    made = job(against=MeasuredAgainst(baseline=good, reference=good))
    told = RecordOrder.model_validate(order(made, "record")).checks
    assert told.baseline
    assert told.reference
    assert (told.baseline.version, told.baseline.rows, told.reference.version) == (3, 100, 3)
    manifest, profile = told.baseline.manifest.directory, told.reference.profile.rpartition("/")[0]
    volumes = {volume["name"]: volume for volume in pod(made)["volumes"]}
    assert len(volumes[mounted(made, "record")[manifest]]["projected"]["sources"]) == 2
    assert volumes[mounted(made, "record")[profile]]["configMap"]["name"] == "churn-clean-v3-profile"
    for name in ("stage", "transform"):
        assert not {manifest, profile} & set(mounted(made, name))


@pytest.mark.parametrize("template", [None, TEMPLATE], ids=["sql", "job"])
def test_data_can_be_read_and_the_output_written_by_what_derives(template: Manifest | None) -> None:
    made = job(dataset(template=template))
    worker = pod(made)["containers"][0]["name"]
    writable = {m["mountPath"]: not m.get("readOnly", False) for m in container(made, worker)["volumeMounts"]}
    assert (writable["/keelway/data"], writable["/keelway/output"]) == (False, True)
    record = {m["mountPath"]: m.get("readOnly", False) for m in container(made, "record")["volumeMounts"]}
    assert record["/keelway/output"] is True
    assert "/keelway/data" not in record


def test_the_users_pod_is_otherwise_untouched() -> None:
    before = copy.deepcopy(TEMPLATE)
    made = job(dataset(template=TEMPLATE))
    assert before == TEMPLATE, "the spec is not written to"
    assert variables(made, "clean") == {
        "MODE": "full",
        "KEELWAY_DATA_RAW": "/keelway/data/raw",
        "KEELWAY_DATA_ZIPS": "/keelway/data/zips",
        "KEELWAY_OUTPUT_DIR": "/keelway/output",
    }
    assert (container(made, "clean")["image"], container(made, "clean")["args"]) == ("clean:1", ["--fast"])
    for name in ("proxy", "warm-up"):
        assert not {"env", "volumeMounts"} & set(container(made, name))
    assert pod(made)["volumes"][0] == {"name": "cache", "emptyDir": {}}
    assert made["spec"]["template"]["metadata"]["labels"]["team"] == "growth"


SETTINGS = {
    "resources": {"limits": {"memory": "4Gi"}},
    "nodeSelector": {"zone": "a"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "serviceAccountName": "refiner",
}


def test_it_runs_where_and_with_what_the_spec_says() -> None:
    made = job(dataset(job=SETTINGS))
    assert (pod(made)["nodeSelector"], pod(made)["tolerations"]) == (SETTINGS["nodeSelector"], SETTINGS["tolerations"])
    assert pod(made)["serviceAccountName"] == "refiner"
    for name in ("transform", "record"):
        assert container(made, name)["resources"] == SETTINGS["resources"]
        assert order(made, name)["memoryLimit"] == "2048MiB"


def test_what_the_users_template_says_about_its_place_stands() -> None:
    made = pod(job(dataset(template=TEMPLATE, job=SETTINGS)))
    assert (made["nodeSelector"], made["tolerations"]) == ({"gpu": "yes"}, SETTINGS["tolerations"])
    assert made["serviceAccountName"] == "refiner"


def test_the_service_account_of_the_output_is_used_where_nobody_names_another_one() -> None:
    output = {"access": {"serviceAccountName": "writer"}}
    assert pod(job(dataset(output=output)))["serviceAccountName"] == "writer"
    assert "serviceAccountName" not in pod(job())


def test_a_claim_that_is_read_and_written_is_one_volume() -> None:
    made = job(dataset(output={"uri": "pvc://claim/clean", "access": {}}))
    assert len([v for v in pod(made)["volumes"] if "persistentVolumeClaim" in v]) == 1
    read, write = claim_mount(made, "stage"), claim_mount(made, "record")
    assert (read["readOnly"], read["subPath"]) == (True, "codes")
    assert (write["readOnly"], write["subPath"]) == (False, "clean/0123456789ab")
    assert order(made, "record")["destination"]["mount"] == write["mountPath"]


@pytest.mark.parametrize("template", [None, TEMPLATE], ids=["sql", "job"])
@pytest.mark.parametrize("uri", ["s3://lake/clean/", "pvc://claim/clean"])
def test_it_passes_pod_security_restricted(template: Manifest | None, uri: str) -> None:
    assert violations(pod(job(dataset(template=template, output={"uri": uri})))) == []


@pytest.mark.parametrize("template", [None, TEMPLATE], ids=["sql", "job"])
def test_every_mount_has_its_volume_and_every_name_is_used_once(template: Manifest | None) -> None:
    made = job(dataset(template=template))
    names = [volume["name"] for volume in pod(made)["volumes"]]
    assert len(names) == len(set(names))
    for one in _containers(made):
        assert {m["name"] for m in one.get("volumeMounts", [])} <= set(names)
        paths = [m["mountPath"] for m in one.get("volumeMounts", [])]
        assert len(paths) == len(set(paths))


def test_it_is_one_pod_that_runs_once_and_has_time_to_describe_and_upload() -> None:
    spec = job()["spec"]
    assert (spec["completions"], spec["parallelism"], spec["backoffLimit"]) == (1, 1, 0)
    assert pod(job())["restartPolicy"] == "Never"
    assert pod(job())["terminationGracePeriodSeconds"] == 3600


@pytest.mark.parametrize(("seconds", "deadline"), [(None, 86400), (90, 90)])
def test_the_users_deadline_is_the_jobs(seconds: int | None, deadline: int) -> None:
    """As the pod's own it would take the sidecar's time to say what happened."""
    template = {"spec": {**TEMPLATE["spec"], **({"activeDeadlineSeconds": seconds} if seconds else {})}}
    made = job(dataset(template=template))
    assert made["spec"]["activeDeadlineSeconds"] == deadline
    assert "activeDeadlineSeconds" not in pod(made)


def test_job_and_pod_say_whose_they_are_and_which_derivation_they_make() -> None:
    made = job()
    assert made["metadata"]["name"] == "churn-clean-derive-0123abcd"
    for metadata in (made["metadata"], made["spec"]["template"]["metadata"]):
        assert metadata["annotations"]["keelway.dev/for"] == "Dataset/churn-clean"
        assert metadata["annotations"]["keelway.dev/derivation"] == SHA
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "keelway"
