"""How a Job of ours stands: running, in trouble, ended with evidence, or ended without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from keelway.api.base import Manifest
from keelway.api.durations import from_timestamp
from keelway.api.kinds import Key
from keelway.api.reasons import Reason
from keelway.lifecycle.plan import Delete, Observed
from keelway.lifecycle.pods import Trouble, controller_uid, disrupted, pods_of, terminal, trouble

EVIDENCE_GRACE = timedelta(seconds=15)
"""The watch of pods may lag behind that of Jobs: how long a verdict may be missing before it counts as lost."""
POD_GRACE = timedelta(seconds=10)
"""How long a Job may be without a pod before somebody seems to refuse it."""
POLL_SECONDS = 2.0
DELETE_GRACE_SECONDS = 5


@dataclass(frozen=True)
class JobState:
    """What is known of one Job."""

    job: Manifest
    pods: Sequence[Manifest]
    phase: Literal["Running", "Ended", "Lost"]
    """Lost: it ended and its pod can no longer say how."""
    trouble: Trouble | None = None
    timed_out: bool = False
    look_again_after: float | None = None

    @property
    def name(self) -> str:
        """metadata.name"""
        return str(self.job["metadata"]["name"])

    @property
    def last_pod(self) -> Manifest | None:
        """The newest pod."""
        return self.pods[-1] if self.pods else None


def jobs_for(seen: Observed, owner: Key, uid: str) -> list[Manifest]:
    """Jobs of one resource that are not on their way out."""
    found = [job for job in seen.about(owner, "Job") if controller_uid(job) == uid]
    return [job for job in found if not job["metadata"].get("deletionTimestamp")]


def job_state(job: Manifest, seen: Observed, now: datetime) -> JobState:
    """How a Job stands now."""
    pods = pods_of(seen, job)
    ended = _ended(job)
    if ended is None:
        return _running(job, pods, now)
    # The Job controller puts another pod in the place of a disrupted one: that one's words count.
    pods = [pod for pod in pods if not disrupted(pod)]
    timed_out = ended.get("reason") == "DeadlineExceeded"
    if pods and terminal(pods[-1]):
        return JobState(job, pods, "Ended", timed_out=timed_out)
    if now - from_timestamp(str(ended["lastTransitionTime"])) < EVIDENCE_GRACE:
        return JobState(job, pods, "Running", look_again_after=POLL_SECONDS)
    return JobState(job, pods, "Ended" if timed_out else "Lost", timed_out=timed_out)


def _running(job: Manifest, pods: Sequence[Manifest], now: datetime) -> JobState:
    if found := trouble(pods):
        return JobState(job, pods, "Running", trouble=found)
    age = now - from_timestamp(str(job["metadata"]["creationTimestamp"]))
    if pods or job.get("spec", {}).get("suspend"):
        return JobState(job, pods, "Running")
    if age < POD_GRACE:
        return JobState(job, pods, "Running", look_again_after=(POD_GRACE - age).total_seconds())
    name = job["metadata"]["name"]
    refused = Trouble(
        Reason.POD_REFUSED,
        f"Job {name} has no pod after {int(age.total_seconds())} s: a quota or an admission policy may refuse it; "
        f"see kubectl describe job {name}",
    )
    return JobState(job, pods, "Running", trouble=refused)


def has_ended(job: Manifest) -> bool:
    """Whether a Job is complete or has failed for good."""
    return _ended(job) is not None


def ended_at(job: Manifest) -> datetime | None:
    """When a Job became complete or failed for good; None while neither is so."""
    ended = _ended(job)
    return from_timestamp(str(ended["lastTransitionTime"])) if ended else None


def _ended(job: Manifest) -> Manifest | None:
    conditions = job.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c.get("type") in ("Complete", "Failed") and c.get("status") == "True"), None)


def end_overdue(state: JobState) -> tuple[Delete, ...]:
    """End the pods of a Job that ran longer than it may, soon: a program that ignores SIGTERM has no claim to more."""
    conditions = state.job.get("status", {}).get("conditions", [])
    # Kubernetes says so before it says Failed, for which it waits until the pods have used up their own grace.
    targets = (c for c in conditions if c.get("type") == "FailureTarget" and c.get("status") == "True")
    if all(condition.get("reason") != "DeadlineExceeded" for condition in targets):
        return ()
    return tuple(Delete.of(pod, DELETE_GRACE_SECONDS) for pod in state.pods if not terminal(pod))


def stop(job: Manifest, seen: Observed) -> tuple[Delete, ...]:
    """Delete this Job and end its pods soon: nobody waits for what they would still upload.

    The pods go first. Kubernetes deletes them with the Job, too, and gives them all the time that their template asks
    for; a node that has begun to wait for that long does not always hear of less.
    """
    alive = [pod for pod in pods_of(seen, job) if not terminal(pod)]
    return (*(Delete.of(pod, DELETE_GRACE_SECONDS) for pod in alive), Delete.of(job))
