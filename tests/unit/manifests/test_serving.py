"""InferenceService, Service and route of a ModelDeployment."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.api.model_deployment import ModelDeployment, Route
from keelway.api.model_version import ModelVersion
from keelway.manifests.serving import Backend, http_route, inference_service, revision, service
from tests.unit.lifecycle.builders import a_model_deployment, a_model_version, a_route


def deployment(**spec: Any) -> ModelDeployment:
    manifest = a_model_deployment(**spec)
    manifest["metadata"]["uid"] = "u-1"
    return ModelDeployment.model_validate(manifest)


VERSION = ModelVersion.model_validate(a_model_version(4))


def predictor(**serving: Any) -> Manifest:
    spec: Manifest = inference_service(deployment(serving=serving), VERSION)["spec"]["predictor"]
    return spec


def test_it_serves_the_recorded_bytes_under_the_deployments_name() -> None:
    model = predictor()["model"]
    assert model["storageUri"] == "s3://models/churn/4/"
    assert model["modelFormat"] == {"name": "sklearn"}
    assert model["protocolVersion"] == "v2"
    assert model["args"] == ["--model_name=churn"]
    assert {"name": "MODEL_VERSION", "value": "4"} in model["env"]
    assert "runtime" not in model, "KServe chooses"


def test_a_format_with_a_version_keeps_it() -> None:
    manifest = a_model_version(4)
    manifest["spec"]["artifact"]["format"] = {"name": "sklearn", "version": "1"}
    made = inference_service(deployment(), ModelVersion.model_validate(manifest))
    assert made["spec"]["predictor"]["model"]["modelFormat"] == {"name": "sklearn", "version": "1"}


def test_what_the_spec_says_about_serving_is_passed_on() -> None:
    spec = predictor(
        runtime="mine",
        protocol="v1",
        minReplicas=2,
        maxReplicas=5,
        resources={"limits": {"memory": "1Gi"}},
        serviceAccountName="models",
    )
    assert (spec["minReplicas"], spec["maxReplicas"], spec["serviceAccountName"]) == (2, 5, "models")
    assert (spec["model"]["runtime"], spec["model"]["protocolVersion"]) == ("mine", "v1")
    assert spec["model"]["resources"] == {"limits": {"memory": "1Gi"}}


@pytest.mark.parametrize(("most", "autoscaler"), [(3, "hpa"), (1, "none")])
def test_it_runs_in_standard_mode_and_scales_where_there_is_room(most: int, autoscaler: str) -> None:
    made = inference_service(deployment(serving={"minReplicas": 1, "maxReplicas": most}), VERSION)
    annotations = made["metadata"]["annotations"]
    assert annotations["serving.kserve.io/deploymentMode"] == "Standard"
    assert annotations["serving.kserve.io/autoscalerClass"] == autoscaler


def test_pods_carry_the_revision_that_proves_them_and_are_found_by_label() -> None:
    spec = predictor()
    assert spec["annotations"]["keelway.dev/revision"] == revision(deployment(), VERSION)[:12]
    assert spec["annotations"]["keelway.dev/for"] == "ModelDeployment/churn"
    assert spec["labels"]["app.kubernetes.io/managed-by"] == "keelway"


@pytest.mark.parametrize(
    "made",
    [
        inference_service(deployment(), VERSION),
        service(deployment(), "churn-v4-01234567"),
        http_route(deployment(), Route.model_validate(a_route()), [Backend("x", 100)]),
    ],
    ids=lambda made: made["kind"],
)
def test_everything_is_owned_by_the_deployment(made: Manifest) -> None:
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == (
        "ModelDeployment",
        "churn",
        "u-1",
        True,
    )
    assert made["metadata"]["labels"]["keelway.dev/modeldeployment"] == "churn"


def test_the_service_has_the_deployments_name_and_selects_one_version() -> None:
    made = service(deployment(), "churn-v4-01234567")
    assert made["metadata"]["name"] == "churn"
    assert made["spec"]["selector"] == {"serving.kserve.io/inferenceservice": "churn-v4-01234567"}
    assert made["spec"]["ports"] == [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]
