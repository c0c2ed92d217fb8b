"""The two ways to bring in a new model, as the comparison handles them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from obstore.store import ObjectStore

from dev.comparison import careful, plain
from dev.comparison.models import ModelFiles, sound
from dev.comparison.servers import Server, in_words, servers
from dev.demo.data import upload
from dev.demo.examples import Manifest, apply
from dev.demo.resources import follow, get, newest, summary, wait_for
from dev.demo.rollout import REFUSED, weight_of
from dev.errors import DevError
from dev.images import BuiltImage
from dev.platform.kubectl import Kubectl
from dev.processes import wait_until

READY_SECONDS = 240
SOUND = 1
"""Number of the version that serves at first, and is put back after each case."""


class Side(Protocol):
    """One way to bring in a new model."""

    title: str
    name: str
    host: str

    def begin(self) -> None:
        """Serve the sound model."""

    def change(self, model: ModelFiles, version: int) -> None:
        """Bring in another one; its files are in the bucket."""

    def has_met(self, version: int) -> bool:
        """Whether it is known what became of a version."""

    def standing(self) -> str:
        """How things are, in one line."""

    def remained(self, version: int) -> str:
        """What is left of a version that was brought in."""

    def put_back(self) -> None:
        """The sound model serves alone again. Raises DevError when it does not."""


@dataclass
class InPlace:
    """`kubectl apply` of the InferenceService with another storageUri."""

    cluster: Kubectl
    namespace: str
    bucket: str
    title: str = "kubectl apply, in place"
    name: str = plain.NAME
    host: str = plain.HOST

    def begin(self) -> None:
        """Route and InferenceService, as somebody wrote them."""
        apply(self.cluster, plain.route(self.namespace))
        self.put_back()

    def change(self, model: ModelFiles, version: int) -> None:
        """The same object with another model in it."""
        apply(self.cluster, plain.inference_service(self.namespace, self.bucket, model, version))

    def has_met(self, version: int) -> bool:
        """Whether a pod of it serves, or has failed to."""
        return any(server.version == str(version) and server.has_begun for server in self._servers())

    def standing(self) -> str:
        """Its pods."""
        return in_words(self._servers())

    def remained(self, version: int) -> str:
        """What the InferenceService asks for, as long as nobody changes it again, what it says of itself, its pods."""
        server = get(self.cluster, "inferenceservice", self.name, self.namespace)
        conditions = server.get("status", {}).get("conditions", [])
        ready = next((one["status"] for one in conditions if one["type"] == "Ready"), "Unknown")
        return f"the InferenceService asks for version {version} and says Ready={ready}; {self.standing()}"

    def put_back(self) -> None:
        """Apply the sound model again, and wait until nothing else serves."""
        self.change(sound(), SOUND)
        alone = [Server(str(SOUND), "ready")]
        wait_until(lambda: self._servers() == alone, seconds=READY_SECONDS, what=f"{self.name} with version {SOUND}")

    def _servers(self) -> list[Server]:
        return servers(self.cluster, self.namespace, lambda name: name == self.name)


@dataclass
class ByKeelway:
    """One more ModelVersion beside a ModelDeployment that takes the newest."""

    cluster: Kubectl
    namespace: str
    bucket: str
    lake: str
    images: Mapping[str, BuiltImage]
    store: ObjectStore
    title: str = "Keelway"
    name: str = careful.NAME
    host: str = careful.HOST

    def begin(self) -> None:
        """The data of the gate, the sound model's record, and the ModelDeployment."""
        upload(self.store, careful.DATA, careful.data_files())
        data, deployment = careful.dataset(self.namespace, self.lake), careful.deployment(self.namespace, self.images)
        apply(self.cluster, data)
        follow(self.cluster, data, seconds=READY_SECONDS)
        self.change(sound(), SOUND)
        apply(self.cluster, deployment)
        follow(self.cluster, deployment, seconds=READY_SECONDS)

    def change(self, model: ModelFiles, version: int) -> None:
        """The record of another model."""
        apply(self.cluster, careful.model_version(self.namespace, self.bucket, model, version))

    def has_met(self, version: int) -> bool:
        """Whether the version was refused, or has all the traffic."""
        deployment = self._deployment()
        candidate = deployment.get("status", {}).get("candidate", {})
        refused = candidate.get("version") == version and candidate.get("phase") in REFUSED
        return refused or newest(deployment, "live") == version

    def standing(self) -> str:
        """The ModelDeployment's own account."""
        return summary(self._deployment())

    def remained(self, version: int) -> str:
        """What the ModelDeployment says of the version, and its pods."""
        candidate = self._deployment()["status"].get("candidate", {})
        said = f"version {version} is {candidate.get('phase')}, {candidate.get('reason')}"
        return f"{said}; {in_words(servers(self.cluster, self.namespace, lambda name: name != plain.NAME))}"

    def put_back(self) -> None:
        """Nothing is to be done where no bad version has taken over."""
        deployment = self._deployment()
        if newest(deployment, "live") != SOUND:
            raise DevError(f"version {SOUND} should be live still: {summary(deployment)}")
        wait_for(
            self.cluster,
            "modeldeployment",
            self.name,
            self.namespace,
            seconds=READY_SECONDS,
            until=lambda now: weight_of(now, SOUND) == 100,
        )

    def _deployment(self) -> Manifest:
        return get(self.cluster, "modeldeployment", self.name, self.namespace)
