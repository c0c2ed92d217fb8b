"""What goes wrong with a trial on real pods: its state, its reason, how often it was tried, and no work done twice."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from dev.demo.data import as_csv, tumours, upload
from dev.demo.resources import condition
from dev.processes import wait_until
from keelway.api.resource import RECONCILE_ANNOTATION
from tests.e2e.door import Door
from tests.e2e.operator import Operator
from tests.e2e.trainers import GOOD, METRICS, MODEL, experiment_of
from tests.e2e.trials import WAIT, is_over, let_go, models_of, pods_of, rows_of, training_pod, work_for
from tests.e2e.world import ONE_TRIAL, Manifest, World, has_reason

WAITS = f"{WAIT}; {GOOD}"
SECOND_WAITS = f'[ "$KEELWAY_TRIAL" = 0 ] || {{ {WAIT}; }}; {GOOD}'
MANY_LINES = """yes '{"step": 1, "auc": 0.1}' | head -c 10000000 >> "$KEELWAY_METRICS"; echo >> "$KEELWAY_METRICS\""""
GREEDY = {
    "command": ["python3", "-c", "x = bytes(range(256)) * 2**22"],
    "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "64Mi"}},
}
MISSING_IMAGE = "dev.local/there-is-no-such-trainer:1"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A trial with one retry that comes to an end by itself, and what its row says then."""

    name: str
    script: str = ""
    container: Manifest = field(default_factory=dict)
    timeout: str = "10m"
    state: str = "Failed"
    reason: str = ""
    says: str = ""
    """Part of the message."""
    failures: int = 2


CASES = (
    Case(name="exits-1", script="exit 1", reason="TrainerFailed", says="exit code 1"),
    Case(name="silent", script=MODEL, reason="MetricMissing", says="empty or absent"),
    Case(
        name="not-a-number",
        script=f"""{MODEL}; echo '{{"auc": NaN}}' >> "$KEELWAY_METRICS\"""",
        reason="MetricInvalid",
        says="not finite",
    ),
    Case(
        name="other-metric",
        script=f"""{MODEL}; echo '{{"loss": 1}}' >> "$KEELWAY_METRICS\"""",
        reason="MetricMissing",
        says="loss",
    ),
    Case(name="no-model", script=METRICS, reason="ModelMissing", says="holds no files"),
    Case(name="ten-megabytes", script=f"{MANY_LINES}; {GOOD}", state="Succeeded", failures=0),
    Case(name="greedy", container=GREEDY, reason="OutOfMemory", says="more memory than it may"),
    Case(name="slow", script=f"{WAIT}; {GOOD}", timeout="30s", reason="TimedOut", says="30s"),
)
DISTURBED = ("evicted", "gone", "jobless")


@dataclass(frozen=True)
class Begun:
    """Everything that this module looks at, under way."""

    world: World
    operator: Operator
    doors: Mapping[str, Door]

    def over(self, name: str, *, seconds: float = 240) -> list[Manifest]:
        """The table of an Experiment once its run has ended."""
        self.world.wait(self._named(name), is_over, seconds=seconds)
        return rows_of(self.world, name)

    def row(self, name: str) -> Manifest:
        """The one row of such a table."""
        (row,) = self.over(name)
        return row

    def until(self, name: str, reason: str, *, seconds: float = 120) -> Manifest:
        """The Experiment once it is not Ready for this reason."""
        return self.world.wait(self._named(name), has_reason(reason), seconds=seconds)

    def cost(self, name: str) -> tuple[int, int]:
        """How many Jobs were made for an Experiment, and how many pods came to a node."""
        work = work_for(self.world, self.operator, name)
        return len(work.jobs), len(work.pods)

    def _named(self, name: str) -> Manifest:
        return {"kind": "Experiment", "metadata": {"name": name}}


@pytest.fixture(scope="module")
def begun(world: World, operator: Operator) -> Begun:
    """All Experiments at once: most of their time is waiting."""
    upload(world.bucket("lake"), "tumours", {"part-1.csv": as_csv(tumours()[:50])})
    world.bucket("models")
    doors = {name: Door(world, name) for name in ("shut-a-while", "shut-long")}
    for door in doors.values():
        door.build()
    dataset = world.dataset()
    world.apply(dataset, *self_ending(world), *disturbed(world), *(shut(world, door) for door in doors.values()))
    world.wait(dataset)
    return Begun(world, operator, doors)


def self_ending(world: World) -> list[Manifest]:
    return [
        experiment_of(world, case.name, case.script, container=case.container, retries=1, timeout=case.timeout)
        for case in CASES
    ]


def disturbed(world: World) -> list[Manifest]:
    two = {**ONE_TRIAL, "maxTrials": 2}
    return [
        *(experiment_of(world, name, WAITS) for name in DISTURBED),
        experiment_of(world, "recorded", SECOND_WAITS, search=two),
        experiment_of(world, "no-image", container={"image": MISSING_IMAGE}),
    ]


def shut(world: World, door: Door) -> Manifest:
    manifest = experiment_of(world, door.name, GOOD)
    manifest["spec"]["output"]["access"] = {**manifest["spec"]["output"]["access"], "endpoint": door.endpoint}
    return manifest


def test_a_model_is_kept_by_the_first_training_when_its_bucket_comes_back_soon(world: World, begun: Begun) -> None:
    wait_until(lambda: has_trained(world, "shut-a-while"), seconds=120, what="the end of the training", every=0.5)
    assert rows_of(world, "shut-a-while") == []
    begun.doors["shut-a-while"].open()
    row = begun.row("shut-a-while")
    assert (row["state"], row.get("failures", 0), row.get("attempt", 0)) == ("Succeeded", 0, 0)
    assert begun.cost("shut-a-while") == (1, 1)


def has_trained(world: World, name: str) -> bool:
    statuses = [status for pod in pods_of(world, name) for status in pod["status"].get("containerStatuses", [])]
    return any("terminated" in status["state"] for status in statuses)


def test_an_evicted_pod_is_replaced_within_its_job(world: World, begun: Begun) -> None:
    first = training_pod(world, "evicted")
    evict(world, first)
    let_go(world, training_pod(world, "evicted", but=first))
    row = begun.row("evicted")
    assert (row["state"], row.get("failures", 0), row.get("attempt", 0)) == ("Succeeded", 0, 0)
    assert begun.cost("evicted") == (1, 2)


def evict(world: World, pod: str) -> None:
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": world.namespace},
    }
    path = f"/api/v1/namespaces/{world.namespace}/pods/{pod}/eviction"
    world.kubectl("create", f"--raw={path}", "-f-", input=json.dumps(eviction))


def test_a_pod_that_is_gone_without_a_word_costs_the_trial_no_retry(world: World, begun: Begun) -> None:
    first = training_pod(world, "gone")
    world.kubectl("delete", "pod", first, "--force", "--grace-period=0")
    let_go(world, training_pod(world, "gone", but=first))
    row = begun.row("gone")
    assert (row["state"], row.get("failures", 0)) == ("Succeeded", 0)
    assert begun.cost("gone") == (2, 2)


def test_a_job_deleted_before_its_verdict_is_made_again(world: World, begun: Begun) -> None:
    first = training_pod(world, "jobless")
    (job,) = work_for(world, begun.operator, "jobless").jobs
    world.kubectl("delete", "job", job, "--wait=false")
    let_go(world, training_pod(world, "jobless", but=first))
    row = begun.row("jobless")
    assert (row["state"], row.get("failures", 0)) == ("Succeeded", 0)
    assert begun.cost("jobless") == (2, 2)


def test_a_job_deleted_after_its_verdict_is_never_made_again(world: World, begun: Begun) -> None:
    second = training_pod(world, "recorded")
    first_job, second_job = work_for(world, begun.operator, "recorded").jobs
    world.kubectl("delete", "job", first_job)
    let_go(world, second)
    assert [row["state"] for row in begun.over("recorded")] == ["Succeeded", "Succeeded"]
    world.kubectl("delete", "job", second_job)
    world.kubectl("annotate", "experiment", "recorded", f"{RECONCILE_ANNOTATION}=now")
    begun.operator.settle()
    assert [row["state"] for row in rows_of(world, "recorded")] == ["Succeeded", "Succeeded"]
    assert begun.cost("recorded") == (2, 2)
    assert len(models_of(world, "recorded")) == 1


def test_an_image_that_does_not_exist_is_waited_for_by_one_pod(begun: Begun) -> None:
    seen = begun.until("no-image", "ImagePullFailed")
    assert MISSING_IMAGE in condition(seen, "Ready")["message"]
    assert begun.cost("no-image") == (1, 1)
    assert seen["status"]["run"]["trials"]["failed"] == 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_trial_with_trouble_of_its_own(begun: Begun, case: Case) -> None:
    row = begun.row(case.name)
    assert (row["state"], row.get("reason", ""), row.get("failures", 0)) == (case.state, case.reason, case.failures)
    assert case.says in row.get("message", "")
    attempts = max(1, case.failures)
    assert row.get("attempt", 0) == attempts - 1
    assert begun.cost(case.name) == (attempts, attempts)


def test_what_failed_fails_the_run_and_makes_no_model(world: World, begun: Begun) -> None:
    failing = [case for case in CASES if case.state == "Failed"]
    for case in failing:
        begun.over(case.name)
        ready = condition(world.get("experiment", case.name), "Ready")
        assert (ready["status"], ready["reason"]) == ("False", case.reason)
        assert models_of(world, case.name) == []


def test_a_bucket_that_stays_away_costs_the_trial_no_retry(world: World, begun: Begun) -> None:
    wait_until(lambda: rows_of(world, "shut-long"), seconds=150, what="a row of shut-long", every=1)
    (row,) = rows_of(world, "shut-long")
    assert (row["state"], row["reason"], row.get("failures", 0)) == ("Retrying", "UploadFailed", 0)
    begun.doors["shut-long"].open()
    row = begun.row("shut-long")
    assert (row["state"], row.get("failures", 0)) == ("Succeeded", 0)
    assert begun.cost("shut-long") == (row["attempt"] + 1, row["attempt"] + 1)
