"""What the operator makes of a ModelDeployment is valid by KServe's and the Gateway API's own CRDs."""

from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.api.model_deployment import ModelDeployment
from keelway.manifests.disruption_budget import disruption_budget
from keelway.manifests.serving import Backend, http_route, service
from tests.apiserver.api import Api, RefusedError
from tests.unit.lifecycle.builders import a_model_deployment, a_route
from tests.unit.manifests.ways_to_serve import WAYS, made

LIVE, CANDIDATE = "churn-v4-01234567", "churn-v5t-89abcdef"
ROUTES: dict[str, Manifest] = {
    "a hostname": {},
    "a wildcard": {"hostnames": ["*.example.com"], "path": "/churn"},
    "no hostname": {"hostnames": []},
    "a Gateway beside it": {"gateway": {"name": "local"}},
}
SHARES = [(100, ""), (90, CANDIDATE), (0, CANDIDATE)]


def taken(api: Api, manifest: Manifest) -> Manifest:
    """The object as the API server would store it."""
    manifest["metadata"]["namespace"] = "default"
    return api.create(manifest, dry_run=True)


def a_deployment(**spec: Any) -> ModelDeployment:
    manifest = a_model_deployment(**spec)
    manifest["metadata"]["uid"] = "u-1"
    return ModelDeployment.model_validate(manifest)


@pytest.mark.parametrize("way", WAYS)
def test_kserves_schema_takes_every_way_to_serve(api: Api, way: str) -> None:
    assert taken(api, made(way))["spec"]["predictor"]


def test_kserves_schema_would_see_a_mistake(api: Api) -> None:
    wrong = made()
    wrong["spec"]["predictor"]["minReplica"] = 1
    with pytest.raises(RefusedError, match=r'unknown field "spec\.predictor\.minReplica"'):
        taken(api, wrong)


@pytest.mark.parametrize(("weight", "candidate"), SHARES)
@pytest.mark.parametrize("fields", ROUTES)
def test_the_gateway_api_takes_every_route(api: Api, fields: str, weight: int, candidate: str) -> None:
    of = a_deployment(route=a_route(**ROUTES[fields]))
    assert of.spec.route is not None
    backends = [Backend(LIVE, weight), *([Backend(candidate, 100 - weight)] if candidate else [])]
    stored = taken(api, http_route(of, of.spec.route, backends, dark=candidate))
    assert [one["weight"] for one in stored["spec"]["rules"][-1]["backendRefs"]] == [one.weight for one in backends]


def test_kubernetes_takes_the_budget(api: Api) -> None:
    stored = taken(api, disruption_budget(a_deployment(), LIVE))
    assert stored["spec"]["selector"]["matchLabels"] == {"serving.kserve.io/inferenceservice": LIVE}


@pytest.mark.parametrize("server", [LIVE, CANDIDATE])
def test_kubernetes_takes_the_service(api: Api, server: str) -> None:
    assert taken(api, service(a_deployment(), server))["spec"]["clusterIP"]
