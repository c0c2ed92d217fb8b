"""How a server is told the name that a model is asked for by: a ModelDeployment's name, whichever version serves.

Each family of servers has its own way, which this module knows by the runtime's name and, where KServe is to choose the
runtime, by the model's format.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from keelway.api.model_deployment import ModelDeployment, Serving
from keelway.api.model_version import ModelVersion

Family = Literal["KServe", "MLServer", "VLLM", "Repository"]
"""Repository: a directory of models, whose directories' names are the models' names (Triton, TorchServe)."""

BY_RUNTIME: Mapping[str, Family] = {
    "mlserver": "MLServer",
    "triton": "Repository",
    "torchserve": "Repository",
    "vllm": "VLLM",
}
"""By a part of the runtime's name."""
BY_FORMAT: Mapping[str, Family] = {
    "mlflow": "MLServer",
    "onnx": "Repository",
    "pytorch": "Repository",
    "tensorrt": "Repository",
    "triton": "Repository",
    "vllm": "VLLM",
}
"""What KServe's own runtimes of a format are."""
BY_FORMAT_IN_V2: Mapping[str, Family] = {**BY_FORMAT, "tensorflow": "Repository"}
"""TensorFlow's own server knows the first protocol alone."""


def served_name(deployment: ModelDeployment, version: ModelVersion) -> dict[str, Any]:
    """What a predictor's `model` says so that the model has the ModelDeployment's name."""
    match _family(deployment.spec.serving, version.spec.artifact.format.name.lower()):
        case "MLServer":
            # It takes no arguments.
            return {"env": [{"name": "MLSERVER_MODEL_NAME", "value": deployment.name}]}
        case "VLLM":
            return {"args": [f"--served-model-name={deployment.name}"]}
        case "Repository":
            return {}
        case "KServe":
            # The last one of several counts: KServe has put one with the InferenceService's name before it.
            return {"args": [f"--model_name={deployment.name}"]}


def _family(serving: Serving, model_format: str) -> Family:
    if not serving.runtime:
        return (BY_FORMAT_IN_V2 if serving.protocol == "v2" else BY_FORMAT).get(model_format, "KServe")
    return next((family for part, family in BY_RUNTIME.items() if part in serving.runtime.lower()), "KServe")
