"""A plain InferenceService behind a route that somebody wrote, changed in place: what a team does without Keelway."""

from dev.comparison.models import ModelFiles
from dev.demo.examples import Manifest
from dev.platform.endpoints import GATEWAY_NAME, GATEWAY_NAMESPACE

NAME = "plain"
HOST = "plain.comparison.example.com"


def inference_service(namespace: str, bucket: str, model: ModelFiles, version: int) -> Manifest:
    """One model on one server of the same kind, with the same resources, as Keelway's."""
    model_spec = {
        "modelFormat": {"name": "sklearn", "version": "1"},
        "protocolVersion": "v2",
        "storageUri": f"s3://{bucket}/{model.directory}/",
        "env": [{"name": "MODEL_VERSION", "value": str(version)}],
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
    }
    predictor = {
        "serviceAccountName": "models",
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "minReplicas": 1,
        "maxReplicas": 1,
        "model": model_spec,
    }
    annotations = {"serving.kserve.io/deploymentMode": "Standard", "serving.kserve.io/autoscalerClass": "none"}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": NAME, "namespace": namespace, "annotations": annotations},
        "spec": {"predictor": predictor},
    }


def route(namespace: str) -> Manifest:
    """All requests for the host go to the Service that KServe makes."""
    backend = {"name": f"{NAME}-predictor", "port": 80}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {
            "parentRefs": [{"name": GATEWAY_NAME, "namespace": GATEWAY_NAMESPACE}],
            "hostnames": [HOST],
            "rules": [{"backendRefs": [backend]}],
        },
    }
