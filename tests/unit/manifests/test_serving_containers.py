"""Servers other than a runtime's: a container instead of it, one in front of it, where they run, and served names."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.api.model_deployment import ModelDeployment
from keelway.api.model_version import ModelVersion
from keelway.manifests.serving import inference_service, inference_service_name
from tests.unit.lifecycle.builders import a_model_deployment, a_model_version
from tests.unit.manifests.pod_security import violations

IMAGE = "registry.example.com/serve:1"
SCHEDULING: Manifest = {
    "nodeSelector": {"gpu": "yes"},
    "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
}


def spec_of(model_format: str = "sklearn", **serving: Any) -> Manifest:
    version = a_model_version(4)
    version["spec"]["artifact"]["format"] = {"name": model_format}
    deployment = ModelDeployment.model_validate(a_model_deployment(serving=serving))
    spec: Manifest = inference_service(deployment, ModelVersion.model_validate(version))["spec"]
    return spec


def container_of(component: Manifest) -> Manifest:
    (container,) = component["containers"]
    return dict(container)


def env(container: Manifest) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container["env"]}


NAME = "--model_name=churn"


@pytest.mark.parametrize(
    ("runtime", "protocol", "model_format", "args"),
    [
        ("kserve-sklearnserver", "v2", "sklearn", [NAME]),
        ("kserve-xgbserver", "v1", "xgboost", [NAME]),
        ("kserve-huggingfaceserver", "v2", "huggingface", [NAME]),
        ("kserve-tensorflow-serving", "v1", "tensorflow", [NAME]),
        ("kserve-mlserver", "v2", "sklearn", None),
        ("kserve-tritonserver", "v2", "onnx", None),
        ("kserve-torchserve", "v1", "pytorch", None),
        ("kserve-vllmserver", "v2", "vLLM", ["--served-model-name=churn"]),
        ("", "v2", "sklearn", [NAME]),
        ("", "v2", "huggingface", [NAME]),
        ("", "v2", "mlflow", None),
        ("", "v2", "triton", None),
        ("", "v1", "tensorflow", [NAME]),
        ("", "v2", "tensorflow", None),
        ("", "v2", "vLLM", ["--served-model-name=churn"]),
    ],
)
def test_each_family_of_servers_is_told_the_name_in_its_way(
    runtime: str, protocol: str, model_format: str, args: list[str] | None
) -> None:
    model = spec_of(model_format, runtime=runtime, protocol=protocol)["predictor"]["model"]
    assert model.get("args") == args
    takes_a_variable = "mlserver" in runtime or model_format == "mlflow"
    assert ("MLSERVER_MODEL_NAME" in env(model)) == takes_a_variable
    assert env(model).get("MLSERVER_MODEL_NAME", "churn") == "churn"
    assert env(model)["MODEL_VERSION"] == "4"


def test_a_container_stands_instead_of_a_runtime_and_finds_the_model() -> None:
    predictor = spec_of(container={"image": IMAGE, "args": ["--fast"]}, protocol="v1")["predictor"]
    container = container_of(predictor)
    assert "model" not in predictor
    assert (container["name"], container["image"], container["args"]) == ("kserve-container", IMAGE, ["--fast"])
    assert env(container) == {
        "STORAGE_URI": "s3://models/churn/4/",
        "MODEL_NAME": "churn",
        "MODEL_VERSION": "4",
        "PROTOCOL": "v1",
    }


def test_what_a_container_says_stays_said_but_for_the_bytes() -> None:
    said: Manifest = {
        "name": "mine",
        "image": IMAGE,
        "env": [
            {"name": "MODEL_NAME", "value": "other"},
            {"name": "STORAGE_URI", "value": "s3://elsewhere/"},
            {"name": "THREADS", "value": "2"},
        ],
        "resources": {"limits": {"memory": "2Gi"}},
        "lifecycle": {"preStop": {"exec": {"command": ["drain"]}}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
        "securityContext": {"runAsUser": 1000, "readOnlyRootFilesystem": True},
    }
    kept = copy.deepcopy(said)
    container = container_of(spec_of(container=said, resources={"limits": {"memory": "1Gi"}})["predictor"])
    assert said == kept
    for field in ("resources", "lifecycle", "readinessProbe"):
        assert container[field] == said[field]
    assert container["securityContext"].items() >= said["securityContext"].items()
    assert env(container)["MODEL_NAME"] == "other"
    assert env(container)["THREADS"] == "2"
    assert env(container)["STORAGE_URI"] == "s3://models/churn/4/", "the bytes that were verified"
    assert [one["name"] for one in container["env"]].count("STORAGE_URI") == 1


def test_a_container_takes_the_resources_of_serving() -> None:
    container = container_of(spec_of(container={"image": IMAGE}, resources={"limits": {"memory": "1Gi"}})["predictor"])
    assert container["resources"] == {"limits": {"memory": "1Gi"}}


def test_a_container_answers_while_it_is_taken_out_and_leaves_its_last_words() -> None:
    container = container_of(spec_of(container={"image": IMAGE})["predictor"])
    assert container["lifecycle"] == {"preStop": {"sleep": {"seconds": 8}}}
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_a_transformer_asks_the_predictor_under_the_served_name() -> None:
    transformer = spec_of(transformer={"image": IMAGE, "args": ["--fast"]})["transformer"]
    container = container_of(transformer)
    assert container["args"] == ["--fast", "--model_name=churn", "--predictor_protocol=v2"]
    assert "STORAGE_URI" not in env(container), "the model is the predictor's"


def test_a_transformers_own_arguments_win() -> None:
    said = ["--model_name", "mine", "--predictor_protocol=grpc-v2"]
    assert container_of(spec_of(transformer={"image": IMAGE, "args": said})["transformer"])["args"] == said


def test_a_transformer_is_proved_found_and_scaled_like_the_predictor() -> None:
    spec = spec_of(transformer={"image": IMAGE}, minReplicas=2, maxReplicas=5, serviceAccountName="models")
    for field in ("annotations", "labels", "minReplicas", "maxReplicas", "serviceAccountName", "securityContext"):
        assert spec["transformer"][field] == spec["predictor"][field]
    assert spec["transformer"]["annotations"]["keelway.dev/revision"]
    assert "transformer" not in spec_of()


@pytest.mark.parametrize("server", [{}, {"container": {"image": IMAGE}}, {"transformer": {"image": IMAGE}}])
def test_servers_run_where_the_spec_says(server: Manifest) -> None:
    for component in spec_of(**server, scheduling=SCHEDULING).values():
        assert component.items() >= SCHEDULING.items()
    for component in spec_of(**server).values():
        assert not component.keys() & SCHEDULING.keys()


@pytest.mark.parametrize("part", ["container", "transformer"])
def test_they_pass_pod_security_restricted(part: str) -> None:
    server: Manifest = {part: {"image": IMAGE}}
    spec = spec_of(**server)
    component = spec["predictor" if part == "container" else "transformer"]
    assert violations(component) == []
    assert component["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_every_other_way_to_serve_is_another_inference_service() -> None:
    ways: list[Manifest] = [
        {},
        {"container": {"image": IMAGE}},
        {"container": {"image": f"{IMAGE}.1"}},
        {"transformer": {"image": IMAGE}},
        {"transformer": {"image": IMAGE, "env": [{"name": "A", "value": "b"}]}},
        {"scheduling": SCHEDULING},
        {"runtime": "kserve-mlserver"},
        {"protocol": "v1"},
        {"serviceAccountName": "models"},
        {"resources": {"limits": {"cpu": "1"}}},
    ]
    version = ModelVersion.model_validate(a_model_version(4))
    names = [
        inference_service_name(ModelDeployment.model_validate(a_model_deployment(serving=way)), version) for way in ways
    ]
    assert len({*names}) == len(ways)
