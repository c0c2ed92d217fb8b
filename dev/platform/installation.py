"""Installs the platform on a running cluster; a second call changes only what differs by then."""

import json

from dev import gobuild
from dev.cluster.settings import GATEWAY_PORT, PROMETHEUS_PORT, S3_PORT
from dev.hashing import hash_of
from dev.images import IMAGES as CATALOGUE
from dev.images import BuiltImage, build_images
from dev.platform import kserve
from dev.platform.endpoints import GATEWAY_NAME, GATEWAY_NAMESPACE, S3_ACCESS_KEY, S3_REGION, S3_SECRET_KEY
from dev.platform.kubectl import (
    CONFIGURATION,
    MANIFESTS,
    Kubectl,
    LoadingKubectl,
    Manifest,
    apply,
    apply_patiently,
    apply_text,
    manifests,
    wait_for_deployments,
)
from dev.progress import step

IMAGES = ("versitygw", "kserve-controller", "prometheus", "traefik", "storage-initializer", "server")
PROMETHEUS_CONFIGURATION = MANIFESTS / "prometheus.yml"


def programs() -> list[str]:
    """The Go programs that the platform's images hold."""
    return [program for name in IMAGES if (program := CATALOGUE[name].program)]


def install(cluster: LoadingKubectl) -> None:
    """Build and load the platform's images, apply its objects, wait until all of it answers.

    Raises DevError that says which part did not come up, and why.
    """
    images = build_images(IMAGES)
    with step("load the platform's images"):
        cluster.load([image.archive for image in images.values()])
    with step("CRDs of KServe and the Gateway API"):
        apply_text(cluster, f"{kserve.definitions()}\n---\n{gateway_definitions()}")
        cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    controller = kserve.controller(
        image=images["kserve-controller"].ref,
        storage_initializer=images["storage-initializer"].ref,
        certificates=kserve.webhook_certificates(cluster),
    )
    services = [
        *controller.objects,
        *gateway(images["traefik"]),
        *storage(images["versitygw"]),
        *monitoring(images["prometheus"], PROMETHEUS_CONFIGURATION.read_text()),
    ]
    with step("KServe, Traefik, S3, Prometheus: apply"):
        apply_patiently(cluster, services)
    with step("KServe, Traefik, S3, Prometheus: wait until ready"):
        wait_for_deployments(cluster, services)
    with step("KServe's webhooks, model server, gateway"):
        apply(cluster, controller.webhooks)
        apply_patiently(cluster, [*controller.admitted, *model_server(images["server"])])
        wait_for_gateway(cluster)


def gateway_definitions() -> str:
    """The CRDs of the Gateway API's standard channel, as YAML text."""
    module = gobuild.module_dir("gateway-api", "sigs.k8s.io/gateway-api")
    files = sorted((module / "config" / "crd" / "standard").glob("gateway.networking.k8s.io_*.yaml"))
    return "\n---\n".join(file.read_text() for file in files)


def gateway(image: BuiltImage) -> list[Manifest]:
    """Traefik with a GatewayClass, and the Gateway that models are routed through."""
    return manifests("gateway", image=image.ref, node_port=GATEWAY_PORT)


def storage(image: BuiltImage) -> list[Manifest]:
    """The S3 server."""
    keys = {"access_key": S3_ACCESS_KEY, "secret_key": S3_SECRET_KEY, "region": S3_REGION}
    return manifests("storage", image=image.ref, node_port=S3_PORT, **keys)


def monitoring(image: BuiltImage, configuration: str) -> list[Manifest]:
    """Prometheus with its configuration; a changed one starts it anew."""
    objects = manifests("monitoring", image=image.ref, node_port=PROMETHEUS_PORT)
    for item in objects:
        if item["kind"] == "ConfigMap":
            item["data"] = {"prometheus.yml": configuration}
        if item["kind"] == "Deployment":
            item["spec"]["template"]["metadata"]["annotations"] = {CONFIGURATION: hash_of(configuration)}
    return objects


def model_server(image: BuiltImage) -> list[Manifest]:
    """KServe's runtime for scikit-learn models; its name changes with its content, so that none is edited in use."""
    (runtime,) = manifests("runtime", image=image.ref)
    runtime["metadata"]["name"] += "-" + hash_of(json.dumps(runtime["spec"], sort_keys=True))
    return [runtime]


def wait_for_gateway(cluster: Kubectl) -> None:
    """Wait until Traefik has taken the Gateway on."""
    name = f"gateway/{GATEWAY_NAME}"
    cluster.kubectl("wait", "--for=condition=Programmed", name, f"-n{GATEWAY_NAMESPACE}", "--timeout=30s")
