"""One track in a namespace: Dataset, Experiment and ModelDeployment named `churn`, and how they stand."""

from typing import Any

from keelway.api.base import Manifest
from tests.apiserver.api import Api
from tests.apiserver.sample_objects import put, shortest
from tests.apiserver.waiting import eventually

NAME = "churn"
SPACE = [{"name": "rate", "float": {"min": 0.01, "max": 1}}, {"name": "depth", "int": {"min": 1, "max": 8}}]
TRIALS, PARALLEL = 6, 2
CONTAINERS = "spec.trial.job.template.spec.containers"
SOURCE = "s3://lake/churn/"
GATEWAY = "public"


class Track:
    """The three objects that a user applies, and what becomes of them."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace

    def dataset(self, **changes: Any) -> Manifest:
        """The Dataset as it is applied."""
        return shortest("Dataset", self.namespace, **changes)

    def experiment(self, *, trials: int = TRIALS, **changes: Any) -> Manifest:
        """The Experiment as it is applied: a search of several trials, two at a time."""
        search = {"maxTrials": trials, "parallelTrials": PARALLEL}
        return shortest("Experiment", self.namespace, spec__parameters=SPACE, spec__search=search, **changes)

    def deployment(self, **changes: Any) -> Manifest:
        """The ModelDeployment as it is applied, with a route; a version that is ready takes all the traffic at once."""
        route = {"gateway": {"name": GATEWAY}, "hostnames": ["churn.example.com"]}
        return shortest("ModelDeployment", self.namespace, spec__route=route, **{"spec__rollout__steps": [], **changes})

    def apply(self, *manifests: Manifest) -> None:
        """Apply objects; without any, the whole track."""
        for manifest in manifests or (self.dataset(), self.experiment(), self.deployment()):
            self.api.apply(manifest)

    def get(self, kind: str, name: str = NAME) -> Manifest:
        """One object of the track, which must be there."""
        found = self.api.get(kind, self.namespace, name)
        assert found is not None, f"there is no {kind} {name}"
        return found

    def all(self, kind: str, *, selector: str = "") -> list[Manifest]:
        """All objects of a kind."""
        return self.api.list(kind, self.namespace, selector=selector)

    def names(self, kind: str) -> list[str]:
        """Names of all objects of a kind."""
        return [manifest["metadata"]["name"] for manifest in self.all(kind)]

    def running_trials(self) -> list[str]:
        """Names of trials' Jobs whose pod runs."""
        running = [job["metadata"]["name"] for job in self.all("Job") if job.get("status", {}).get("ready")]
        return [name for name in running if "-observe-" not in name]

    def condition(self, kind: str, type_: str = "Ready") -> Manifest:
        """A condition, empty while there is none."""
        conditions = self.get(kind).get("status", {}).get("conditions", [])
        return next((condition for condition in conditions if condition["type"] == type_), {})

    def wait_ready(self, kind: str, *, seconds: float = 60) -> Manifest:
        """Wait for Ready=True of the present generation; gives the object."""
        return eventually(lambda: self._ready(kind), seconds=seconds, what=f"{kind} is Ready")

    def wait_reason(self, kind: str, reason: str, *, type_: str = "Ready", seconds: float = 30) -> Manifest:
        """Wait until a condition has this reason; gives the condition."""

        def look() -> Manifest | None:
            condition = self.condition(kind, type_)
            return condition if condition.get("reason") == reason else None

        try:
            return eventually(look, seconds=seconds, what=f"{type_} of {kind} has reason {reason}")
        except AssertionError as error:
            raise AssertionError(f"{error}; the condition is {self.condition(kind, type_)}") from None

    def wait_live(self, version: int, *, seconds: float = 60) -> Manifest:
        """Wait until a version takes the traffic and is proved ready; gives the ModelDeployment."""

        def look() -> Manifest | None:
            found = self._ready("ModelDeployment")
            return found if found and found["status"]["live"]["version"] == version else None

        return eventually(look, seconds=seconds, what=f"version {version} is live")

    def ask(self, kind: str, request: str) -> None:
        """Ask for a look now."""
        annotations = {"metadata": {"annotations": {"keelway.dev/reconcile": request}}}
        self.api.patch(kind, self.namespace, NAME, annotations)

    def change(self, kind: str, path: str, value: Any) -> None:
        """Change one field of an object."""
        changed: Manifest = {}
        put(changed, path, value)
        self.api.patch(kind, self.namespace, NAME, changed)

    def routed_to(self) -> set[str]:
        """Backends of the route."""
        rules = self.get("HTTPRoute")["spec"]["rules"]
        return {reference["name"] for rule in rules for reference in rule["backendRefs"]}

    def _ready(self, kind: str) -> Manifest | None:
        found = self.get(kind)
        generation = found["metadata"]["generation"]
        for condition in found.get("status", {}).get("conditions", []):
            is_true = condition["type"] == "Ready" and condition["status"] == "True"
            if is_true and condition["observedGeneration"] == generation:
                return found
        return None


def trainer(image: str, name: str = "train") -> list[Manifest]:
    """The containers of a pod template that trains with this image."""
    return [{"name": name, "image": image}]
