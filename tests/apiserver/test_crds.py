"""The CRDs on a real API server: what it takes, stores and refuses, with which words, and what kubectl shows."""

from typing import Any

import pytest
import yaml

from dev.controlplane import ControlPlane
from keelway.api.base import Manifest
from keelway.api.kinds import OWN_KINDS
from tests.apiserver.api import Api, RefusedError
from tests.apiserver.deployments import TAKEN, analysis, check, gate, smoke
from tests.apiserver.refused_datasets import TEMPLATE, derive
from tests.apiserver.refused_objects import REFUSED, float_range
from tests.apiserver.sample_objects import put, shortest

KINDS = [kind.name for kind in OWN_KINDS]
NO_ACCESS = {"endpoint": "", "region": "", "serviceAccountName": ""}
RECORDS = ["DatasetVersion", "ModelVersion"]


@pytest.mark.parametrize("kind", KINDS)
def test_shortest_object_is_accepted_and_waits_to_be_observed(api: Api, namespace: str, kind: str) -> None:
    stored = api.create(shortest(kind, namespace))
    assert stored["status"] == {"observedGeneration": -1}


def test_dataset_is_stored_with_its_defaults(api: Api, namespace: str) -> None:
    stored = api.create(shortest("Dataset", namespace))
    assert stored["spec"] == {
        "owner": {"team": "", "contact": ""},
        "source": {"uri": "s3://lake/churn/", "revision": "", "include": [], "exclude": [], "format": "Auto"},
        "access": {"endpoint": "", "region": "", "serviceAccountName": ""},
        "refresh": {"interval": "10m", "schedule": "", "timeZone": "", "adaptive": False},
        "version": {"identity": "Auto", "pin": ""},
        "schema": {"policy": "Additive", "columns": []},
        "expectations": {"rows": {"severity": "Fail"}, "columns": [], "rules": []},
        "drift": {
            "compareTo": "Previous",
            "statistic": "PSI",
            "warn": 0.1,
            "fail": 0.25,
            "ignore": [],
            "onFail": "Warn",
        },
        "profile": {"maxBytes": "10Gi", "topK": 20},
        "sample": {"rows": 0, "columns": []},
        "splits": [],
        "splitKey": "",
        "job": {"resources": {}, "nodeSelector": {}, "tolerations": [], "serviceAccountName": ""},
        "historyLimit": 10,
        "suspend": False,
    }


def test_derived_dataset_is_stored_with_its_defaults(api: Api, namespace: str) -> None:
    stored = api.create(shortest("Dataset", namespace, spec=derive()))["spec"]
    assert stored["derive"] == {
        "inputs": [{"name": "raw", "dataset": "churn-raw", "version": ""}],
        "sql": "SELECT * FROM raw",
        "output": {
            "uri": "s3://lake/clean/",
            "format": "Parquet",
            "access": {"endpoint": "", "region": "", "serviceAccountName": ""},
        },
    }
    assert "source" not in stored


def test_experiment_is_stored_with_its_defaults(api: Api, namespace: str) -> None:
    spec = api.create(shortest("Experiment", namespace))["spec"]
    assert spec["search"] == {
        "algorithm": "TPE",
        "seed": 42,
        "maxTrials": 20,
        "parallelTrials": 4,
        "maxFailedTrials": 3,
    }
    assert spec["datasets"] == [{"name": "training", "dataset": "churn", "version": "", "split": ""}]
    assert spec["objective"] == {"metric": "auc", "goal": "Maximize"}
    assert (spec["trial"]["timeout"], spec["trial"]["retries"], spec["trial"]["container"]) == ("1h", 1, "")
    assert spec["trigger"] == {
        "onNewDatasetVersion": {"policy": "Always", "minNewRows": 0, "minNewPercent": 0},
        "cooldown": "1h",
        "maxRunsPerDay": 6,
    }
    assert spec["retention"] == {"runs": 10, "models": 5, "jobTTL": "1h"}
    assert (spec["parameters"], spec["reproduce"], spec["tracking"]) == ([], "", {})
    assert "earlyStopping" not in spec


def test_model_deployment_is_stored_with_its_defaults(api: Api, namespace: str) -> None:
    spec = api.create(shortest("ModelDeployment", namespace))["spec"]
    assert spec == {
        "owner": {"team": "", "contact": ""},
        "model": {"name": "churn", "version": "", "access": NO_ACCESS},
        "serving": {
            "runtime": "",
            "protocol": "v2",
            "minReplicas": 1,
            "maxReplicas": 3,
            "resources": {},
            "serviceAccountName": "",
            "container": {},
            "transformer": {},
            "scheduling": {"nodeSelector": {}, "tolerations": []},
        },
        "gates": [],
        "approval": {"mode": "Automatic", "approved": ""},
        "rollout": {
            "strategy": "Canary",
            "smoke": {"requests": [], "maxLatency": "10s"},
            "steps": [{"weight": 10, "hold": "1m"}, {"weight": 50, "hold": "1m"}],
            "progressDeadline": "10m",
            "soak": "10m",
            "holdDown": "1h",
        },
        "suspend": False,
    }


def test_gates_and_analysis_are_stored_with_their_defaults(api: Api, namespace: str) -> None:
    given = {"spec__gates": [gate()], "spec__rollout": {**analysis(check()), **smoke(), "steps": []}}
    spec = api.create(shortest("ModelDeployment", namespace, **given))["spec"]
    (stored,) = spec["gates"]
    assert (stored["dataset"], stored["timeout"], stored["container"]) == (
        {"dataset": "churn", "version": "", "split": ""},
        "1h",
        "",
    )
    assert stored["checks"] == [{"metric": "auc", "goal": "Maximize", "min": 0.8}]
    assert spec["rollout"]["steps"] == [], "none is not the default"
    assert spec["rollout"]["smoke"]["requests"] == [
        {"path": "/v2/health/ready", "method": "", "body": "", "contentType": "application/json", "expectStatus": 200}
    ]
    assert spec["rollout"]["analysis"] == {
        "interval": "15s",
        "failureLimit": 0,
        "prometheus": {
            "url": "http://prometheus:9090",
            "checks": [{"name": "errors", "query": "up", "max": 0.01, "noData": "Wait"}],
        },
    }


def test_pod_template_is_stored_as_written(api: Api, namespace: str) -> None:
    resources = {"limits": {"cpu": "500m", "nvidia.com/gpu": 1}}
    container = {"name": "train", "image": "dev.local/train:1", "resources": resources}
    template = {
        "metadata": {"labels": {"team": "growth"}, "annotations": {"example.com/note": "kept"}},
        "spec": {"containers": [container], "nodeSelector": {"disk": "ssd"}, "priorityClassName": "low"},
    }
    stored = api.create(shortest("Experiment", namespace, spec__trial__job__template=template))
    assert stored["spec"]["trial"]["job"]["template"] == template


ACCEPTED = [
    pytest.param("Dataset", "spec.source.uri", "pvc://data/churn", id="a volume as the source"),
    pytest.param("Dataset", "spec.source.uri", "s3://lake", id="a whole bucket"),
    pytest.param("Dataset", "spec.source.uri", "https://example.com/churn.csv", id="a file on the web"),
    pytest.param("Dataset", "spec.source.uri", "hf://datasets/owner/name", id="a data set of a hub"),
    pytest.param("Dataset", "spec", derive(), id="a query over another Dataset"),
    pytest.param("Dataset", "spec", derive(sql=None, job={"template": TEMPLATE}), id="a Job over another Dataset"),
    pytest.param("Dataset", "spec.refresh", {"schedule": "0 6 * * 1-5", "timeZone": "Europe/Berlin"}, id="cron"),
    pytest.param("Dataset", "spec.refresh", {"schedule": "@daily"}, id="once a day"),
    pytest.param("Dataset", "spec.drift", {"warn": 0.2, "fail": 0.2, "compareTo": "3"}, id="drift against a version"),
    pytest.param(
        "Dataset",
        "spec.expectations",
        {"rows": {"min": 1}, "rules": [{"name": "future", "violation": "day > now()"}], "freshness": {"maxAge": "48h"}},
        id="expectations",
    ),
    pytest.param(
        "Dataset",
        "spec.splits",
        [{"name": name, "percent": percent} for name, percent in (("a", 33.4), ("b", 33.3), ("c", 33.3))],
        id="thirds",
    ),
    pytest.param("Dataset", "metadata.name", "d" * 200, id="a long name"),
    pytest.param("Experiment", "metadata.name", "e" * 253, id="the longest name"),
    pytest.param("ModelDeployment", "metadata.name", "m" * 63, id="the longest name of a Service"),
    pytest.param("Experiment", "spec.datasets.0.version", "7", id="a pinned number"),
    pytest.param("Experiment", "spec.datasets.0.version", f"listing:sha256:{'a' * 64}", id="a pinned digest"),
    pytest.param("Experiment", "spec.parameters", float_range(min=0.01, max=1, scale="Log"), id="logarithmic range"),
    pytest.param("Experiment", "spec.parameters", float_range(min=-1, max=-1), id="range of one point"),
    pytest.param(
        "Experiment", "spec.parameters", [{"name": "booster", "choice": {"values": ["tree", 3]}}], id="mixed choice"
    ),
    *(pytest.param("ModelDeployment", path, value, id=what) for what, (path, value) in TAKEN.items()),
]


@pytest.mark.parametrize(("kind", "path", "value"), ACCEPTED)
def test_accepts(api: Api, kind: str, path: str, value: Any) -> None:
    manifest = shortest(kind, "default")
    put(manifest, path, value)
    assert api.create(manifest, dry_run=True)["metadata"]["uid"]


@pytest.mark.parametrize(("kind", "path", "value", "message"), REFUSED, ids=[f"{r[0]} {r[1]}" for r in REFUSED])
def test_refuses_with_what_to_write_instead(kind: str, path: str, value: Any, message: str, api: Api) -> None:
    manifest = shortest(kind, "default")
    put(manifest, path, value)
    with pytest.raises(RefusedError) as refused:
        api.create(manifest)
    assert message in refused.value.message


def test_grid_needs_steps(api: Api, namespace: str) -> None:
    grid = {"spec__search": {"algorithm": "Grid"}}
    stepped = shortest("Experiment", namespace, spec__parameters=float_range(min=0, max=1, step=0.5), **grid)
    assert api.create(stepped)["spec"]["search"]["algorithm"] == "Grid"
    with pytest.raises(RefusedError, match=r"algorithm: Grid needs float\.step on every float parameter"):
        api.create(shortest("Experiment", namespace, spec__parameters=float_range(min=0, max=1), **grid))


@pytest.mark.parametrize("kind", KINDS)
def test_kubectl_apply_shows_the_refusal(plane: ControlPlane, kind: str) -> None:
    manifest = shortest(kind, "default")
    put(manifest, "spec.bogus", True)
    with pytest.raises(Exception, match=r'unknown field "spec\.bogus"'):
        plane.kubectl("apply", "--validate=strict", "-f", "-", input=yaml.safe_dump(manifest))


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("DatasetVersion", "spec.rows", 101),
        ("DatasetVersion", "spec.schema.columns.0.name", "years"),
        ("DatasetVersion", "spec.manifest.ref.configMap", "other"),
        ("ModelVersion", "spec.version", 2),
        ("ModelVersion", "spec.metrics.auc", 0.99),
        ("ModelVersion", "spec.producedBy.parameters.depth", 4),
        ("ModelVersion", "spec.objective", "auc"),
    ],
)
def test_record_never_changes(api: Api, namespace: str, kind: str, path: str, value: Any) -> None:
    record = api.create(shortest(kind, namespace))
    put(record, path, value)
    with pytest.raises(RefusedError, match="a record never changes: spec is immutable"):
        api.patch(kind, namespace, record["metadata"]["name"], {"spec": record["spec"]})


@pytest.mark.parametrize("kind", RECORDS)
def test_metadata_and_status_of_a_record_may_change(api: Api, namespace: str, kind: str) -> None:
    name = api.create(shortest(kind, namespace))["metadata"]["name"]
    api.patch(kind, namespace, name, {"metadata": {"labels": {"seen": "yes"}}})
    after = api.patch(kind, namespace, name, {"status": {"observedGeneration": 1}}, part="status")
    assert (after["metadata"]["labels"], after["status"]["observedGeneration"]) == ({"seen": "yes"}, 1)


def test_scheme_of_a_source_never_changes_but_its_place_may(api: Api, namespace: str) -> None:
    api.create(shortest("Dataset", namespace))
    api.patch("Dataset", namespace, "churn", {"spec": {"source": {"uri": "s3://elsewhere/churn/"}}})
    with pytest.raises(RefusedError, match="the scheme of uri cannot change: make a new Dataset"):
        api.patch("Dataset", namespace, "churn", {"spec": {"source": {"uri": "pvc://data/churn/"}}})


def test_spec_and_status_are_written_apart(api: Api, namespace: str) -> None:
    api.create(shortest("Dataset", namespace, status={"observedGeneration": 7}))
    api.patch("Dataset", namespace, "churn", {"spec": {"suspend": True}, "status": {"observedGeneration": 8}})
    after = api.patch(
        "Dataset", namespace, "churn", {"spec": {"suspend": False}, "status": {"observedGeneration": 2}}, part="status"
    )
    assert (after["spec"]["suspend"], after["status"]["observedGeneration"]) == (True, 2)


def test_two_writers_of_conditions_keep_each_other_s(api: Api, namespace: str) -> None:
    api.create(shortest("Dataset", namespace))
    moment = "2026-01-01T00:00:00Z"
    for type_ in ("Ready", "Audited"):
        condition = {"type": type_, "status": "True", "reason": "Fine", "lastTransitionTime": moment}
        _apply_status(api, namespace, {"conditions": [condition]}, manager=type_)
    stored = api.get("Dataset", namespace, "churn")
    assert stored is not None
    assert [condition["type"] for condition in stored["status"]["conditions"]] == ["Ready", "Audited"]


def _apply_status(api: Api, namespace: str, status: Manifest, *, manager: str) -> None:
    body = {"apiVersion": "keelway.dev/v1alpha1", "kind": "Dataset", "metadata": {"name": "churn"}, "status": status}
    api.request(
        "PATCH",
        f"/apis/keelway.dev/v1alpha1/namespaces/{namespace}/datasets/churn/status",
        body=body,
        query={"fieldManager": manager},
        content_type="application/apply-patch+yaml",
    )


MOMENT = "2026-01-01T00:00:00Z"
READY = [{"type": "Ready", "status": "True", "reason": "Ready", "lastTransitionTime": MOMENT}]


@pytest.mark.parametrize(
    ("kind", "short_name", "status", "header", "row"),
    [
        (
            "Dataset",
            "dset",
            {
                "conditions": READY,
                "current": {
                    "version": 7,
                    "name": "churn-v7-0a1b2c3d",
                    "digest": "listing:sha256:0a1b",
                    "shortDigest": "listing:0a1b",
                    "rows": 120000,
                    "bytes": "31Mi",
                    "valid": "True",
                    "drift": "0.03",
                    "observedAt": "2026-01-01T00:00:00Z",
                },
            },
            "NAME VERSION DIGEST ROWS SIZE VALID DRIFT READY REASON AGE",
            "churn 7 listing:0a1b 120000 31Mi True 0.03 True Ready",
        ),
        (
            "Experiment",
            "exper",
            {"conditions": READY, "model": {"name": "churn-v4", "version": 4}},
            "NAME RUN TRIALS BEST METRIC MODEL READY REASON AGE",
            "churn auc churn-v4 True Ready",
        ),
        (
            "ModelDeployment",
            "mdeploy",
            {
                "conditions": READY,
                "url": "http://churn.example.com/",
                "live": {
                    "version": 3,
                    "name": "churn-v3",
                    "inferenceService": "churn-v3-0a1b2c3d",
                    "weight": 90,
                    "since": MOMENT,
                },
                "candidate": {
                    "version": 4,
                    "name": "churn-v4",
                    "inferenceService": "churn-v4-0a1b2c3d",
                    "phase": "Canary",
                    "step": 1,
                    "weight": 10,
                    "since": MOMENT,
                },
            },
            "NAME LIVE CANDIDATE PHASE STEP WEIGHT URL READY REASON AGE",
            "churn 3 4 Canary 1 10 http://churn.example.com/ True Ready",
        ),
        (
            "DatasetVersion",
            "dsetv",
            {"verdict": "Valid"},
            "NAME DATASET VERSION ROWS CHANGE SCHEMA-CHANGE VALID AGE",
            "churn-v1-0a1b2c3d churn 1 100 Valid",
        ),
        (
            "ModelVersion",
            "modelv",
            {"state": "Live"},
            "NAME MODEL VERSION METRIC EXPERIMENT DATASET STATE AGE",
            "churn-v1 churn 1 Live",
        ),
    ],
)
def test_kubectl_get_shows_how_it_stands(
    plane: ControlPlane, api: Api, namespace: str, kind: str, short_name: str, status: Manifest, header: str, row: str
) -> None:
    name = api.create(shortest(kind, namespace))["metadata"]["name"]
    api.patch(kind, namespace, name, {"status": status}, part="status")
    first, second = plane.kubectl("get", short_name, "-n", namespace).splitlines()
    assert first.split() == header.split()
    assert second.split()[:-1] == row.split()


def test_category_lists_all_five_kinds(plane: ControlPlane, api: Api, namespace: str) -> None:
    for kind in KINDS:
        api.create(shortest(kind, namespace))
    # Reads anew which kinds there are; of what kubectl remembers some are missing.
    plane.kubectl("api-resources")
    listed = plane.kubectl("get", "keelway", "-n", namespace, "-o", "name").split()
    assert {line.partition(".")[0] for line in listed} == {kind.lower() for kind in KINDS}


def test_kubectl_explain_tells_the_fields(plane: ControlPlane) -> None:
    assert "Which files make up the data set." in plane.kubectl("explain", "dataset.spec.source")
