"""Searches in a namespace: Experiments over one Dataset, and what their tables say in the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

from keelway.api.base import Manifest
from keelway.lifecycle.experiment.trials import TrialRow, rows_of
from tests.apiserver.api import Api
from tests.apiserver.audit import Audit
from tests.apiserver.cluster_setup import OPERATOR_USER
from tests.apiserver.sample_objects import shortest
from tests.apiserver.waiting import eventually

SPACE = [{"name": name, "float": {"min": 0, "max": 1}} for name in ("rate", "decay")]


@dataclass(frozen=True)
class Searches:
    """The Experiments of one namespace, all on the Dataset `churn`."""

    api: Api
    namespace: str
    dataset: str = "churn"

    def begin(self, name: str = "churn", *, model: str = "", spec: Manifest | None = None, **search: Any) -> None:
        """Apply the Dataset and an Experiment with these fields of `spec.search`, and others in `spec`."""
        self.api.apply(self._named(shortest("Dataset", self.namespace), self.dataset))
        manifest = self._named(shortest("Experiment", self.namespace, spec__parameters=SPACE), name)
        manifest["spec"] |= {"search": search, **(spec or {})}
        manifest["spec"]["datasets"] = [{"name": "training", "dataset": self.dataset}]
        manifest["spec"]["output"]["model"] = model or name
        self.api.apply(manifest)

    def get(self, name: str = "churn") -> Manifest:
        """One of the Experiments."""
        found = self.api.get("Experiment", self.namespace, name)
        assert found is not None
        return found

    def run(self, name: str = "churn") -> Manifest:
        """The current run as the status tells it; empty before there is one."""
        found: Manifest = self.get(name).get("status", {}).get("run") or {}
        return found

    def is_over(self, name: str = "churn") -> bool:
        """Whether the run has succeeded. Fails the test when it has failed."""
        state = self.run(name).get("state")
        assert state != "Failed", self.get(name)["status"]
        return bool(state == "Succeeded")

    def wait(self, *names: str, seconds: float = 120) -> None:
        """Wait until the runs of all these Experiments have succeeded."""
        for name in names or ("churn",):
            eventually(partial(self.is_over, name), seconds=seconds, what=f"search {name} is over", every=0.3)

    def pages(self, name: str = "churn") -> list[Manifest]:
        """The ConfigMaps with the trials of the current run."""
        told = self.get(name)["status"]["trials"]
        names = [told["configMap"], *(f"{told['configMap']}-{page}" for page in range(1, told.get("pages", 1)))]
        found = [self.api.get("ConfigMap", self.namespace, page) for page in names]
        assert None not in found, names
        return [page for page in found if page]

    def table(self, name: str = "churn") -> dict[int, TrialRow]:
        """The trials of the current run by number."""
        rows = {number: row for page in self.pages(name) for number, row in rows_of(page).items()}
        return dict(sorted(rows.items()))

    def jobs_made(self, audit: Audit) -> Counter[str]:
        """How often each Job of a trial was made, by name."""
        writes = audit.writes(OPERATOR_USER, namespace=self.namespace)
        made = [write.name for write in writes if (write.verb, write.resource, write.code) == ("create", "jobs", 201)]
        return Counter(name for name in made if is_trial(name))

    def _named(self, manifest: Manifest, name: str) -> Manifest:
        return {**manifest, "metadata": {**manifest["metadata"], "name": name}}


def is_trial(job: str) -> bool:
    """Whether a Job of this name is a trial's: `<experiment>-t<number>-<hash>`."""
    role = job.split("-")[-2]
    return role.startswith("t") and role[1:].isdigit()
