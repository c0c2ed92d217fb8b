"""The same model behind a ModelDeployment: the example's gate, smoke request, steps and analysis."""

from collections.abc import Mapping

from dev.comparison.models import JUDGED_BY, ModelFiles
from dev.demo.data import as_csv, tumours
from dev.demo.examples import Manifest, example
from dev.images import BuiltImage
from dev.platform.endpoints import S3_IN_CLUSTER, S3_REGION

NAME = "tumour-classifier"
"""That of the example: its smoke requests name it."""
HOST = "keelway.comparison.example.com"
DATA = "tumours"
ACCESS = {"endpoint": S3_IN_CLUSTER, "region": S3_REGION, "secretRef": {"name": "s3-access"}}


def data_files() -> dict[str, bytes]:
    """The rows that models are judged by."""
    return {"part-1.csv": as_csv(tumours()[JUDGED_BY])}


def dataset(namespace: str, bucket: str) -> Manifest:
    """Where they lie, and which of them the gate reads."""
    spec = {
        "source": {"uri": f"s3://{bucket}/{DATA}/", "format": "CSV"},
        "access": ACCESS,
        "refresh": {"interval": "1h"},
        "splits": [{"name": "holdout", "percent": 50}, {"name": "rest", "percent": 50}],
    }
    return _resource("Dataset", DATA, namespace, spec)


def deployment(namespace: str, images: Mapping[str, BuiltImage]) -> Manifest:
    """`examples/model-deployment.yaml` with a host of its own; the next case need not wait for a hold-down."""
    manifest = example("model-deployment", images)
    manifest["metadata"]["namespace"] = namespace
    manifest["spec"]["route"]["hostnames"] = [HOST]
    manifest["spec"]["rollout"]["holdDown"] = "10s"
    return manifest


def model_version(namespace: str, bucket: str, model: ModelFiles, version: int) -> Manifest:
    """The record of a model, as a person or a pipeline writes it."""
    artifact = {
        "uri": f"s3://{bucket}/{model.directory}/",
        "digest": model.digest,
        "format": {"name": "sklearn", "version": "1"},
    }
    spec = {
        "model": NAME,
        "version": version,
        "artifact": artifact,
        "producedBy": {"external": {"system": "a notebook"}},
    }
    return _resource("ModelVersion", f"{NAME}-v{version}", namespace, spec)


def _resource(kind: str, name: str, namespace: str, spec: Manifest) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "keelway.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
