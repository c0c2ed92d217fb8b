"""Models that are trained again: by the Experiment that made them, or by one that does nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from keelway.api.base import Manifest
from keelway.api.jobs import CollectVerdict
from keelway.api.kinds import Key
from keelway.lifecycle.plan import Plan
from keelway.manifests.sweep_job import SWEEP_ANNOTATION
from keelway.manifests.trial_job import REPRODUCE_ANNOTATION
from tests.unit.lifecycle.builders import EXPERIMENT, NAMESPACE, an_experiment
from tests.unit.lifecycle.pods import Ended, an_ended_pod_of, ends
from tests.unit.lifecycle.scene import Scene
from tests.unit.lifecycle.trials import begun, job_of, search

MODEL = Key("ModelVersion", NAMESPACE, "churn-v1")
AGAIN = Key("Experiment", NAMESPACE, "again")
HEX = "0123456789abcdef" * 4
DIGEST, OTHER_DIGEST = f"sha256:{HEX}", f"sha256:{HEX[::-1]}"
IMAGE = f"registry.example.com/train@{DIGEST}"
METRICS = {"auc": 0.914, "loss": 0.25}
TEMPLATE: Manifest = {
    "spec": {
        "containers": [
            {"name": "proxy", "image": "proxy:1"},
            {"name": "train", "image": "registry.example.com/train:1"},
        ]
    }
}


@dataclass
class Story:
    """A model that an Experiment made, and the Experiment that is asked to make it again."""

    scene: Scene
    who: Key

    def asks(self, model: str = MODEL.name) -> Story:
        """`spec.reproduce` is set, and done what follows at once."""
        self.scene.change(self.who, reproduce=model)
        self.scene.writes.clear()
        self.scene.events.clear()
        self.settle()
        return self

    def settle(self) -> None:
        """Look until nothing changes any more; once more, because a look that was cut short changes nothing."""
        self.scene.settle(self.who)
        self.scene.settle(self.who)

    @property
    def jobs(self) -> list[Manifest]:
        """Jobs that train a model again."""
        return [job for job in self.scene.all("Job") if REPRODUCE_ANNOTATION in job["metadata"]["annotations"]]

    @property
    def running(self) -> list[Manifest]:
        """Those that have not ended."""
        return [job for job in self.jobs if not job.get("status", {}).get("conditions")]

    @property
    def sweeps(self) -> list[Manifest]:
        """Jobs that delete what was uploaded."""
        return [job for job in self.scene.all("Job") if SWEEP_ANNOTATION in job["metadata"]["annotations"]]

    def ends(self, *, train: Ended | None = None, image: str = IMAGE, **verdict: Any) -> None:
        """The Job that runs ends, by default with the same bytes and metrics."""
        (job,) = self.running
        job_ends(self.scene, job, train=train, image=image, **verdict)
        self.settle()

    @property
    def recorded(self) -> Manifest:
        """status.reproduction"""
        found: Manifest = self.scene.status(self.who)["reproduction"]
        return found

    @property
    def condition(self) -> str:
        """The condition `Reproduced` in two words."""
        found = self.scene.condition(self.who, "Reproduced")
        return f"{found['status']} {found['reason']}" if found else ""

    @property
    def message(self) -> str:
        """What it says."""
        return str(self.scene.condition(self.who, "Reproduced")["message"])


def job_ends(scene: Scene, job: Manifest, *, train: Ended | None = None, image: str = IMAGE, **verdict: Any) -> None:
    """A Job ends with this verdict, by default with the bytes and metrics of the record."""
    said = {"outcome": "Collected", "metrics": METRICS, "digest": DIGEST, "directory": HEX[:12], "files": 1, **verdict}
    words = CollectVerdict.model_validate(said).model_dump_json()
    trained = replace(train or Ended(), image=image)
    containers = {"stage": Ended(message='{"outcome": "Staged"}'), "collect": Ended(message=words), "train": trained}
    an_ended_pod_of(scene, job, containers)
    ends(scene, job, "BackoffLimitExceeded" if train and train.code else "")


def recorded_scene(scene: Scene | None = None, **spec: Any) -> Scene:
    """churn-v1 was made by a search of one trial, with two metrics, by an image whose digest is known."""
    trial = {"job": {"template": TEMPLATE}, "container": "train"}
    made = begun(trials=1, **{"search": search(seed=7), "trial": trial, **spec}) if scene is None else scene
    job_ends(made, job_of(made, 0))
    made.settle(EXPERIMENT)
    return made


def by_its_maker(**spec: Any) -> Story:
    """The Experiment that made the model."""
    return Story(recorded_scene(**spec), EXPERIMENT)


def by_another(**spec: Any) -> Story:
    """An Experiment that has had no run, whose own spec is about something else."""
    scene = recorded_scene()
    other = {"objective": {"metric": "f1"}, "output": {**an_experiment()["spec"]["output"], "uri": "s3://elsewhere"}}
    scene.put(an_experiment("again", **{**other, **spec}))
    return Story(scene, AGAIN)


TELLERS: tuple[Callable[..., Story], ...] = (by_its_maker, by_another)


def operations(plan: Plan) -> int:
    """How many writes a plan asks for."""
    return len(plan.creates) + len(plan.applies) + (plan.status is not None) + len(plan.deletes)


def first(plan: Plan, count: int) -> Plan:
    """What was carried out of a plan when the operator was killed after so many writes."""
    creates, left = plan.creates[:count], count - len(plan.creates)
    applies, left = plan.applies[: max(0, left)], left - len(plan.applies)
    status, left = (plan.status, left - 1) if left > 0 and plan.status is not None else (None, left)
    return Plan(plan.reason, creates=creates, applies=applies, status=status, deletes=plan.deletes[: max(0, left)])


class Mortal(Scene):
    """A scene whose operator is killed in one look, after some writes of that look's plan."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[int] = []
        """How many writes the plan of each look asked for."""
        self.killed: tuple[int, int] = (-1, 0)
        """In which look, after how many of its writes."""

    def look(self, key: Key) -> Plan:
        """Decide and carry out, as far as the operator lives."""
        plan = self.decide(key)
        self.looks.append(operations(plan))
        look, after = self.killed
        self._carry_out(key, first(plan, after) if look == len(self.looks) - 1 else plan)
        return plan
