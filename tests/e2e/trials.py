"""What became of an Experiment's trials: the table, and which Jobs and pods they cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from dev.demo.trials import trial_rows
from dev.processes import wait_until
from keelway.manifests.trial_job import METRICS_FILE
from tests.e2e.audit import Request, requests
from tests.e2e.operator import USER, Operator
from tests.e2e.world import Manifest, World

TRAINER = "train"
"""The container that trains, as the example names it."""
WAITED_FOR = str(PurePosixPath(METRICS_FILE).with_name("go"))
"""A trial that waits does so until this file is there."""
WAIT = f"trap 'exit 143' TERM; until [ -e {WAITED_FOR} ]; do sleep 0.1; done"


def rows_of(world: World, experiment: str) -> list[Manifest]:
    """The rows of the current run's table, all pages; none before there is one."""
    return trial_rows(world.cluster, world.get("experiment", experiment))


def run_of(experiment: Manifest) -> Manifest:
    """The current run; empty before there is one."""
    run: Manifest = experiment.get("status", {}).get("run", {})
    return run


def is_over(experiment: Manifest) -> bool:
    """Whether the current run has ended, well or badly."""
    return bool(run_of(experiment).get("state", "Running") != "Running")


def models_of(world: World, model: str) -> list[Manifest]:
    """The ModelVersions of a model."""
    return [found for found in world.list("modelversions") if found["spec"]["model"] == model]


@dataclass(frozen=True)
class Work:
    """What an Experiment's trials cost, by name, as often as it was done."""

    jobs: Sequence[str]
    """That were made."""
    pods: Sequence[str]
    """That came to a node."""


def work_for(world: World, operator: Operator, experiment: str) -> Work:
    """All work for an Experiment since the tests began."""
    asked = requests(world.cluster, since=operator.audit_from, mention=f"{experiment}-t")
    done = [r for r in asked if r.namespace == world.namespace and r.verb == "create" and r.code == 201]
    mine = [r for r in done if r.name.startswith(f"{experiment}-t")]
    jobs = [r.name for r in mine if (r.user, r.resource) == (USER, "jobs")]
    return Work(jobs, [r.name for r in mine if _comes_to_a_node(r)])


def _comes_to_a_node(request: Request) -> bool:
    return request.resource == "pods/binding"


def pods_of(world: World, experiment: str) -> list[Manifest]:
    """Pods of an Experiment's trials, oldest first."""
    found = world.list("pods", f"keelway.dev/experiment={experiment}")
    return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))


def trains(pod: Manifest) -> bool:
    """Whether the trainer runs in this pod, and nobody has asked for its end."""
    statuses = pod["status"].get("containerStatuses", [])
    running = any(status["name"] == TRAINER and "running" in status["state"] for status in statuses)
    return running and not pod["metadata"].get("deletionTimestamp")


def training_pod(world: World, experiment: str, *, but: str = "", seconds: float = 120) -> str:
    """Name of a pod in which a trial of this Experiment trains, as soon as there is one that is not called `but`."""
    found: list[str] = []

    def one_trains() -> bool:
        names = [pod["metadata"]["name"] for pod in pods_of(world, experiment) if trains(pod)]
        found[:] = [name for name in names if name != but]
        return bool(found)

    wait_until(one_trains, seconds=seconds, what=f"another pod than {but!r} that trains for {experiment}", every=0.5)
    return found[0]


def let_go(world: World, pod: str) -> None:
    """Let a trial that waits go on."""
    world.kubectl("exec", pod, f"--container={TRAINER}", "--", "/bin/sh", "-c", f": > {WAITED_FOR}")
