"""KServe's own client takes every InferenceService that is made."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dev.environments import python_of
from keelway.api.base import Manifest
from keelway.api.model_deployment import ModelDeployment
from keelway.api.model_version import ModelVersion
from keelway.manifests.serving import inference_service
from tests.unit.lifecycle.builders import a_model_deployment, a_model_version

SCRIPT = Path(__file__).with_name("kserve_models.py")
CONTAINER: Manifest = {
    "image": "registry.example.com/serve:1",
    "command": ["serve"],
    "env": [{"name": "THREADS", "value": "2"}],
    "ports": [{"containerPort": 8080, "protocol": "TCP"}],
    "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1},
}
SERVERS: dict[str, Manifest] = {
    "KServe's choice": {},
    "MLServer": {"runtime": "kserve-mlserver"},
    "Triton": {"runtime": "kserve-tritonserver"},
    "Hugging Face": {"runtime": "kserve-huggingfaceserver", "resources": {"limits": {"nvidia.com/gpu": "1"}}},
    "vLLM": {"runtime": "kserve-vllmserver"},
    "a container": {"container": CONTAINER},
}
SURROUNDINGS: dict[str, Manifest] = {
    "nothing": {},
    "a transformer": {"transformer": {"image": "registry.example.com/transform:1"}},
    "scheduling": {
        "scheduling": {
            "nodeSelector": {"gpu": "yes"},
            "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        },
        "serviceAccountName": "models",
    },
    "fixed replicas, first protocol": {"minReplicas": 2, "maxReplicas": 2, "protocol": "v1"},
}


def made(**serving: Any) -> Manifest:
    version = a_model_version(4)
    version["spec"]["artifact"]["format"] = {"name": "sklearn", "version": "1"}
    deployment = ModelDeployment.model_validate(a_model_deployment(serving=serving))
    return inference_service(deployment, ModelVersion.model_validate(version))


def said_of(manifests: list[Manifest]) -> list[list[str]]:
    """What KServe's client has against each."""
    done = subprocess.run(
        [python_of("kserve"), SCRIPT], input=json.dumps(manifests), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answers: list[list[str]] = json.loads(done.stdout)
    return answers


MISTAKES: list[tuple[str, Any, str]] = [
    ("minReplica", 1, "V1beta1PredictorSpec has no minReplica"),
    ("maxReplicas", "3", "is no int"),
    ("model", {"storageUri": "s3://models/churn/"}, "`model_format`, must not be `None`"),
    ("tolerations", [{"keys": "gpu"}], "the model keeps {}"),
    ("containers", [{"image": "a"}], "name"),
]


@pytest.fixture(scope="module")
def answers() -> dict[str, list[str]]:
    """Of every server in every surrounding, and of every mistake, in one go: the client takes seconds to load."""
    manifests = {
        f"{server}, {around}": made(**SERVERS[server], **SURROUNDINGS[around])
        for server, around in itertools.product(SERVERS, SURROUNDINGS)
    }
    for field, value, _ in MISTAKES:
        wrong = made()
        wrong["spec"]["predictor"][field] = value
        manifests[field] = wrong
    return dict(zip(manifests, said_of(list(manifests.values())), strict=True))


@pytest.mark.parametrize("around", SURROUNDINGS)
@pytest.mark.parametrize("server", SERVERS)
def test_the_client_takes_what_is_made(server: str, around: str, answers: dict[str, list[str]]) -> None:
    assert answers[f"{server}, {around}"] == []


@pytest.mark.parametrize(("field", "message"), [(field, message) for field, _, message in MISTAKES])
def test_the_client_would_see_a_mistake(field: str, message: str, answers: dict[str, list[str]]) -> None:
    (said,) = answers[field]
    assert message in said
