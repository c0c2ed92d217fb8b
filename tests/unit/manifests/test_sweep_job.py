"""The Job that deletes what a run or a model left in a store."""

from __future__ import annotations

import json
from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.api.experiment import Experiment
from keelway.manifests.sweep_job import SWEEP, SWEEP_ANNOTATION, Sweep, sweep_job
from keelway.manifests.trial_job import RUN_ANNOTATION
from tests.unit.lifecycle.builders import an_experiment
from tests.unit.manifests.pod_security import violations

RUN = "s3://models/churn/0123456789ab"


def job(uri: str = RUN, *, access: Manifest | None = None, pod: Manifest | None = None, **sweep: Any) -> Manifest:
    manifest = an_experiment()
    manifest["metadata"]["uid"] = "u-1"
    manifest["spec"]["output"] = {**manifest["spec"]["output"], "uri": uri.rpartition("/")[0], "access": access or {}}
    manifest["spec"]["trial"]["job"]["template"]["spec"].update(pod or {})
    experiment = Experiment.model_validate(manifest)
    return sweep_job(experiment, Sweep(uri=uri, **sweep), image="worker:1", pull_policy="Always")


def spec(manifest: Manifest) -> Manifest:
    found: Manifest = manifest["spec"]["template"]["spec"]
    return found


def order(manifest: Manifest) -> Any:
    (container,) = spec(manifest)["containers"]
    assert container["args"] == [SWEEP]
    return json.loads(container["env"][0]["value"])


def test_it_is_told_what_to_delete_and_what_to_keep() -> None:
    access = {"endpoint": "http://minio:9000", "region": "eu", "secretRef": {"name": "lake"}}
    made = job(access=access, keep=("9/abc", "9/files-abc.json"))
    told = order(made)
    assert told["keep"] == ["9/abc", "9/files-abc.json"]
    location = {name: told["location"][name] for name in ("uri", "endpoint", "region", "secretDir", "secretName")}
    assert location == {
        "uri": RUN,
        "endpoint": "http://minio:9000",
        "region": "eu",
        "secretDir": "/keelway/access/output",
        "secretName": "lake",
    }
    mounts = {m["mountPath"]: m["name"] for m in spec(made)["containers"][0]["volumeMounts"]}
    secret = next(volume for volume in spec(made)["volumes"] if volume["name"] == mounts["/keelway/access/output"])
    assert secret["secret"]["secretName"] == "lake"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("pvc://models/churn/deep/0123456789ab", "churn/deep"),
        ("pvc://models/churn/0123456789ab/", "churn"),
        ("pvc://models/0123456789ab", None),
    ],
)
def test_of_a_claim_the_directory_above_is_mounted_so_that_the_directory_itself_can_go(uri: str, path: str) -> None:
    made = job(uri)
    assert order(made)["location"]["mount"] == "/keelway/volumes/output/0123456789ab"
    (mount,) = [m for m in spec(made)["containers"][0]["volumeMounts"] if m["mountPath"] == "/keelway/volumes/output"]
    assert (mount.get("subPath"), mount["readOnly"]) == (path, False)
    (volume,) = [volume for volume in spec(made)["volumes"] if volume["name"] == mount["name"]]
    assert volume["persistentVolumeClaim"] == {"claimName": "models"}


def test_it_is_short_has_no_token_and_counts_no_disruption() -> None:
    made = job()
    assert spec(made)["automountServiceAccountToken"] is False
    assert spec(made)["restartPolicy"] == "Never"
    assert made["spec"]["backoffLimit"] == 0
    assert made["spec"]["activeDeadlineSeconds"] == 3600
    assert made["spec"]["podFailurePolicy"]["rules"][0]["action"] == "Ignore"
    assert violations(spec(made)) == []
    assert spec(made)["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True


def test_it_is_the_experiments_and_says_what_it_is_about() -> None:
    made = job(model="churn-v1", attempt=3)
    owner = made["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("Experiment", "churn-gbt", "u-1", True)
    annotations = made["spec"]["template"]["metadata"]["annotations"]
    assert annotations == made["metadata"]["annotations"]
    assert annotations["keelway.dev/for"] == "Experiment/churn-gbt"
    assert json.loads(annotations[SWEEP_ANNOTATION]) == {"attempt": 3, "model": "churn-v1", "uri": RUN}
    assert RUN_ANNOTATION not in annotations, "it is no trial"


def test_every_attempt_has_a_name_of_its_own_and_the_same_after_a_crash() -> None:
    names = [job(uri, attempt=n)["metadata"]["name"] for uri in (RUN, f"{RUN}/1/abc") for n in range(3)]
    assert len(set(names)) == 6
    assert job(attempt=1)["metadata"]["name"] == names[1]
    assert all(name.startswith("churn-gbt-sweep-") and len(name) <= 52 for name in names)


@pytest.mark.parametrize(
    ("pod", "access", "account"),
    [
        ({}, {}, "default"),
        ({}, {"serviceAccountName": "writer"}, "writer"),
        ({"serviceAccountName": "trainer"}, {"serviceAccountName": "writer"}, "trainer"),
    ],
)
def test_it_runs_as_the_account_that_wrote_the_files(pod: Manifest, access: Manifest, account: str) -> None:
    assert spec(job(pod=pod, access=access))["serviceAccountName"] == account


def test_it_runs_as_the_user_that_wrote_the_files_and_where_trials_can() -> None:
    pod = {
        "securityContext": {"runAsUser": 1000},
        "imagePullSecrets": [{"name": "registry"}],
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "nodeSelector": {"gpu": "true"},
    }
    made = spec(job(pod=pod))
    assert made["securityContext"] == {"fsGroup": 65532, "fsGroupChangePolicy": "OnRootMismatch", "runAsUser": 1000}
    assert (made["imagePullSecrets"], made["tolerations"]) == (pod["imagePullSecrets"], pod["tolerations"])
    assert "nodeSelector" not in made, "nobody starts a GPU node to delete files"
