"""What serves a model: one InferenceService per version, the Service in front of it, and the route to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keelway.api.base import Manifest
from keelway.api.digests import digest
from keelway.api.model_deployment import ModelDeployment, Route, Serving
from keelway.api.model_version import ModelVersion
from keelway.api.resource import FOR_ANNOTATION
from keelway.manifests.metadata import child_metadata, for_annotation, labels_for
from keelway.manifests.names import INFERENCE_SERVICE_NAME_LIMIT, child_name
from keelway.manifests.served_name import served_name
from keelway.manifests.server_container import SERVER_PORT, predictor_container, transformer_container

REVISION_ANNOTATION = "keelway.dev/revision"
ISVC_LABEL = "serving.kserve.io/inferenceservice"
COMPONENT_LABEL = "component"
"""KServe's, on pods: predictor or transformer."""
TRANSFORMED = re.compile(r"-v[0-9]+t-[0-9a-f]{8}$")
CAME_LATER = ("container", "transformer", "scheduling")
"""Fields of `serving` that the first servers were made without."""
CANDIDATE_HEADER = "x-keelway-candidate"
"""A request with this header at `true` goes to the candidate, whatever its weight."""


def revision(deployment: ModelDeployment, version: ModelVersion) -> str:
    """Hash of all that makes a server what it is, but for how many replicas there are."""
    serving = deployment.spec.serving.model_copy(update={"min_replicas": 1, "max_replicas": 1})
    artifact, number = version.spec.artifact.to_json(), version.spec.version
    return digest([deployment.name, artifact, number, _said(serving), _autoscaler(deployment)])


def _said(serving: Serving) -> dict[str, Any]:
    """Without the fields that came later, where they say nothing: else an upgrade would replace every server."""
    nothing = Serving().to_json()
    return {
        name: value for name, value in serving.to_json().items() if name not in CAME_LATER or value != nothing[name]
    }


def _autoscaler(deployment: ModelDeployment) -> str:
    """Who decides about replicas: an annotation, so another one is another InferenceService."""
    serving = deployment.spec.serving
    return "none" if serving.min_replicas == serving.max_replicas else "hpa"


def inference_service_name(deployment: ModelDeployment, version: ModelVersion) -> str:
    """`<deployment>-v<N>-<hash8>`: another version or another way to serve is another InferenceService.

    With a transformer it is `-v<N>t-`: who has no more than the name must know where its requests go.
    """
    name = child_name(
        deployment.name,
        f"v{version.spec.version}{'t' if deployment.spec.serving.transformer else ''}",
        revision(deployment, version)[:8],
        limit=INFERENCE_SERVICE_NAME_LIMIT,
    )
    # KServe wants a letter first.
    return name if name[0].isalpha() else f"m{name[1:]}"


def inference_service(deployment: ModelDeployment, version: ModelVersion, *, at_least: int = 0) -> Manifest:
    """The InferenceService of one model version, with `at_least` so many replicas where the spec allows more than its
    minimum. Its metadata never changes: KServe would restart the pods."""
    serving = deployment.spec.serving
    name = inference_service_name(deployment, version)
    metadata = child_metadata(
        deployment,
        name,
        annotations={
            "serving.kserve.io/deploymentMode": "Standard",
            "serving.kserve.io/autoscalerClass": _autoscaler(deployment),
        },
    )
    component = _component(deployment, version, at_least)
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": metadata,
        "spec": {
            "predictor": {**component, **_predictor(deployment, version)},
            **({"transformer": {**component, **_transformer(deployment, version)}} if serving.transformer else {}),
        },
    }


def _component(deployment: ModelDeployment, version: ModelVersion, at_least: int) -> dict[str, Any]:
    """What predictor and transformer have in common."""
    serving, scheduling = deployment.spec.serving, deployment.spec.serving.scheduling
    return {
        "annotations": {
            REVISION_ANNOTATION: revision(deployment, version)[:12],
            FOR_ANNOTATION: for_annotation(deployment),
        },
        "labels": labels_for(deployment),
        "minReplicas": min(max(serving.min_replicas, at_least), serving.max_replicas),
        "maxReplicas": serving.max_replicas,
        # Also for the container that KServe adds to fetch the model, which states none of its own.
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        **({"serviceAccountName": serving.service_account_name} if serving.service_account_name else {}),
        **({"nodeSelector": scheduling.node_selector} if scheduling.node_selector else {}),
        **({"tolerations": list(scheduling.tolerations)} if scheduling.tolerations else {}),
    }


def _predictor(deployment: ModelDeployment, version: ModelVersion) -> dict[str, Any]:
    if deployment.spec.serving.container:
        return {"containers": [predictor_container(deployment, version)]}
    return {"model": _model(deployment, version)}


def _transformer(deployment: ModelDeployment, version: ModelVersion) -> dict[str, Any]:
    return {"containers": [transformer_container(deployment, version)]}


def _model(deployment: ModelDeployment, version: ModelVersion) -> dict[str, Any]:
    serving, artifact = deployment.spec.serving, version.spec.artifact
    model_format = {
        "name": artifact.format.name,
        **({"version": artifact.format.version} if artifact.format.version else {}),
    }
    named = served_name(deployment, version)
    return {
        "modelFormat": model_format,
        "protocolVersion": serving.protocol,
        "storageUri": artifact.uri,
        **named,
        "env": [{"name": "MODEL_VERSION", "value": str(version.spec.version)}, *named.get("env", [])],
        **({"runtime": serving.runtime} if serving.runtime else {}),
        **({"resources": serving.resources} if serving.resources else {}),
    }


def has_transformer(inference_service: str) -> bool:
    """Whether a transformer stands in front of the model. The spec may have changed since, the name did not."""
    return bool(TRANSFORMED.search(inference_service))


def components(inference_service: str) -> tuple[str, ...]:
    """Names of the Deployments, and of the Services, that KServe makes of an InferenceService."""
    parts = ("predictor", "transformer") if has_transformer(inference_service) else ("predictor",)
    return tuple(f"{inference_service}-{part}" for part in parts)


def entry_service(inference_service: str) -> str:
    """Name of the Service that takes the requests: the transformer's, where there is one."""
    return components(inference_service)[-1]


def service(deployment: ModelDeployment, inference_service: str) -> Manifest:
    """The Service named like the ModelDeployment: its address stays while versions change behind it."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": child_metadata(deployment, deployment.name),
        "spec": {
            "selector": _entry_pods(inference_service),
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": SERVER_PORT}],
        },
    }


def _entry_pods(inference_service: str) -> dict[str, str]:
    """Labels of the pods that take the requests."""
    pods = {ISVC_LABEL: inference_service}
    return {**pods, COMPONENT_LABEL: "transformer"} if has_transformer(inference_service) else pods


@dataclass(frozen=True)
class Backend:
    """The servers of one version and their share of the traffic, in percent."""

    inference_service: str
    weight: int


def http_route(deployment: ModelDeployment, route: Route, backends: Sequence[Backend], *, dark: str = "") -> Manifest:
    """The route from a Gateway to these servers by weight; `dark` also gets the requests that ask for it by header."""
    gateway = {"name": route.gateway.name, "namespace": route.gateway.namespace or deployment.namespace}
    path = {"type": "PathPrefix", "value": route.path}
    shares = [_backend(one) for one in backends]
    shared = {"matches": [{"path": path}], "backendRefs": shares}
    asked_for = {
        "matches": [{"path": path, "headers": [{"name": CANDIDATE_HEADER, "value": "true"}]}],
        "backendRefs": [_backend(Backend(dark, 100))],
    }
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": child_metadata(deployment, deployment.name),
        "spec": {
            "parentRefs": [gateway],
            **({"hostnames": list(route.hostnames)} if route.hostnames else {}),
            "rules": [*([asked_for] if dark else []), shared],
        },
    }


def _backend(one: Backend) -> dict[str, Any]:
    return {"name": entry_service(one.inference_service), "port": 80, "weight": one.weight}
