"""Sweeps under way: their Jobs, how these end, and models as an Experiment has made them."""

from __future__ import annotations

import json
from typing import Any

from keelway.api.base import Manifest
from keelway.api.digests import sha256, short
from keelway.api.experiment import Experiment
from keelway.api.jobs import ORDER_VARIABLE, SweepOrder, SweepVerdict
from keelway.api.kinds import Key
from keelway.engine.objects import uid_of
from keelway.lifecycle.experiment.world import World
from keelway.lifecycle.settings import JobSettings
from keelway.manifests.sweep_job import SWEEP_ANNOTATION
from tests.unit.lifecycle.builders import EXPERIMENT, NAMESPACE, a_model_version
from tests.unit.lifecycle.pods import Ended, an_ended_pod_of, ends
from tests.unit.lifecycle.scene import Scene
from tests.unit.lifecycle.trials import run


def sweeps(scene: Scene) -> list[Manifest]:
    """Jobs that delete files."""
    return [job for job in scene.all("Job") if SWEEP_ANNOTATION in job["metadata"]["annotations"]]


def the_sweep(scene: Scene) -> Manifest:
    """The only one."""
    (job,) = sweeps(scene)
    return job


def facts(job: Manifest) -> Manifest:
    """What a sweep's Job says of itself."""
    said: Manifest = json.loads(job["metadata"]["annotations"][SWEEP_ANNOTATION])
    return said


def order(job: Manifest) -> SweepOrder:
    """What it was told."""
    variables = job["spec"]["template"]["spec"]["containers"][0]["env"]
    return SweepOrder.model_validate_json(next(v["value"] for v in variables if v["name"] == ORDER_VARIABLE))


def sweep_ends(scene: Scene, files: int = 3) -> None:
    """It has deleted so many files."""
    job = the_sweep(scene)
    verdict = SweepVerdict(outcome="Swept", files=files)
    an_ended_pod_of(scene, job, {"sweep": Ended(message=verdict.model_dump_json())})
    ends(scene, job)


def sweep_fails(scene: Scene, reason: str = "AccessDenied", message: str = "as the case says") -> None:
    """It says what is wrong."""
    job = the_sweep(scene)
    verdict = SweepVerdict(outcome="Failed", reason=reason, message=message)
    an_ended_pod_of(scene, job, {"sweep": Ended(1, verdict.model_dump_json())})
    ends(scene, job, "BackoffLimitExceeded")


def swept(scene: Scene) -> Scene:
    """All sweeps that are due have ended well."""
    scene.settle()
    while sweeps(scene):
        sweep_ends(scene)
        scene.settle()
    return scene


def made(scene: Scene, number: int, **changes: Any) -> Manifest:
    """Another ModelVersion as this Experiment makes them, of an earlier run; `changes` are of its spec."""
    digest = f"sha256:{sha256(str(number).encode())}"
    experiment = Experiment.model_validate(scene.get(EXPERIMENT))
    world = World(experiment, scene.store, scene.now, JobSettings(worker_image="worker:1"))
    uri = f"{world.artifacts(f'hash-{number}', 0)}/0/{short(digest)}"
    artifact = {"uri": uri, "digest": digest, "format": {"name": "sklearn"}}
    origin = {
        "experiment": EXPERIMENT.name,
        "uid": uid_of(scene.get(EXPERIMENT)),
        "run": 1,
        "runHash": f"hash-{number}",
    }
    spec = {"artifact": artifact, "producedBy": origin, **changes}
    version = scene.put(a_model_version(number, **spec))
    scene.settle(model(number))
    return version


def model(number: int) -> Key:
    """A version of the model."""
    return Key("ModelVersion", NAMESPACE, f"churn-v{number}")


def state(scene: Scene, number: int) -> str:
    """How a ModelVersion stands; `Gone` when it is not there."""
    found = scene.store.get(model(number))
    return str(found["status"]["state"]) if found else "Gone"


def artifacts(scene: Scene) -> str:
    """Where the current run's models are."""
    return str(run(scene)["artifacts"])
