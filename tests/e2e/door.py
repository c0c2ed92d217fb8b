"""A way to the S3 server that can be shut, for one Experiment alone: everybody else keeps theirs."""

from dataclasses import dataclass

from tests.e2e.world import Manifest, World

S3_PORT = 7070


@dataclass(frozen=True)
class Door:
    """A Service in front of the S3 server. While it is shut, connections to it are refused."""

    world: World
    name: str

    @property
    def endpoint(self) -> str:
        """What to write into `access.endpoint`."""
        return f"http://{self.name}.{self.world.namespace}.svc.cluster.local"

    def build(self) -> None:
        """Make it, shut."""
        port = {"name": "http", "port": 80, "targetPort": S3_PORT}
        spec = {"ports": [port]}
        self.world.apply({"apiVersion": "v1", "kind": "Service", "metadata": self._metadata(), "spec": spec})

    def open(self) -> None:
        """Let everybody through from now on."""
        self.world.apply(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**self._metadata(), "labels": {"kubernetes.io/service-name": self.name}},
                "addressType": "IPv4",
                "ports": [{"name": "http", "port": S3_PORT}],
                "endpoints": [{"addresses": [self._server()], "conditions": {"ready": True}}],
            }
        )

    def _metadata(self) -> Manifest:
        return {"name": self.name, "namespace": self.world.namespace}

    def _server(self) -> str:
        """The address of the S3 server's pod."""
        question = (
            "get",
            "pods",
            "--namespace=storage",
            "--selector=app=s3",
            "--output=jsonpath={.items[0].status.podIP}",
        )
        return self.world.cluster.kubectl(*question)
