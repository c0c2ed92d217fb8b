"""Where the platform's services answer, from inside the cluster and from this machine, and with which credentials."""

from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

S3_IN_CLUSTER = "http://s3.storage.svc.cluster.local"
PROMETHEUS_IN_CLUSTER = "http://prometheus.monitoring.svc.cluster.local:9090"
GATEWAY_IN_CLUSTER = "http://traefik.gateway.svc.cluster.local"

GATEWAY_NAME = "models"
GATEWAY_NAMESPACE = "gateway"
"""The Gateway that an HTTPRoute names as its parent."""

S3_REGION = "us-east-1"
S3_ACCESS_KEY = "keelway-local"
S3_SECRET_KEY = "keelway-local-secret"
"""Of a server on this machine that holds nothing of worth."""


class HasEnvironment(Protocol):
    """What knows the addresses of a cluster's published ports."""

    def env(self) -> dict[str, str]:
        """Environment variables for a shell that works with the cluster."""


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """URLs that this machine reaches the services under, without a slash at the end."""

    gateway: str
    s3: str
    prometheus: str

    @classmethod
    def of(cls, cluster: HasEnvironment) -> "Endpoints":
        """Of a local cluster, whether or not it runs."""
        env = cluster.env()
        gateway, s3, prometheus = (env[f"KEELWAY_{name}_URL"] for name in ("GATEWAY", "S3", "PROMETHEUS"))
        return cls(gateway=gateway, s3=s3, prometheus=prometheus)


def s3_access(namespace: str, *, secret: str = "s3-access", service_account: str = "models") -> list[dict[str, Any]]:
    """A Secret with the S3 server's credentials, as Datasets and Experiments refer to it, and a ServiceAccount through
    which KServe finds the same Secret when it fetches models."""
    annotations = {
        "serving.kserve.io/s3-endpoint": urlsplit(S3_IN_CLUSTER).netloc,
        "serving.kserve.io/s3-usehttps": "0",
        "serving.kserve.io/s3-region": S3_REGION,
        "serving.kserve.io/s3-usevirtualbucket": "0",
    }
    credentials = {"AWS_ACCESS_KEY_ID": S3_ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": S3_SECRET_KEY}
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": secret, "namespace": namespace, "annotations": annotations},
            "stringData": credentials,
        },
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": service_account, "namespace": namespace},
            "secrets": [{"name": secret}],
        },
    ]
