"""Every way to serve a model, in every surrounding: the InferenceServices that others have to take."""

from __future__ import annotations

import itertools

from keelway.api.base import Manifest
from keelway.api.model_deployment import ModelDeployment
from keelway.api.model_version import ModelVersion
from keelway.manifests.serving import inference_service
from tests.unit.lifecycle.builders import a_model_deployment, a_model_version

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


WAYS = [f"{server}, {around}" for server, around in itertools.product(SERVERS, SURROUNDINGS)]


def made(way: str = "KServe's choice, nothing") -> Manifest:
    """The InferenceService of one of the ways."""
    server, _, around = way.partition(", ")
    version, deployment = a_model_version(4), a_model_deployment(serving={**SERVERS[server], **SURROUNDINGS[around]})
    version["spec"]["artifact"]["format"] = {"name": "sklearn", "version": "1"}
    deployment["metadata"]["uid"] = "u-1"
    return inference_service(ModelDeployment.model_validate(deployment), ModelVersion.model_validate(version))
