"""The objects that cases are told with: the shortest ones that are useful, changed where a case says so."""

from __future__ import annotations

from typing import Any

from keelway.api import API_VERSION
from keelway.api.base import Manifest
from keelway.api.digests import sha256
from keelway.api.kinds import Key

NAMESPACE = "ml"
DATASET = Key("Dataset", NAMESPACE, "churn")
EXPERIMENT = Key("Experiment", NAMESPACE, "churn-gbt")
DEPLOYMENT = Key("ModelDeployment", NAMESPACE, "churn")
SHA = "0123456789abcdef" * 4


def resource(kind: str, name: str, spec: Manifest, **metadata: Any) -> Manifest:
    """One of Keelway's own objects as a user writes it."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE, **metadata},
        "spec": spec,
    }


def a_dataset(name: str = "churn", **spec: Any) -> Manifest:
    """A Dataset in a bucket with two splits; `spec` replaces fields."""
    splits = [{"name": "train", "percent": 80}, {"name": "holdout", "percent": 20}]
    return resource("Dataset", name, {"source": {"uri": "s3://lake/churn/"}, "splits": splits, **spec})


def an_experiment(name: str = "churn-gbt", *, trials: int = 2, **spec: Any) -> Manifest:
    """An Experiment on the training split with one parameter to search; `spec` replaces fields."""
    template = {"spec": {"containers": [{"name": "train", "image": "registry.example.com/train:1"}]}}
    return resource(
        "Experiment",
        name,
        {
            "datasets": [{"name": "training", "dataset": "churn", "split": "train"}],
            "objective": {"metric": "auc"},
            "parameters": [{"name": "depth", "int": {"min": 2, "max": 900}}],
            "search": {"algorithm": "Random", "maxTrials": trials, "parallelTrials": trials, "maxFailedTrials": 0},
            "trial": {"job": {"template": template}},
            "output": {"model": "churn", "format": {"name": "sklearn"}, "uri": "s3://models/churn/"},
            **spec,
        },
    )


def a_model_version(number: int, *, model: str = "churn", **spec: Any) -> Manifest:
    """A ModelVersion brought in by hand."""
    uri = f"s3://models/{model}/{number}/"
    artifact = {"uri": uri, "digest": f"sha256:{SHA}", "format": {"name": "sklearn"}}
    origin = {"external": {"system": "notebook"}}
    return resource(
        "ModelVersion",
        f"{model}-v{number}",
        {"model": model, "version": number, "artifact": artifact, "producedBy": origin, **spec},
    )


def a_model_deployment(name: str = "churn", *, version: str = "", **spec: Any) -> Manifest:
    """A ModelDeployment of the model `churn`, for the cluster alone."""
    return resource("ModelDeployment", name, {"model": {"name": "churn", "version": version}, **spec})


def a_route(**fields: Any) -> Manifest:
    """`spec.route` of a ModelDeployment."""
    return {"gateway": {"name": "public", "namespace": "infra"}, "hostnames": ["churn.example.com"], **fields}


def a_dataset_version(
    number: int, edition: str, *, name: str = "churn", uid: str, splits: tuple[str, ...] = ("train",), rows: int = 100
) -> Manifest:
    """Version `number` of a Dataset with this uid; `edition` names its bytes."""
    digest = f"listing:sha256:{sha256(edition.encode())}"
    files = {"files": 1, "bytes": 10, "ref": {"configMap": f"{name}-v{number}-files"}, "sha256": sha256(b"list")}
    return resource(
        "DatasetVersion",
        f"{name}-v{number}-{sha256(f'{uid}{edition}'.encode())[:8]}",
        {
            "dataset": {"name": name, "uid": uid},
            "version": number,
            "digest": digest,
            "source": {"uri": f"s3://lake/{name}/", "format": "Parquet"},
            "manifest": files,
            "schema": {"digest": "sha256:schema", "columns": [{"name": "age", "type": "bigint"}], "total": 1},
            "rows": rows,
            "splits": [{"name": split, "rows": 80} for split in splits],
        },
    )
