"""Objects of the platform, and how they are applied."""

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from dev import pki
from dev.errors import DevError
from dev.images import BuiltImage
from dev.platform import kserve, status
from dev.platform import kubectl as applying
from dev.platform.endpoints import Endpoints, s3_access
from dev.platform.installation import PROMETHEUS_CONFIGURATION, gateway, model_server, monitoring, storage

IMAGE = BuiltImage(ref="dev.local/keelway-x:abc", archive=Path("x.tar"))
OTHER_IMAGE = BuiltImage(ref="dev.local/keelway-x:def", archive=Path("y.tar"))


class Kubectl:
    """Answers by a function, and keeps what it was asked."""

    def __init__(self, answer: Callable[[tuple[str, ...]], str]) -> None:
        self.answer = answer
        self.calls: list[tuple[str, ...]] = []
        self.inputs: list[str] = []

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        self.calls.append(arguments)
        self.inputs.append(input or "")
        return self.answer(arguments)


def failing(*messages: str) -> Kubectl:
    """Fails once with each message, then works."""
    left = list(messages)

    def answer(_: tuple[str, ...]) -> str:
        if left:
            raise DevError(left.pop(0))
        return ""

    return Kubectl(answer)


def of_kind(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = (item for item in objects if item["kind"] == kind)
    return found


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


@pytest.mark.usefixtures("quick")
def test_apply_tries_again_while_a_webhook_does_not_answer_yet() -> None:
    cluster = failing("failed calling webhook x: connect: connection refused", "no endpoints available for service")
    applying.apply_patiently(cluster, [{"kind": "ConfigMap"}])
    assert len(cluster.calls) == 3
    assert json.loads(cluster.inputs[-1])["items"] == [{"kind": "ConfigMap"}]


@pytest.mark.usefixtures("quick")
def test_apply_gives_up_at_once_on_what_will_not_pass() -> None:
    cluster = failing("admission webhook denied the request: priority")
    with pytest.raises(DevError, match="denied"):
        applying.apply_patiently(cluster, [{"kind": "ConfigMap"}])
    assert len(cluster.calls) == 1


@pytest.mark.usefixtures("quick")
def test_apply_gives_up_after_its_deadline() -> None:
    cluster = failing(*["failed calling webhook"] * 50)
    with pytest.raises(DevError, match="failed calling webhook"):
        applying.apply_patiently(cluster, [], seconds=-1)
    assert len(cluster.calls) == 1


def test_a_deployment_that_does_not_come_up_shows_what_its_pods_say() -> None:
    def answer(arguments: tuple[str, ...]) -> str:
        if arguments[0] == "rollout":
            raise DevError("timed out waiting for the condition")
        return "Back-off pulling image"

    deployment = {"kind": "Deployment", "metadata": {"name": "s3", "namespace": "storage"}}
    with pytest.raises(DevError, match=r"timed out[^$]*Back-off pulling image"):
        applying.wait_for_deployments(Kubectl(answer), [deployment])


@pytest.mark.parametrize(
    "make", [gateway, storage, partial(monitoring, configuration="a: 1")], ids=["gateway", "storage", "monitoring"]
)
def test_deployments_run_the_built_image_and_never_pull_it(make: Callable[[BuiltImage], list[dict[str, Any]]]) -> None:
    (container,) = of_kind(make(IMAGE), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["imagePullPolicy"]) == (IMAGE.ref, "IfNotPresent")
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_prometheus_starts_anew_when_its_configuration_changes() -> None:
    before, after = (monitoring(IMAGE, configuration) for configuration in ("a: 1", "a: 2"))
    assert of_kind(after, "ConfigMap")["data"] == {"prometheus.yml": "a: 2"}
    assert of_kind(before, "Deployment")["spec"]["template"] != of_kind(after, "Deployment")["spec"]["template"]


def test_prometheus_keeps_pods_by_annotation_and_model_servers_by_label() -> None:
    configuration = yaml.safe_load(PROMETHEUS_CONFIGURATION.read_text())
    kept = {
        job["job_name"]: [rule["source_labels"] for rule in job["relabel_configs"] if rule["action"] == "keep"]
        for job in configuration["scrape_configs"]
    }
    assert ["__meta_kubernetes_pod_annotation_prometheus_io_scrape"] in kept["pods"]
    assert ["__meta_kubernetes_pod_label_serving_kserve_io_inferenceservice"] in kept["inference-services"]


def test_another_model_server_is_another_runtime() -> None:
    (one,), (same,), (other,) = model_server(IMAGE), model_server(IMAGE), model_server(OTHER_IMAGE)
    assert one == same
    assert one["metadata"]["name"] != other["metadata"]["name"]


def test_the_model_server_is_ready_by_its_own_word_and_lets_requests_drain() -> None:
    (runtime,) = model_server(IMAGE)
    (container,) = runtime["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": 8080}
    assert container["readinessProbe"]["periodSeconds"] == 1
    assert container["lifecycle"]["preStop"]["sleep"]["seconds"] >= 8
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_the_webhook_certificate_is_signed_by_the_authority_that_is_told() -> None:
    secret = kserve.webhook_certificates(Kubectl(lambda _: ""))
    files = {
        name: x509.load_pem_x509_certificate(base64.b64decode(secret["data"][name])) for name in ("ca.crt", "tls.crt")
    }
    files["tls.crt"].verify_directly_issued_by(files["ca.crt"])
    names = files["tls.crt"].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "kserve-webhook-server-service.kserve.svc" in names.get_values_for_type(x509.DNSName)


def test_a_certificate_in_the_cluster_is_kept() -> None:
    first = kserve.webhook_certificates(Kubectl(lambda _: ""))
    assert kserve.webhook_certificates(Kubectl(lambda _: json.dumps(first))) == first


def test_a_certificate_near_its_end_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pki, "VALID", timedelta(days=20))
    old = kserve.webhook_certificates(Kubectl(lambda _: ""))
    monkeypatch.undo()
    new = kserve.webhook_certificates(Kubectl(lambda _: json.dumps(old)))
    ends = x509.load_pem_x509_certificate(base64.b64decode(new["data"]["tls.crt"])).not_valid_after_utc
    assert ends > datetime.now(UTC) + timedelta(days=300)


def test_an_authority_signs_with_elliptic_keys() -> None:
    assert isinstance(pki.Authority.new("x").key, ec.EllipticCurvePrivateKey)


def test_kserve_and_keelway_find_the_same_credentials() -> None:
    secret, account = s3_access("ml")
    assert account["secrets"] == [{"name": secret["metadata"]["name"]}]
    assert secret["metadata"]["annotations"]["serving.kserve.io/s3-endpoint"] == "s3.storage.svc.cluster.local"
    assert set(secret["stringData"]) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def test_status_names_what_is_not_installed() -> None:
    def nothing_there(arguments: tuple[str, ...]) -> str:
        if "deployment" in arguments:
            return ""
        raise DevError('error: the server doesn\'t have a resource type "gateway"')

    facts = status(Kubectl(nothing_there))
    assert [fact.part for fact in facts if not fact.up] == [fact.part for fact in facts]
    assert "not installed" in {fact.detail for fact in facts}


def test_status_does_not_hide_an_unreachable_cluster() -> None:
    with pytest.raises(DevError, match="refused"):
        status(failing("The connection to the server was refused"))


def test_endpoints_are_those_of_the_shell() -> None:
    class Cluster:
        def env(self) -> dict[str, str]:
            return {f"KEELWAY_{name}_URL": f"http://127.0.0.1/{name}" for name in ("GATEWAY", "S3", "PROMETHEUS")}

    assert Endpoints.of(Cluster()).s3 == "http://127.0.0.1/S3"
