"""One test module's part of the cluster: a namespace, buckets, and the examples adapted to both."""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from obstore.store import S3Store

from dev.cluster import Cluster
from dev.demo import examples, resources
from dev.demo.prediction import Answer, predict
from dev.images import BuiltImage
from dev.platform.buckets import bucket
from dev.platform.endpoints import S3_IN_CLUSTER, S3_REGION, Endpoints, s3_access

Manifest = dict[str, Any]

ACCESS = {"endpoint": S3_IN_CLUSTER, "region": S3_REGION, "secretRef": {"name": "s3-access"}}
ONE_TRIAL = {"algorithm": "Random", "maxTrials": 1, "parallelTrials": 1, "maxFailedTrials": 0, "seed": 42}


@dataclass(frozen=True)
class World:
    """A namespace that enforces PodSecurity `restricted`, with access to buckets of the same name."""

    cluster: Cluster
    images: Mapping[str, BuiltImage]
    namespace: str = field(default_factory=lambda: f"e2e-{secrets.token_hex(4)}")

    def begin(self) -> None:
        """Make the namespace with its Secret and ServiceAccount."""
        examples.apply(self.cluster, examples.restricted_namespace(self.namespace), *s3_access(self.namespace))

    def end(self) -> None:
        """Let all of it go, in the background."""
        self.cluster.kubectl("delete", "namespace", self.namespace, "--wait=false")

    @property
    def endpoints(self) -> Endpoints:
        """Where the platform answers on this machine."""
        return Endpoints.of(self.cluster)

    def host(self, deployment: str = "tumour-classifier") -> str:
        """Host name of a ModelDeployment of this world at the gateway."""
        return f"{deployment}.{self.namespace}.example.com"

    def bucket(self, name: str) -> S3Store:
        """A bucket of this world, made if need be."""
        return bucket(self.endpoints, f"{self.namespace}-{name}")

    def dataset(self, name: str = "tumours", **spec: Any) -> Manifest:
        """A Dataset on this world's bucket `lake`, split in two; it is looked at again only when asked."""
        plain = {
            "source": {"uri": f"s3://{self.namespace}-lake/tumours/", "format": "CSV"},
            "access": ACCESS,
            "refresh": {"interval": "1h"},
            "splits": [{"name": "train", "percent": 80}, {"name": "holdout", "percent": 20}],
        }
        return self._resource("Dataset", name, {**plain, **spec})

    def derived(self, name: str, *, inputs: Mapping[str, str], **derive: Any) -> Manifest:
        """A Dataset that is made of others, `inputs` by the names that the query knows them by."""
        given = [{"name": alias, "dataset": dataset} for alias, dataset in inputs.items()]
        output = {"uri": f"s3://{self.namespace}-lake/derived/{name}/", "access": ACCESS}
        derive = {"inputs": given, **derive, "output": {**output, **derive.get("output", {})}}
        return self._resource("Dataset", name, {"derive": derive})

    def experiment(self, name: str = "tumour-search", **spec: Any) -> Manifest:
        """The example Experiment, with models in this world's bucket `models`."""
        manifest = self._example("experiment", name, spec)
        manifest["spec"]["output"] |= {"uri": f"s3://{self.namespace}-models/{name}/", "access": ACCESS}
        return manifest

    def deployment(self, name: str = "tumour-classifier", **spec: Any) -> Manifest:
        """A ModelDeployment whose versions take all the traffic once they are ready, unless `spec` says otherwise."""
        plain = {"model": {"name": name}, "gates": [], "rollout": {"soak": "1m", "steps": []}}
        return self.careful_deployment(name, **{**plain, **spec})

    def careful_deployment(self, name: str = "tumour-classifier", **spec: Any) -> Manifest:
        """The example ModelDeployment with all that it asks of a version, under a host name of its own."""
        manifest = self._example("model-deployment", name, spec)
        manifest["spec"]["route"]["hostnames"] = [self.host(name)]
        return manifest

    def model_version(self, model: str, version: int, directory: str, digest: str, **more: Any) -> Manifest:
        """The record of a model that was trained elsewhere and lies in this world's bucket `models`."""
        artifact = {
            "uri": f"s3://{self.namespace}-models/{directory}/",
            "digest": digest,
            "format": {"name": "sklearn", "version": "1"},
        }
        origin = {"external": {"system": "tests"}}
        spec = {"model": model, "version": version, "artifact": artifact, "producedBy": origin, **more}
        return self._resource("ModelVersion", f"{model}-v{version}", spec)

    def _resource(self, kind: str, name: str, spec: Mapping[str, Any]) -> Manifest:
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": "keelway.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": dict(spec)}

    def _example(self, file: str, name: str, spec: Mapping[str, Any]) -> Manifest:
        manifest = examples.example(file, self.images)
        manifest["metadata"] = {"name": name, "namespace": self.namespace}
        manifest["spec"] |= spec
        return manifest

    def apply(self, *manifests: Manifest) -> str:
        """`kubectl apply`; gives kubectl's words."""
        return examples.apply(self.cluster, *manifests)

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        """kubectl in this world's namespace."""
        return self.cluster.kubectl(f"--namespace={self.namespace}", *arguments, input=input)

    def get(self, kind: str, name: str) -> Manifest:
        """One object."""
        return resources.get(self.cluster, kind, name, self.namespace)

    def list(self, kind: str, selector: str = "") -> list[Manifest]:
        """Objects of a kind."""
        found: list[Manifest] = json.loads(self.kubectl("get", kind, f"--selector={selector}", "-ojson"))["items"]
        return found

    def wait(
        self, manifest: Manifest, until: Callable[[Manifest], object] = resources.is_ready, *, seconds: float = 180
    ) -> Manifest:
        """Poll an object until `until` holds (Ready, unless said otherwise)."""
        name = manifest["metadata"]["name"]
        return resources.wait_for(
            self.cluster, manifest["kind"].lower(), name, self.namespace, seconds=seconds, until=until
        )

    def look_now(self, dataset: Manifest) -> None:
        """Ask for a look at a Dataset's source."""
        request = f"keelway.dev/reconcile={secrets.token_hex(4)}"
        self.kubectl("annotate", "dataset", dataset["metadata"]["name"], request, "--overwrite")

    def predict(self, deployment: Manifest, rows: Any) -> Answer:
        """Ask the model through the gateway."""
        name = deployment["metadata"]["name"]
        return predict(self.endpoints.gateway, self.host(name), name, rows)


def has_reason(*reasons: str) -> Callable[[Manifest], bool]:
    """Whether a resource is not Ready for one of these reasons."""

    def holds(resource: Manifest) -> bool:
        ready = resources.condition(resource, "Ready")
        return ready.get("status") == "False" and ready.get("reason") in reasons

    return holds


def serves(version: int) -> Callable[[Manifest], bool]:
    """Whether a ModelDeployment is Ready with this version."""
    return lambda resource: (
        resources.is_ready(resource) and resource["status"].get("live", {}).get("version") == version
    )
