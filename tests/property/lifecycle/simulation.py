"""The operator as it is, on a simulated cluster: people apply files, buckets change, hours pass in a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.engine.behaviour import Behaviour
from keelway.engine.objects import key_of
from keelway.lifecycle import registry, routing
from keelway.lifecycle.settings import JobSettings
from tests.property.engine.harness import Delivery, KilledError, Operator, World
from tests.property.engine.virtual_time import run
from tests.property.lifecycle.cluster_api import ClusterApi
from tests.property.lifecycle.fates import Fates
from tests.property.lifecycle.job_controller import JobController
from tests.property.lifecycle.kserve import KServe
from tests.property.lifecycle.lake import Lake, content
from tests.property.lifecycle.oracles import Oracles
from tests.property.lifecycle.prometheus import Prometheus
from tests.property.lifecycle.rollout_oracles import RolloutOracles

EXAMPLES = Path(__file__).parents[3] / "examples"
BEHAVIOUR = Behaviour(
    reconcilers=registry.reconcilers(JobSettings(worker_image="worker:1")),
    failed=registry.failed,
    subjects=routing.subjects,
    references=routing.references,
)


def example(name: str) -> Manifest:
    """One of the files that a user applies."""
    manifest: Manifest = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    return manifest


def changed(manifest: Manifest, **spec: Any) -> Manifest:
    """The same file with these fields of the spec; one that is None goes."""
    fields = {**manifest["spec"], **spec}
    return {**manifest, "spec": {name: value for name, value in fields.items() if value is not None}}


def unchecked(dataset: Manifest, name: str) -> Manifest:
    """A Dataset of the same source under this name, without expectations, and split as experiments want it."""
    splits = [{"name": "train", "percent": 80}, {"name": "holdout", "percent": 20}]
    kept = {field: dataset["spec"][field] for field in ("owner", "source", "access", "refresh")}
    return {**dataset, "metadata": {**dataset["metadata"], "name": name}, "spec": {**kept, "splits": splits}}


EXPERIMENT, DEPLOYMENT = example("experiment"), example("model-deployment")
DATASET = unchecked(example("dataset"), EXPERIMENT["spec"]["datasets"][0]["dataset"])
NAMESPACE = DATASET["metadata"]["namespace"]
SOURCE = DATASET["spec"]["source"]["uri"]
MODEL = EXPERIMENT["spec"]["output"]["model"]
DATASET_KEY, EXPERIMENT_KEY, DEPLOYMENT_KEY = (key_of(m) for m in (DATASET, EXPERIMENT, DEPLOYMENT))


class Simulation(World):
    """A cluster with its oracles, and one operator after the other."""

    def __init__(self, *, fates: Fates | None = None, deliver: Callable[[int], Delivery] | None = None) -> None:
        self.lake = Lake({SOURCE: content("first")})
        api = ClusterApi()
        self.fates = fates or Fates()
        self.jobs, self.kserve = JobController(api, self.lake, self.fates), KServe(api, self.fates)
        self.prometheus = Prometheus(api, self.fates)
        api.prometheus = self.prometheus.answer
        self.oracles = Oracles(api, self.lake)
        self.rollouts = RolloutOracles(api, self.kserve, self.jobs.verified, self.oracles.broken)
        self.lake.lost = self.oracles.lost
        super().__init__(
            self.rollouts.judging(BEHAVIOUR), lambda _api: self, deliver or (lambda _number: Delivery()), api
        )
        # What KServe knows is up to date when the oracles judge.
        api.watchers += [self.jobs.heard, self.kserve.heard, self.oracles.heard, self.rollouts.heard]

    async def _run_operators(self) -> None:
        while True:
            self.operator = Operator(self.api, self.behaviour, self.deliver)
            self._process = asyncio.create_task(self.operator.run())
            try:
                await asyncio.wait({self._process})
            finally:
                self._process.cancel()
            if not self._process.cancelled() and not _was_killed(self._process.exception()):
                self._process.result()
            self.restarts += 1

    def restart(self) -> None:
        """End the operator between two requests, as at an update; another one starts at once."""
        self._process.cancel()

    def step(self) -> None:
        """What the cluster does when something has changed."""
        self.cluster.collect_orphans()

    @property
    def cluster(self) -> ClusterApi:
        """The API server, by its own type."""
        assert isinstance(self.api, ClusterApi)
        return self.api


Action: TypeAlias = Callable[[Simulation], Any]


@dataclass(frozen=True)
class Scene:
    """At this virtual second, somebody does this."""

    at: float
    action: Action


def play(simulation: Simulation, *scenes: Scene, until: float) -> dict[str, Manifest]:
    """Let a story happen; returns every object at its end. Whatever an oracle saw broken fails the test."""

    async def story() -> None:
        live = asyncio.create_task(simulation.live(until))
        for scene in sorted(scenes, key=lambda scene: scene.at):
            await asyncio.sleep(scene.at - asyncio.get_running_loop().time())
            scene.action(simulation)
        await live

    run(story())
    assert simulation.oracles.broken == []
    return simulation.end_state()


def applies(*manifests: Manifest) -> Action:
    """`kubectl apply`."""
    return lambda simulation: [simulation.api.put(manifest) for manifest in manifests]


def deletes(key: Key) -> Action:
    """`kubectl delete`."""
    return lambda simulation: simulation.api.remove(key)


def uploads(edition: str, *, uri: str = SOURCE, rows: int = 100) -> Action:
    """Somebody replaces the data."""

    def action(simulation: Simulation) -> None:
        simulation.lake.contents[uri] = content(edition, rows=rows)

    return action


def restarts(simulation: Simulation) -> None:
    """The operator is replaced by another one."""
    simulation.restart()


def _was_killed(error: BaseException | None) -> bool:
    return isinstance(error, BaseExceptionGroup) and error.subgroup(KilledError) is not None
