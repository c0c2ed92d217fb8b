"""Containers of the user's that serve: instead of a runtime, or in front of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keelway.api.base import Manifest
from keelway.api.model_deployment import ModelDeployment
from keelway.api.model_version import ModelVersion
from keelway.manifests.worker_container import RESTRICTED

SERVER_PORT = 8080
MAIN_CONTAINER = "kserve-container"
"""The one that KServe sends requests to and mounts the model into; it gives a single container this name anyway."""
STORAGE = "STORAGE_URI"
"""What KServe reads the model's place from."""
DRAIN_SECONDS = 8
"""How long a server that is to end still answers, while those who send it requests learn of that."""
DEFAULTS: Mapping[str, Any] = {
    "terminationMessagePolicy": "FallbackToLogsOnError",
    "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}},
}


def predictor_container(deployment: ModelDeployment, version: ModelVersion) -> Manifest:
    """`serving.container`; KServe puts the model into /mnt/models."""
    serving, artifact = deployment.spec.serving, version.spec.artifact
    resources = {"resources": serving.resources} if serving.resources else {}
    container = _container({**resources, **serving.container}, _told(deployment, version))
    elsewhere = [one for one in container["env"] if one.get("name") != STORAGE]
    # Not the user's to say: no other bytes were verified.
    return {**container, "env": [{"name": STORAGE, "value": artifact.uri}, *elsewhere]}


def transformer_container(deployment: ModelDeployment, version: ModelVersion) -> Manifest:
    """`serving.transformer`: asks the predictor, whose address KServe appends to its arguments."""
    given = deployment.spec.serving.transformer
    options = {"--model_name": deployment.name, "--predictor_protocol": deployment.spec.serving.protocol}
    said = [str(argument) for argument in given.get("args", [])]
    ours = [f"{name}={value}" for name, value in options.items() if not any(one.startswith(name) for one in said)]
    return _container({**given, "args": [*said, *ours]}, _told(deployment, version))


def _container(given: Mapping[str, Any], told: list[Manifest]) -> Manifest:
    """The container as given, with what the user left open."""
    env = list(given.get("env", []))
    ours = [one for one in told if one["name"] not in {variable.get("name") for variable in env}]
    return {
        **DEFAULTS,
        **given,
        "name": MAIN_CONTAINER,
        "env": [*ours, *env],
        "securityContext": {**RESTRICTED, **given.get("securityContext", {})},
    }


def _told(deployment: ModelDeployment, version: ModelVersion) -> list[Manifest]:
    told = {
        "MODEL_NAME": deployment.name,
        "MODEL_VERSION": str(version.spec.version),
        # KServe's name for it.
        "PROTOCOL": deployment.spec.serving.protocol,
    }
    return [{"name": name, "value": value} for name, value in told.items()]
