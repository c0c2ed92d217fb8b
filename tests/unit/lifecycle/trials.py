"""Experiments under way: data that is there, trials by number, ends of their Jobs."""

from __future__ import annotations

import json
from typing import Any

from keelway.api.base import Manifest
from keelway.api.jobs import CollectVerdict, StageVerdict
from keelway.api.kinds import Key
from keelway.engine.objects import key_of, uid_of
from keelway.lifecycle.experiment.trials import facts
from keelway.manifests.trial_job import RUN_ANNOTATION
from tests.unit.lifecycle.builders import EXPERIMENT, NAMESPACE, a_dataset, a_dataset_version, an_experiment
from tests.unit.lifecycle.pods import Ended, trial_ends, trial_ends_with
from tests.unit.lifecycle.scene import Scene


def publish(scene: Scene, number: int, edition: str, *, name: str = "churn", rows: int = 100) -> Manifest:
    """Version `number` of a Dataset is there, and is what consumers get."""
    key = Key("Dataset", NAMESPACE, name)
    dataset = scene.store.get(key) or scene.put(a_dataset(name))
    version = scene.put(a_dataset_version(number, edition, name=name, uid=uid_of(dataset), rows=rows))
    reference = version["spec"]["manifest"]["ref"]["configMap"]
    metadata = {"name": reference, "namespace": NAMESPACE, "ownerReferences": [{"uid": uid_of(version)}]}
    scene.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    good = {"version": number, "name": version["metadata"]["name"], "digest": version["spec"]["digest"]}
    scene.say(key, lastGood=good, observedGeneration=1)
    return version


def begun(*, trials: int = 2, **spec: Any) -> Scene:
    """An Experiment whose first run has begun on version 1."""
    scene = Scene(an_experiment(trials=trials, **spec))
    publish(scene, 1, "first")
    scene.settle(EXPERIMENT)
    scene.writes.clear()
    return scene


def succeeded(*, trials: int = 2, **spec: Any) -> Scene:
    """An Experiment whose first run has made a model."""
    scene = begun(trials=trials, **spec)
    finish(scene)
    return scene


def failed(**spec: Any) -> Scene:
    """An Experiment whose first run has failed."""
    scene = begun(**spec)
    fail(scene)
    return scene


def finish(scene: Scene, value: float = 0.5) -> None:
    """All trials end well, and the run with them."""
    while running(scene):
        for number in running(scene):
            trial_ends(scene, job_of(scene, number), value + number / 100)
        scene.settle(EXPERIMENT)


def fail(scene: Scene) -> None:
    """The trainer of every trial fails until the run does."""
    while running(scene):
        trial_ends_with(scene, job_of(scene, running(scene)[0]), train=Ended(1))
        scene.settle(EXPERIMENT)


def jobs(scene: Scene) -> list[Manifest]:
    """Trial Jobs by number and attempt."""
    mine = [job for job in scene.all("Job") if RUN_ANNOTATION in job["metadata"]["annotations"]]
    return sorted(mine, key=lambda job: (facts(job).number, facts(job).attempt))


def running(scene: Scene) -> list[int]:
    """Numbers of the trials whose Job has not ended."""
    return [facts(job).number for job in jobs(scene) if not job.get("status", {}).get("conditions")]


def job_of(scene: Scene, number: int) -> Manifest:
    """The last attempt at a trial."""
    return [job for job in jobs(scene) if facts(job).number == number and not _has_ended(job)][-1]


def _has_ended(job: Manifest) -> bool:
    return bool(job.get("status", {}).get("conditions"))


def run(scene: Scene) -> Manifest:
    """The current run as the status has it."""
    current: Manifest = scene.status(EXPERIMENT)["run"]
    return current


def rows(scene: Scene) -> dict[int, Manifest]:
    """The table of the current run by trial."""
    name = scene.status(EXPERIMENT)["trials"]["configMap"]
    table = json.loads(scene.get(Key("ConfigMap", NAMESPACE, name))["data"]["trials.json"])
    return {row["number"]: row for row in table}


def delete_jobs(scene: Scene) -> None:
    """Kubernetes removes Jobs that ended a while ago."""
    for job in scene.all("Job"):
        if _has_ended(job):
            scene.remove(key_of(job))


def search(**fields: Any) -> dict[str, Any]:
    return {"algorithm": "Random", "maxTrials": 1, "parallelTrials": 1, "maxFailedTrials": 0, **fields}


def collect_failed(reason: str) -> CollectVerdict:
    return CollectVerdict(outcome="Failed", reason=reason, message=f"because of {reason}", metrics={})


def stage_failed(reason: str) -> StageVerdict:
    return StageVerdict(outcome="Failed", reason=reason, message=f"because of {reason}")


def without_retries() -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "train", "image": "train:1"}]}}
    return {"job": {"template": template}, "retries": 0}


def collected(**fields: Any) -> CollectVerdict:
    return CollectVerdict.model_validate({"outcome": "Collected", "metrics": {"auc": 0.5}, **fields})
