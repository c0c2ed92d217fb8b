"""The way to the servers: the route with its weights, and who stands at the end of it."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.api.model_deployment import ModelDeployment
from keelway.api.model_version import ModelVersion
from keelway.manifests.serving import Backend, entry_service, http_route, inference_service_name, service
from keelway.manifests.smoke_job import smoke_job
from tests.unit.lifecycle.builders import a_model_deployment, a_model_version, a_route

LIVE, CANDIDATE = "churn-v4-01234567", "churn-v5-89abcdef"
TRANSFORMED = "churn-v5t-89abcdef"
VERSION = ModelVersion.model_validate(a_model_version(4))


def route(*backends: Backend, dark: str = "", **fields: Any) -> Manifest:
    of = ModelDeployment.model_validate(a_model_deployment(route=a_route(**fields)))
    assert of.spec.route is not None
    return http_route(of, of.spec.route, backends or [Backend(LIVE, 100)], dark=dark)


def test_a_canary_has_its_share_and_those_who_ask_for_it() -> None:
    made = route(Backend(LIVE, 90), Backend(CANDIDATE, 10), dark=CANDIDATE, path="/churn")
    path = {"type": "PathPrefix", "value": "/churn"}
    assert (made["apiVersion"], made["kind"]) == ("gateway.networking.k8s.io/v1", "HTTPRoute")
    assert made["metadata"]["name"] == "churn"
    assert made["spec"] == {
        "parentRefs": [{"name": "public", "namespace": "infra"}],
        "hostnames": ["churn.example.com"],
        "rules": [
            {
                "matches": [{"path": path, "headers": [{"name": "x-keelway-candidate", "value": "true"}]}],
                "backendRefs": [{"name": f"{CANDIDATE}-predictor", "port": 80, "weight": 100}],
            },
            {
                "matches": [{"path": path}],
                "backendRefs": [
                    {"name": f"{LIVE}-predictor", "port": 80, "weight": 90},
                    {"name": f"{CANDIDATE}-predictor", "port": 80, "weight": 10},
                ],
            },
        ],
    }


def test_without_a_candidate_there_is_one_rule_and_one_backend() -> None:
    (rule,) = route()["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    assert rule["backendRefs"] == [{"name": f"{LIVE}-predictor", "port": 80, "weight": 100}]


def test_a_gateway_without_a_namespace_is_in_the_deployments_own() -> None:
    assert route(gateway={"name": "local"})["spec"]["parentRefs"] == [{"name": "local", "namespace": "ml"}]


def test_a_route_without_hostnames_has_none() -> None:
    assert "hostnames" not in route(hostnames=[])["spec"]


@pytest.mark.parametrize(
    ("inference_service", "entry"),
    [
        (LIVE, f"{LIVE}-predictor"),
        (TRANSFORMED, f"{TRANSFORMED}-transformer"),
        ("m-v1t-v12-01234567", "m-v1t-v12-01234567-predictor"),
        ("m-v1-v12t-01234567", "m-v1-v12t-01234567-transformer"),
    ],
)
def test_requests_go_to_the_transformer_where_there_is_one(inference_service: str, entry: str) -> None:
    assert entry_service(inference_service) == entry
    (rule,) = route(Backend(inference_service, 100))["spec"]["rules"]
    assert rule["backendRefs"][0]["name"] == entry


def test_each_version_keeps_its_entry_while_a_transformer_comes_or_goes() -> None:
    refs = route(Backend(LIVE, 50), Backend(TRANSFORMED, 50))["spec"]["rules"][0]["backendRefs"]
    assert [one["name"] for one in refs] == [f"{LIVE}-predictor", f"{TRANSFORMED}-transformer"]


@pytest.mark.parametrize("name", ["churn", "a" * 63, "m-v1t-0123abcd"])
@pytest.mark.parametrize(("transformer", "part"), [({}, "predictor"), ({"image": "a"}, "transformer")])
def test_the_name_says_whether_there_is_a_transformer(name: str, transformer: Manifest, part: str) -> None:
    of = ModelDeployment.model_validate(a_model_deployment(name, serving={"transformer": transformer}))
    made = inference_service_name(of, VERSION)
    assert entry_service(made) == f"{made}-{part}"
    assert len(f"isvc.{made}-{part}") <= 63, "KServe makes a label of it"


@pytest.mark.parametrize(
    ("inference_service", "selector"),
    [
        (LIVE, {"serving.kserve.io/inferenceservice": LIVE}),
        (TRANSFORMED, {"serving.kserve.io/inferenceservice": TRANSFORMED, "component": "transformer"}),
    ],
)
def test_the_service_selects_the_pods_that_take_requests(inference_service: str, selector: Manifest) -> None:
    made = service(ModelDeployment.model_validate(a_model_deployment()), inference_service)
    assert made["spec"]["selector"] == selector


@pytest.mark.parametrize("server", [LIVE, TRANSFORMED])
def test_smoke_requests_take_the_same_way(server: str) -> None:
    smoke = {"requests": [{"path": "/v2/models/churn/ready"}]}
    of = ModelDeployment.model_validate(a_model_deployment(rollout={"smoke": smoke}))
    job = smoke_job(of, server, attempt="a", image="keelway", pull_policy="IfNotPresent")
    told = str(job["spec"]["template"]["spec"]["containers"][0]["env"])
    assert f"http://{entry_service(server)}.ml.svc/v2/models/churn/ready" in told
