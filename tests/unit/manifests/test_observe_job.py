"""The Job that looks at a Dataset's source."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.api.dataset import Dataset
from keelway.api.dataset_version import DatasetVersion
from keelway.api.jobs import ObserveOrder
from keelway.manifests.checks import MeasuredAgainst
from keelway.manifests.observe_job import Known, Subject, observe_job
from tests.unit.lifecycle.builders import a_dataset
from tests.unit.manifests.pod_security import violations


def job(name: str = "churn", *, versions: Sequence[DatasetVersion] = (), **spec: Any) -> Manifest:
    manifest = a_dataset(name, **spec)
    manifest["metadata"]["uid"] = "u-1"
    dataset = Dataset.model_validate(manifest)
    source = dataset.spec.source
    assert source is not None
    against = MeasuredAgainst(baseline=versions[0], reference=versions[0]) if versions else MeasuredAgainst()
    known = Known(version=versions[-1], listing="listing:sha256:1") if versions else None
    subject = Subject(source=source, access=dataset.spec.access, identity="Auto", known=known, against=against)
    return observe_job(dataset, "0123abcd", subject, image="worker:1", pull_policy="Always")


def a_version(number: int, *, parts: int = 1) -> DatasetVersion:
    """A record whose list of files takes so many ConfigMaps."""
    name = f"churn-v{number}"
    manifest = {
        "files": 2,
        "bytes": 10,
        "ref": {"configMap": f"{name}-files"},
        "parts": parts,
        "sha256": f"sha-{number}",
    }
    spec = {
        "dataset": {"name": "churn", "uid": "u-1"},
        "version": number,
        "digest": f"listing:sha256:{number:064}",
        "source": {"uri": "s3://lake/churn/", "format": "CSV"},
        "manifest": manifest,
        "schema": {"digest": "sha256:1", "columns": []},
        "rows": 100 * number,
        "profile": {"configMap": f"{name}-profile", "sha256": "p"},
    }
    return DatasetVersion.model_validate({"metadata": {"name": name, "namespace": "ml"}, "spec": spec})


def pod(manifest: Manifest) -> Manifest:
    spec: Manifest = manifest["spec"]["template"]["spec"]
    return spec


def order(manifest: Manifest) -> ObserveOrder:
    (container,) = pod(manifest)["containers"]
    return ObserveOrder.model_validate(json.loads(container["env"][0]["value"]))


def test_it_is_told_where_to_look_and_what_is_known() -> None:
    source = {"uri": "s3://lake/churn/", "include": ["*.csv"], "exclude": ["tmp/**"], "format": "CSV"}
    access = {"endpoint": "http://minio:9000", "secretRef": {"name": "lake"}}
    told = order(job(source=source, access=access, splitKey="id"))
    assert told.source.location.uri == "s3://lake/churn/"
    assert (told.source.include, told.source.exclude, told.source.format) == (("*.csv",), ("tmp/**",), "CSV")
    assert told.source.location.secret_dir == "/keelway/access/source"
    assert (told.known, told.checks.baseline, told.checks.reference) == (None, None, None)
    assert [(split.name, split.percent) for split in told.splits] == [("train", 80), ("holdout", 20)]
    assert told.split_key == "id"


def test_it_is_told_what_is_known_and_measured_against_and_finds_it_mounted() -> None:
    made = job(versions=[a_version(1, parts=2), a_version(2)])
    told, mounts = order(made), pod(made)["containers"][0]["volumeMounts"]
    assert told.known is not None
    assert told.checks.baseline is not None
    assert told.checks.reference is not None
    assert (told.known.listing, told.known.manifest.sha256) == ("listing:sha256:1", "sha-2")
    assert (told.checks.baseline.version, told.checks.baseline.rows) == (1, 100)
    directories = {mount["mountPath"]: mount["name"] for mount in mounts if mount.get("readOnly")}
    volumes = {volume["name"]: volume for volume in pod(made)["volumes"]}
    baseline = volumes[directories[told.checks.baseline.manifest.directory]]
    assert [(s["configMap"]["name"], s["configMap"]["items"][0]["path"]) for s in baseline["projected"]["sources"]] == [
        ("churn-v1-files", "part-000"),
        ("churn-v1-files-1", "part-001"),
    ]
    assert told.known.manifest.directory in directories
    profile = volumes[directories[str(PurePosixPath(told.checks.reference.profile).parent)]]
    assert profile["configMap"]["name"] == "churn-v1-profile"
    assert violations(pod(made)) == []


def test_it_runs_where_and_as_the_spec_says() -> None:
    settings = {
        "resources": {"limits": {"memory": "4Gi"}},
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "serviceAccountName": "reader",
    }
    spec = pod(job(job=settings))
    assert spec["containers"][0]["resources"] == {"limits": {"memory": "4Gi"}}
    assert (spec["nodeSelector"], spec["tolerations"]) == ({"zone": "a"}, [{"key": "gpu", "operator": "Exists"}])
    assert spec["serviceAccountName"] == "reader"
    assert spec["containers"][0]["imagePullPolicy"] == "Always"


@pytest.mark.parametrize("uri", ["s3://lake/churn/", "pvc://claim/churn"])
def test_it_passes_pod_security_restricted_without_a_token(uri: str) -> None:
    spec = pod(job(source={"uri": uri}, access={"secretRef": {"name": "lake"}}))
    assert violations(spec) == []
    assert spec["automountServiceAccountToken"] is False
    assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize(("uri", "path"), [("pvc://claim/a/b/", "a/b"), ("pvc://claim", None), ("pvc://claim/", None)])
def test_a_claim_is_mounted_for_reading(uri: str, path: str | None) -> None:
    made = job(source={"uri": uri})
    (volume,) = [v for v in pod(made)["volumes"] if "persistentVolumeClaim" in v]
    assert volume["persistentVolumeClaim"]["claimName"] == "claim"
    (mount,) = [m for m in pod(made)["containers"][0]["volumeMounts"] if m["name"] == volume["name"]]
    assert (mount["readOnly"], mount.get("subPath")) == (True, path)
    assert order(made).source.location.mount == mount["mountPath"]


def test_without_a_secret_the_credentials_are_those_of_the_pod() -> None:
    made = job(access={"region": "eu"})
    assert order(made).source.location.secret_dir == ""
    assert [v["name"] for v in pod(made)["volumes"]] == ["keelway-scratch"]


@pytest.mark.parametrize("length", [1, 63, 200])
def test_its_name_leaves_room_and_its_label_fits(length: int) -> None:
    made = job("a" * length)
    assert len(made["metadata"]["name"]) <= 52
    assert len(made["metadata"]["labels"]["keelway.dev/dataset"]) <= 63
    assert made["metadata"]["annotations"]["keelway.dev/for"] == f"Dataset/{'a' * length}"


def test_it_ends_some_time() -> None:
    assert job()["spec"]["activeDeadlineSeconds"] == 3600
