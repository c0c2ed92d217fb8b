"""Early stopping on real pods: a trial that reports bad values is ended before it is done, and its curve stays."""

from dataclasses import dataclass
from datetime import datetime

import pytest

from dev.demo.data import as_csv, tumours, upload
from tests.e2e.audit import Request, requests
from tests.e2e.operator import USER, Operator
from tests.e2e.trainers import GOOD, experiment_of
from tests.e2e.trials import is_over, rows_of, work_for
from tests.e2e.world import Manifest, World

STEPS = 8
GOOD_TRIALS = 3
SCRIPT = f"""
value=0.9
[ "$KEELWAY_TRIAL" -lt {GOOD_TRIALS} ] || value=0.2
for step in $(seq {STEPS}); do
  echo "{{\\"step\\": $step, \\"auc\\": $value}}" >> "$KEELWAY_METRICS"
  sleep 0.2
done
[ "$KEELWAY_TRIAL" -lt {GOOD_TRIALS} ] || exec sleep 1000
{GOOD}
"""
"""From trial GOOD_TRIALS on the values are bad, and there is no end: SIGTERM does not end what is process 1."""
ENDS_WITHIN = 10


@dataclass(frozen=True)
class Stopped:
    """A run with a trial that was ended early."""

    experiment: Manifest
    rows: list[Manifest]

    @property
    def pruned(self) -> Manifest:
        """The row of the trial that does badly."""
        return self.rows[GOOD_TRIALS]


@pytest.fixture(scope="module")
def stopped(world: World) -> Stopped:
    """Three good trials, then a bad one."""
    upload(world.bucket("lake"), "tumours", {"part-1.csv": as_csv(tumours()[:50])})
    world.bucket("models")
    search = {"algorithm": "Random", "seed": 42, "maxTrials": GOOD_TRIALS + 1, "parallelTrials": GOOD_TRIALS}
    stopping = {"algorithm": "Median", "minTrials": 2, "startStep": 3}
    experiment = experiment_of(world, "stops-early", SCRIPT, search=search, earlyStopping=stopping)
    world.apply(world.dataset(), experiment)
    seen = world.wait(experiment, is_over, seconds=180)
    return Stopped(seen, rows_of(world, "stops-early"))


def test_the_bad_trial_alone_is_pruned(stopped: Stopped) -> None:
    assert [row["state"] for row in stopped.rows] == ["Succeeded"] * GOOD_TRIALS + ["Pruned"]
    run = stopped.experiment["status"]["run"]
    assert (run["state"], run["trials"]["pruned"], run["best"]["value"]) == ("Succeeded", 1, 0.75)


def test_every_row_keeps_its_curve(stopped: Stopped) -> None:
    bad, good = stopped.pruned["curve"], [row["curve"] for row in stopped.rows[:GOOD_TRIALS]]
    assert bad == [[step + 1, 0.2] for step in range(len(bad))]
    assert len(bad) >= 3
    assert good == [[[step + 1, 0.9] for step in range(STEPS)]] * GOOD_TRIALS


def test_the_pod_ends_soon_after_the_decision(world: World, operator: Operator, stopped: Stopped) -> None:
    job = stopped.pruned["job"]
    world.kubectl("wait", "--for=delete", "pods", f"--selector=batch.kubernetes.io/job-name={job}", "--timeout=30s")
    asked = requests(world.cluster, since=operator.audit_from, mention=job)
    (decided,) = [r for r in asked if (r.user, r.verb, r.resource, r.name) == (USER, "delete", "jobs", job)]
    ended = end_of_pod(asked, job)
    seconds = (ended - decided.answered).total_seconds()
    print(f"the pod of a pruned trial was gone {seconds:.1f} s after the decision")
    assert seconds < ENDS_WITHIN


def end_of_pod(asked: list[Request], job: str) -> datetime:
    """When the kubelet said the last word about the Job's pod."""
    said = [r for r in asked if r.user.startswith("system:node:") and r.resource in ("pods", "pods/status")]
    return [r for r in said if r.name.startswith(job) and r.verb in ("patch", "delete") and r.code == 200][-1].answered


def test_an_event_says_so(world: World, stopped: Stopped) -> None:
    events = [event for event in world.list("events") if event["reason"] == "TrialPruned"]
    (event,) = [event for event in events if event["involvedObject"]["name"] == "stops-early"]
    assert f"trial {stopped.pruned['number']}" in event["message"]


def test_no_trial_ran_twice(world: World, operator: Operator, stopped: Stopped) -> None:
    work = work_for(world, operator, "stops-early")
    assert sorted(work.jobs) == sorted(row["job"] for row in stopped.rows)
    assert len(work.pods) == len(stopped.rows)
