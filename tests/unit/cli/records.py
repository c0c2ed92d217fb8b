"""Objects of one whole chain as an API server returns them."""

from typing import Any

from keelway.api.kinds import Key

NAMESPACE = "demo"
DIGEST = f"listing:sha256:{'d' * 64}"
ARTIFACT = f"sha256:{'a' * 64}"


def model_deployment(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "tumour", "namespace": NAMESPACE},
        "spec": {"model": {"name": "tumour"}, "owner": {"team": "oncology", "contact": "#oncology"}},
        "status": status,
    }


LIVE: dict[str, Any] = {
    "live": {
        "version": 3,
        "name": "tumour-v3",
        "inferenceService": "tumour-v3-abc",
        "weight": 100,
        "since": "2026-01-02T03:04:05Z",
    },
    "url": "http://tumour.example.com/",
}

MODEL_VERSION: dict[str, Any] = {
    "metadata": {"name": "tumour-v3", "namespace": NAMESPACE, "creationTimestamp": "2026-01-02T03:00:00Z"},
    "spec": {
        "model": "tumour",
        "version": 3,
        "artifact": {
            "uri": "s3://models/tumour/aaaaaaaaaaaa/",
            "digest": ARTIFACT,
            "bytes": 4096,
            "files": 2,
            "format": {"name": "sklearn", "version": "1"},
        },
        "metrics": {"auc": 0.9876, "rows": 455},
        "inputs": [
            {
                "name": "training",
                "dataset": "tumours",
                "datasetVersion": "tumours-v7-dddddddddddd",
                "digest": DIGEST,
                "split": "train",
            }
        ],
        "producedBy": {
            "experiment": "tumour-search",
            "uid": "u-1",
            "run": 2,
            "runHash": "0123456789abcdef",
            "trial": 5,
            "parameters": {"depth": 4, "learning_rate": 0.05, "booster": "gbtree"},
            "seed": 42,
            "image": "dev.local/trainer:1",
            "imageID": f"sha256:{'e' * 64}",
        },
    },
}

DATASET_VERSION: dict[str, Any] = {
    "metadata": {"name": "tumours-v7-dddddddddddd", "namespace": NAMESPACE},
    "spec": {
        "dataset": {"name": "tumours", "uid": "u-2"},
        "version": 7,
        "digest": DIGEST,
        "source": {"uri": "s3://lake/tumours/", "format": "Parquet", "access": {"endpoint": "http://s3.storage"}},
        "manifest": {"files": 3, "bytes": 90000, "ref": {"configMap": "tumours-v7"}, "sha256": "f" * 64},
        "schema": {"digest": "9" * 64, "columns": [{"name": "radius", "type": "double"}], "total": 31},
        "rows": 569,
        "splits": [{"name": "train", "rows": 455}, {"name": "holdout", "rows": 114}],
    },
}


RAW_DIGEST = f"listing:sha256:{'b' * 64}"
RAW_VERSION: dict[str, Any] = {
    "metadata": {"name": "raw-v3-bbbbbbbb", "namespace": NAMESPACE},
    "spec": {
        "dataset": {"name": "raw", "uid": "u-3"},
        "version": 3,
        "digest": RAW_DIGEST,
        "source": {"uri": "s3://lake/raw/", "format": "CSV"},
        "manifest": {"files": 2, "bytes": 5000, "ref": {"configMap": "raw-v3"}, "sha256": "1" * 64},
        "schema": {"digest": "2" * 64, "columns": [{"name": "radius", "type": "double"}], "total": 1},
        "rows": 600,
    },
    "status": {"verdict": "Valid"},
}
CODE = f"sql:sha256:{'c' * 64}"
DERIVED_VERSION: dict[str, Any] = {
    "metadata": {"name": "clean-v2-eeeeeeee", "namespace": NAMESPACE},
    "spec": {
        **RAW_VERSION["spec"],
        "dataset": {"name": "clean", "uid": "u-4"},
        "version": 2,
        "digest": f"content:sha256:{'e' * 64}",
        "source": {"uri": "s3://lake/clean/777777777777/", "format": "Parquet"},
        "rows": 590,
        "derivedFrom": [
            {"name": "raw", "dataset": "raw", "datasetVersion": "raw-v3-bbbbbbbb", "digest": RAW_DIGEST},
            {"name": "tumours", "dataset": "tumours", "datasetVersion": "tumours-v7-dddddddddddd", "digest": DIGEST},
        ],
        "derivation": {"hash": "7" * 64, "code": CODE},
    },
    "status": {"verdict": "Valid"},
}


def dataset(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "clean", "namespace": NAMESPACE},
        "spec": {"owner": {"team": "oncology"}, "source": {"uri": "s3://lake/clean/"}},
        "status": status,
    }


def an_experiment(name: str = "tumour-search", *, spec: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    """The Experiment that made the model, or another like it."""
    template = {"spec": {"containers": [{"name": "train", "image": "dev.local/trainer:1"}]}}
    return {
        "apiVersion": "keelway.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": "u-1"},
        "spec": {
            "datasets": [{"name": "training", "dataset": "tumours", "split": "train"}],
            "objective": {"metric": "auc"},
            "trial": {"job": {"template": template}},
            "output": {"model": "tumour", "format": {"name": "sklearn"}, "uri": "s3://models/tumour/"},
            **(spec or {}),
        },
        "status": status,
    }


GOOD: dict[str, Any] = {"lastGood": {"version": 2, "name": "clean-v2-eeeeeeee", "digest": f"content:sha256:{'e' * 64}"}}


def chain() -> dict[Key, dict[str, Any]]:
    """What the store holds when all is well."""
    return {
        Key("ModelDeployment", NAMESPACE, "tumour"): model_deployment(**LIVE),
        Key("ModelVersion", NAMESPACE, "tumour-v3"): MODEL_VERSION,
        Key("DatasetVersion", NAMESPACE, "tumours-v7-dddddddddddd"): DATASET_VERSION,
        Key("Dataset", NAMESPACE, "clean"): dataset(**GOOD),
        Key("DatasetVersion", NAMESPACE, "clean-v2-eeeeeeee"): DERIVED_VERSION,
        Key("DatasetVersion", NAMESPACE, "raw-v3-bbbbbbbb"): RAW_VERSION,
    }
