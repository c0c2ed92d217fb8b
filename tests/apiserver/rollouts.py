"""A ModelDeployment and versions of its model that nobody trains: a test says what each of them is like."""

from contextlib import AbstractContextManager
from typing import Any

from keelway.api.base import Manifest
from keelway.api.digests import digest
from tests.apiserver.api import Api
from tests.apiserver.fake_node import FakeNode
from tests.apiserver.fake_worker import GOOD, measured
from tests.apiserver.pod_script import Container, Outcome, named
from tests.apiserver.sample_objects import shortest
from tests.apiserver.track import NAME, Track
from tests.apiserver.waiting import eventually
from tests.property.lifecycle.pod_ends import order

QUERY = 'errors{service="{{service}}"}'
CHECK: Manifest = {"name": "errors", "query": QUERY, "max": 0.1}
STEPS: list[Manifest] = [{"weight": 10, "hold": "1s"}, {"weight": 50, "hold": "1s"}]
AT_LEAST = {"metric": "auc", "min": 0.8}


class Rollouts:
    """The ModelDeployment `churn` of a namespace, and what it goes through."""

    def __init__(self, api: Api, node: FakeNode, namespace: str) -> None:
        self.track = Track(api, namespace)
        self.node = node
        self.namespace = namespace

    def deploy(self, **changes: Any) -> None:
        """Apply the ModelDeployment, in two short steps unless told otherwise."""
        self.track.apply(self.track.deployment(**{"spec__rollout__steps": STEPS, **changes}))

    def bring(self, version: int, *, found: str | None = None, **changes: Any) -> None:
        """A new version of the model appears, and its files: those that are recorded unless another digest is found,
        or none, when that is empty."""
        model = shortest("ModelVersion", self.namespace, **changes)
        model["metadata"]["name"] = f"{NAME}-v{version}"
        uri, recorded = f"s3://models/{NAME}/{version:012d}/", f"sha256:{digest([NAME, version])}"
        model["spec"]["artifact"] |= {"uri": uri, "digest": recorded}
        self.lies_at(version, recorded if found is None else found)
        self.track.apply(model | {"spec": {**model["spec"], "version": version}})

    def lies_at(self, version: int, found: str) -> None:
        """From now on the files of a version have this digest; empty: there are none."""
        self.node.lake.keep_model(self.namespace, f"s3://models/{NAME}/{version:012d}/", found)

    def begin(self, **changes: Any) -> None:
        """Version 1 is live."""
        self.bring(1)
        self.deploy(**changes)
        self.track.wait_live(1)

    def scores(self, **values: float) -> AbstractContextManager[Any]:
        """What evaluators find of versions, as in `v2=0.7`."""

        def measure(container: Container) -> Outcome:
            location = order(container.pod, "stage")["model"]["location"]["uri"]
            return measured(container, values.get(f"v{int(location.split('/')[4])}", GOOD))

        return self.node.script(named("measure", namespace=self.namespace), measure)

    @property
    def status(self) -> Manifest:
        """The ModelDeployment's status."""
        found: Manifest = self.track.get("ModelDeployment")["status"]
        return found

    @property
    def candidate(self) -> Manifest:
        """The candidate, empty while there is none."""
        found: Manifest = self.status.get("candidate", {})
        return found

    def wait_candidate(self, version: int, phase: str, *, seconds: float = 60) -> Manifest:
        """Wait until a version is a candidate in this phase; gives the candidate."""

        def look() -> Manifest | None:
            now = self.candidate
            return now if (now.get("version"), now.get("phase")) == (version, phase) else None

        try:
            return eventually(look, seconds=seconds, what=f"version {version} is {phase}")
        except AssertionError as error:
            raise AssertionError(f"{error}; the status is {self.status}") from None

    def jobs(self, role: str) -> list[str]:
        """Names of the Jobs with this in their names."""
        return [name for name in self.track.names("Job") if f"-{role}" in name]

    def servers(self) -> set[int]:
        """Versions that have servers."""
        services = self.track.all("InferenceService")
        told = [service["spec"]["predictor"]["model"]["env"] for service in services]
        return {int(one["value"]) for env in told for one in env if one["name"] == "MODEL_VERSION"}


def gate(*checks: Manifest, name: str = "holdout", **dataset: Any) -> Manifest:
    """A gate on the Dataset of the track."""
    container = {"name": "evaluate", "image": "dev.local/evaluate:1"}
    return {
        "name": name,
        "dataset": {"dataset": NAME, **dataset},
        "template": {"spec": {"containers": [container]}},
        "checks": list(checks or (AT_LEAST,)),
    }


def analysis(url: str, **check: Any) -> Manifest:
    """An analysis every second."""
    return {"interval": "1s", "prometheus": {"url": url, "checks": [{**CHECK, **check}]}}
