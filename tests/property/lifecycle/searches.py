"""Searches as stories: an Experiment over a small space, and what its table says in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.engine.objects import key_of
from keelway.lifecycle.experiment.trials import TrialRow, facts, rows_of
from keelway.manifests.trial_job import RUN_ANNOTATION
from tests.property.engine.memory_api import Happened
from tests.property.lifecycle.simulation import EXPERIMENT, EXPERIMENT_KEY, Simulation, changed

NUMBERS = [{"name": "rate", "float": {"min": 0.01, "max": 1}}, {"name": "depth", "int": {"min": 1, "max": 64}}]
FOUR_POINTS = [
    {"name": "booster", "choice": {"values": ["tree", "line"]}},
    {"name": "depth", "int": {"min": 1, "max": 2}},
]


def search(**settings: Any) -> Manifest:
    """The example's Experiment over two numbers; fields of `spec.search`, and in `spec` others of the spec."""
    spec = settings.pop("spec", {})
    return changed(EXPERIMENT, **{"parameters": NUMBERS, "search": {"seed": 7, **settings}, **spec})


def table(simulation: Simulation, key: Key = EXPERIMENT_KEY) -> dict[int, TrialRow]:
    """The recorded trials of the current run."""
    told = simulation.api.read(key)["status"]["trials"]
    names = [told["configMap"], *(f"{told['configMap']}-{page}" for page in range(1, told.get("pages", 1)))]
    pages = (rows_of(simulation.api.read(Key("ConfigMap", key.namespace, name))) for name in names)
    return {number: row for page in pages for number, row in sorted(page.items())}


def points(simulation: Simulation, key: Key = EXPERIMENT_KEY) -> list[dict[str, Any]]:
    """The parameters of each trial of the current run, in the order of their numbers."""
    return [row.parameters for _, row in sorted(table(simulation, key).items())]


def status(simulation: Simulation) -> Manifest:
    """Of the Experiment."""
    found: Manifest = simulation.api.read(EXPERIMENT_KEY)["status"]
    return found


def conditions(simulation: Simulation) -> Mapping[str, tuple[str, str]]:
    """(status, reason) of the Experiment's conditions, by type."""
    return {c["type"]: (c["status"], c["reason"]) for c in status(simulation)["conditions"]}


class Trials:
    """Hears of every trial's Job that is made and of every row that is written."""

    def __init__(self, simulation: Simulation) -> None:
        self.begun: list[Manifest] = []
        self.states: dict[int, list[str]] = {}
        """By number of a trial, the states that its row had, each once, in order."""
        simulation.api.watchers.append(self.heard)

    def heard(self, happened: Happened) -> None:
        """Note one change."""
        manifest = happened.manifest
        if happened.type == "ADDED" and RUN_ANNOTATION in manifest["metadata"].get("annotations", {}):
            self.begun += [manifest] if manifest["kind"] == "Job" else []
        if manifest["kind"] == "ConfigMap" and "-trials-" in manifest["metadata"]["name"]:
            for number, row in rows_of(manifest).items():
                seen = self.states.setdefault(number, [])
                seen += [row.state] if row.state not in seen[-1:] else []

    @property
    def attempts(self) -> Counter[int]:
        """How many Jobs there were of each trial."""
        return Counter(facts(job).number for job in self.begun)

    @property
    def twice(self) -> list[Key]:
        """Jobs that were made more than once."""
        return [key for key, times in Counter(map(key_of, self.begun)).items() if times > 1]
