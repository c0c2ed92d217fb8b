"""KServe's controller in Standard mode, rendered from the charts in its own Go module.

Differences from the charts' defaults: certificates are signed here instead of by cert-manager, no proxy stands before
the metrics, one replica without leader election, no ingress (routes are Keelway's), and our image fetches models.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import helm_python
import yaml
from cryptography import x509

from dev import gobuild
from dev.hashing import hash_of
from dev.pki import Authority
from dev.platform.kubectl import CONFIGURATION, Kubectl, Manifest

NAMESPACE = "kserve"
WEBHOOK_SERVICE = "kserve-webhook-server-service"
WEBHOOK_SECRET = "kserve-webhook-server-cert"
RENEWED_BEFORE = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class Controller:
    """The controller in the order in which its parts may be applied."""

    objects: list[Manifest]
    """What runs the controller."""
    webhooks: list[Manifest]
    """Only once it runs: from then on the API server refuses what the webhooks do not admit."""
    admitted: list[Manifest]
    """Objects of KServe's own kinds."""


def definitions() -> str:
    """KServe's CRDs, as YAML text."""
    return "\n---\n".join(_render("kserve-crd", {}))


def controller(*, image: str, storage_initializer: str, certificates: Manifest) -> Controller:
    """The controller and what downloads models; `certificates` is the Secret of `webhook_certificates`."""
    values = _values(image, storage_initializer)
    rendered = [item for text in _render("kserve-resources", values) for item in yaml.safe_load_all(text) if item]
    objects = [item for item in rendered if not item["apiVersion"].startswith("cert-manager.io/")]
    for item in objects:
        _trust(item, certificates["data"]["ca.crt"])
        if item["kind"] == "Deployment":
            _simplify(item, configuration=hash_of(json.dumps(values, sort_keys=True)))
    webhooks = [item for item in objects if "webhooks" in item]
    admitted = [item for item in objects if item["apiVersion"].startswith("serving.kserve.io/")]
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    running = [item for item in objects if item not in webhooks and item not in admitted]
    return Controller(objects=[namespace, certificates, *running], webhooks=webhooks, admitted=admitted)


def webhook_certificates(cluster: Kubectl) -> Manifest:
    """The Secret with the webhook server's certificate: the cluster's, or a new one when that is near its end."""
    found = cluster.kubectl("get", "secret", WEBHOOK_SECRET, f"-n{NAMESPACE}", "--ignore-not-found", "--output=json")
    data = json.loads(found)["data"] if found.strip() else {}
    if not _lasts(data.get("tls.crt", "")):
        data = _issue()
    metadata = {"name": WEBHOOK_SECRET, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "data": data}


def _issue() -> dict[str, str]:
    authority = Authority.new("keelway-dev-kserve")
    host = f"{WEBHOOK_SERVICE}.{NAMESPACE}.svc"
    server = authority.server(host, f"{host}.cluster.local")
    files = {"ca.crt": authority.certificate, "tls.crt": server.certificate, "tls.key": server.key}
    return {name: base64.b64encode(text.encode()).decode() for name, text in files.items()}


def _lasts(encoded: str) -> bool:
    if not encoded:
        return False
    certificate = x509.load_pem_x509_certificate(base64.b64decode(encoded))
    return certificate.not_valid_after_utc - RENEWED_BEFORE > datetime.now(UTC)


@cache
def _charts() -> str:
    return str(gobuild.module_dir("kserve", "github.com/kserve/kserve") / "charts")


def _render(chart: str, values: dict[str, Any]) -> Iterator[str]:
    with helm_python.Chart.load(f"{_charts()}/{chart}") as loaded:
        rendered = loaded.render(values, name=chart, namespace=NAMESPACE)
    return (text for name, text in sorted(rendered.items()) if not name.endswith("NOTES.txt"))


def _values(image: str, storage_initializer: str) -> dict[str, Any]:
    gateway = {"disableIstioVirtualHost": True, "disableIngressCreation": True}
    manager = {**_image(image), "imagePullPolicy": "IfNotPresent", "deploymentMode": "Standard", "gateway": gateway}
    manager["resources"] = _resources(cpu=("50m", "1"), memory=("100Mi", "512Mi"))
    storage = {**_image(storage_initializer), "resources": _resources(cpu=("50m", "1"), memory=("100Mi", "1Gi"))}
    predictor = {"resources": _resources(cpu=("50m", "1"), memory=("128Mi", "1Gi"))}
    return {"kserve": {"controller": manager, "storage": storage, "inferenceservice": predictor}}


def _image(reference: str) -> dict[str, str]:
    name, _, tag = reference.rpartition(":")
    return {"image": name, "tag": tag}


def _resources(*, cpu: tuple[str, str], memory: tuple[str, str]) -> dict[str, dict[str, str]]:
    """Requests and limits, each given as a pair; a local cluster is small."""
    return {kind: {"cpu": cpu[which], "memory": memory[which]} for which, kind in enumerate(("requests", "limits"))}


def _trust(item: Manifest, authority: str) -> None:
    """Let the API server believe the webhook server."""
    (item["metadata"].get("annotations") or {}).pop("cert-manager.io/inject-ca-from", None)
    for webhook in item.get("webhooks", ()):
        webhook["clientConfig"]["caBundle"] = authority


def _simplify(deployment: Manifest, *, configuration: str) -> None:
    """One container with quick probes; a new configuration starts it anew, as it reads some of it only once."""
    template = deployment["spec"]["template"]
    template["metadata"]["annotations"][CONFIGURATION] = configuration
    (manager,) = (item for item in template["spec"]["containers"] if item["name"] == "manager")
    manager["args"] = ["--metrics-addr=:8080"]
    for probe in ("readinessProbe", "livenessProbe"):
        manager[probe].update(initialDelaySeconds=1, periodSeconds=1 if probe == "readinessProbe" else 10)
    template["spec"]["containers"] = [manager]
