"""What a trial costs beyond the user's own container, and how soon the next one begins, beside a bare Job."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median

import pytest
from rich.console import Console
from rich.table import Table

from dev.demo.data import as_csv, tumours, upload
from tests.e2e.audit import Request, requests
from tests.e2e.operator import USER, Operator
from tests.e2e.trainers import MODEL, experiment_of
from tests.e2e.trials import TRAINER, is_over, rows_of
from tests.e2e.world import Manifest, World

TRIALS = 8
NAME, BARE = "unhurried", "bare"
NOW = "$(python3 -c 'import time; print(time.time())')"
SCRIPT = f"""
began={NOW}
sleep 1
{MODEL}
echo "{{\\"auc\\": 0.5, \\"began\\": $began, \\"ended\\": {NOW}}}" | tee -a "$KEELWAY_METRICS"
"""
"""Says when it began and ended: Kubernetes says so in whole seconds."""
MOST_OVERHEAD = 15.0
"""Seconds, beside whatever else runs; on a machine of its own see what is printed."""
MOST_UNTIL_NEXT = 0.3


@dataclass(frozen=True, kw_only=True)
class Life:
    """Moments in the life of a pod, in seconds."""

    bound: float
    """It came to its node."""
    began: float
    """Its own container did."""
    ended: float
    collected: float
    """The sidecar said its last word; as `ended` where there is none."""
    over: float
    """The kubelet told the API server so."""

    @property
    def overhead(self) -> float:
        """What it lasted beyond its own container."""
        return (self.over - self.bound) - (self.ended - self.began)


@dataclass(frozen=True)
class Measured:
    """One trial after the other, and a bare Job that runs the same container as often."""

    trials: Sequence[Life]
    bare: Sequence[Life]
    until_next_job: Sequence[float]
    """From a trial's Job being complete to the next one's being made."""


@pytest.fixture(scope="module")
def measured(world: World, operator: Operator) -> Measured:
    """First the trials, then the bare Job, so that neither is in the other's way."""
    upload(world.bucket("lake"), "tumours", {"part-1.csv": as_csv(tumours())})
    world.bucket("models")
    search = {"algorithm": "Random", "seed": 42, "maxTrials": TRIALS, "parallelTrials": 1}
    experiment = experiment_of(world, NAME, SCRIPT, search=search)
    world.apply(world.dataset(), experiment)
    world.wait(experiment, is_over, seconds=180)
    bare = bare_job(world)
    world.apply(bare)
    world.kubectl("wait", "--for=condition=complete", f"job/{BARE}", "--timeout=120s")
    asked = requests(world.cluster, since=operator.audit_from, mention=world.namespace)
    return Measured(trial_lives(world, asked), bare_lives(world, asked), until_next_job(world, asked))


def bare_job(world: World) -> Manifest:
    """A Job of as many pods, one after the other, with the container that trains and nothing else."""
    template = experiment_of(world, NAME, SCRIPT)["spec"]["trial"]["job"]["template"]
    (container,) = template["spec"]["containers"]
    container["env"] = [{"name": name, "value": "/tmp"} for name in ("KEELWAY_MODEL_DIR", "KEELWAY_METRICS")]
    container["env"][1]["value"] += "/metrics"
    template["spec"]["restartPolicy"] = "Never"
    spec = {"completions": TRIALS, "parallelism": 1, "completionMode": "Indexed", "template": template}
    metadata = {"name": BARE, "namespace": world.namespace}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def trial_lives(world: World, asked: Sequence[Request]) -> list[Life]:
    rows = sorted(rows_of(world, NAME), key=lambda row: int(row["number"]))
    pods = [pod_of_job(world, row["job"]) for row in rows]
    return [life(world, asked, pod, row["metrics"]) for pod, row in zip(pods, rows, strict=True)]


def pod_of_job(world: World, job: str) -> Manifest:
    (pod,) = world.list("pods", f"batch.kubernetes.io/job-name={job}")
    return pod


def bare_lives(world: World, asked: Sequence[Request]) -> list[Life]:
    pods = world.list("pods", f"batch.kubernetes.io/job-name={BARE}")
    lives = [life(world, asked, pod, json.loads(log_of(world, pod, TRAINER)[-1][1])) for pod in pods]
    return sorted(lives, key=lambda each: each.bound)


def life(world: World, asked: Sequence[Request], pod: Manifest, said: Manifest) -> Life:
    name = pod["metadata"]["name"]
    mine = [request for request in asked if request.name == name]
    (bound,) = [r for r in mine if r.resource == "pods/binding"]
    over = [r for r in mine if r.resource == "pods/status" and r.user.startswith("system:node:")][-1]
    has_sidecar = bool(pod["spec"].get("initContainers"))
    return Life(
        bound=bound.answered.timestamp(),
        began=said["began"],
        ended=said["ended"],
        collected=log_of(world, pod, "collect")[-1][0] if has_sidecar else said["ended"],
        over=over.answered.timestamp(),
    )


def log_of(world: World, pod: Manifest, container: str) -> list[tuple[float, str]]:
    """Lines of a container's log with the moment of each."""
    lines = world.kubectl("logs", pod["metadata"]["name"], f"--container={container}", "--timestamps").splitlines()
    cut = [line.partition(" ") for line in lines]
    return [(datetime.fromisoformat(moment).timestamp(), text) for moment, _, text in cut]


def until_next_job(world: World, asked: Sequence[Request]) -> list[float]:
    jobs = [row["job"] for row in sorted(rows_of(world, NAME), key=lambda row: int(row["number"]))]
    made = {r.name: r.answered for r in asked if (r.user, r.verb, r.resource) == (USER, "create", "jobs")}
    complete = {r.name: r.answered for r in asked if r.resource == "jobs/status" and r.code == 200}
    return [(made[after] - complete[before]).total_seconds() for before, after in pairwise(jobs)]


def test_what_a_trial_costs_beyond_its_container(measured: Measured) -> None:
    Console(width=120).print(shown(measured))
    assert len(measured.trials) == len(measured.bare) == TRIALS
    assert median(each.overhead for each in measured.trials) < MOST_OVERHEAD


def test_how_soon_the_next_trial_begins(measured: Measured) -> None:
    bare = [after.bound - before.over for before, after in pairwise(measured.bare)]
    trials = [after.bound - before.over for before, after in pairwise(measured.trials)]
    print(f"from a trial's end to the next Job: {_all(measured.until_next_job)}")
    print(f"from a pod's end to the next pod on a node: trials {_all(trials)}, bare Job {_all(bare)}")
    assert median(measured.until_next_job) < MOST_UNTIL_NEXT


def _all(seconds: Sequence[float]) -> str:
    return f"median {median(seconds):.3f} s of {' '.join(f'{each:.3f}' for each in seconds)}"


def shown(measured: Measured) -> Table:
    """Where the time goes, as medians in seconds."""
    table = Table("", "overhead", "before its container", "keeping the model", "until the API server knows")
    for name, lives in (("trial", measured.trials), ("bare Job", measured.bare)):
        parts = (
            [each.overhead for each in lives],
            [each.began - each.bound for each in lives],
            [each.collected - each.ended for each in lives],
            [each.over - each.collected for each in lives],
        )
        table.add_row(name, *(f"{median(part):.2f}" for part in parts))
    return table
