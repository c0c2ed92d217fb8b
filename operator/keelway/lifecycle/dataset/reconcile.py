"""The decision about one Dataset, as a list of steps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from keelway.api.base import Manifest
from keelway.api.dataset import Dataset
from keelway.api.jobs import ObserveReport
from keelway.api.reasons import Reason
from keelway.lifecycle.conditions import Standing, stalled
from keelway.lifecycle.dataset import derivation, looks, schedule, versions
from keelway.lifecycle.dataset.freshness import stale_at
from keelway.lifecycle.dataset.outcome import failed, looking, published, resting, status, unresolved
from keelway.lifecycle.dataset.verdicts import judged
from keelway.lifecycle.dataset.world import World
from keelway.lifecycle.dataset_inputs import Unresolved
from keelway.lifecycle.jobs import stop
from keelway.lifecycle.plan import LogRequest, Observed, Plan
from keelway.lifecycle.pods import out_of_memory
from keelway.lifecycle.settings import JobSettings


def reconcile(manifest: Manifest, seen: Observed, now: datetime, settings: JobSettings) -> Plan:
    """What to do next for one Dataset. Each step settles one question and passes on with None."""
    world = World(Dataset.model_validate(manifest), seen, now, settings)
    return next(plan for step in STEPS if (plan := step(world)))


def leaving(world: World) -> Plan | None:
    """It is being deleted: Kubernetes collects its Jobs, its versions look after themselves."""
    return Plan("leaving") if world.dataset.metadata.deletion_timestamp else None


def schedule_unreadable(world: World) -> Plan | None:
    """A schedule that never comes true, or a time zone that nobody knows."""
    problem = schedule.problem(world.dataset.spec.refresh)
    return Plan("schedule unreadable", status=status(world, stalled(Reason.INVALID_SPEC, problem))) if problem else None


def suspended(world: World) -> Plan | None:
    """No new looks; consumers keep what they have."""
    if not world.dataset.spec.suspend:
        return None
    good = world.dataset.status.last_good
    message = "spec.suspend is true: the source is not looked at" + ("" if good else ", and there is no version yet")
    return Plan("suspended", status=status(world, Standing(bool(good), Reason.SUSPENDED, message)))


def inputs_missing(world: World) -> Plan | None:
    """A derived Dataset waits for what it is made of; one that is made of itself waits for ever."""
    if world.dataset.spec.derive is None:
        return None
    if circle := derivation.cycle(world.dataset, world.seen):
        return Plan("cycle", status=unresolved(world, derivation.in_a_cycle(circle)))
    if isinstance(world.inputs, Unresolved):
        return Plan("inputs missing", status=unresolved(world, world.inputs))
    return None


def leftovers(world: World) -> Plan | None:
    """Jobs of looks that were recorded or are no longer wanted, and versions beyond the history's limit."""
    old = [job for job in world.jobs if job["metadata"]["name"] != world.job_name]
    # A derivation that nobody waits for must not describe and upload what it has so far.
    gone = (*(order for job in old for order in stop(job, world.seen)), *versions.removable(world))
    return Plan("leftovers", deletes=gone) if gone else None


def not_due(world: World) -> Plan | None:
    """Nothing to look at before its time."""
    if world.due is not None and world.due <= world.now:
        return None
    return Plan("not due", status=resting(world), look_again_after=_soonest(world))


def _soonest(world: World) -> float | None:
    """Seconds until the next look, or until the data become stale."""
    times = [moment for moment in (world.due, stale_at(world)) if moment and moment > world.now]
    return (min(times) - world.now).total_seconds() if times else None


def derived_before(world: World) -> Plan | None:
    """The same inputs and code were derived and judged once: their version counts again, without a Job."""
    last, version = world.dataset.status.observation, world.derived
    if version is None or not world.is_judged(version) or not world.fits(version):
        return None
    asked = last is not None and last.request != world.request
    lost = last is not None and last.spec_hash == world.spec_hash and not world.is_current_whole
    return None if asked and not lost else published(world, version, "Unchanged")


def look_begins(world: World) -> Plan | None:
    """A look is due and nobody is looking."""
    if world.job is not None:
        return None
    return Plan("look begins", creates=(looks.job(world),), status=looking(world))


def look_goes_on(world: World) -> Plan | None:
    """The Job runs, or cannot."""
    job = world.job
    if job is None or job.phase != "Running":
        return None
    return Plan("look goes on", status=looking(world), look_again_after=job.look_again_after)


def derive_failed(world: World) -> Plan | None:
    """What derives failed by itself: its inputs, its query, its container, its upload."""
    if not world.is_derive_wanted or world.job is None:
        return None
    why = derivation.derive_failure(world.job)
    return failed(world, *why) if why else None


def look_lost(world: World) -> Plan | None:
    """The Job ended and nobody can say how: look again, a little later each time."""
    if world.verdict is not None:
        return None
    last = world.job.last_pod if world.job else None
    if last and out_of_memory(last, world.speaker):
        return failed(world, Reason.OUT_OF_MEMORY, f"the {world.speaker} container ran out of memory: {_MORE_MEMORY}")
    if world.job and world.job.timed_out:
        return failed(world, Reason.TIMED_OUT, f"the pod of Job {world.job_name} did not end in time")
    return failed(world, Reason.DISRUPTED, f"the pod of Job {world.job_name} ended without an answer; looking again")


_MORE_MEMORY = "raise spec.job.resources"


def look_failed(world: World) -> Plan | None:
    """The worker said what is wrong."""
    answer = world.verdict
    if answer is None or answer.outcome != "Failed":
        return None
    return failed(world, Reason.of(answer.reason), answer.message)


def nothing_new(world: World) -> Plan | None:
    """The files are those of the current version."""
    if world.verdict is None or world.verdict.outcome != "Unchanged":
        return None
    if world.current is None:
        return failed(world, Reason.DISRUPTED, "the current version was deleted while the source was looked at")
    return published(world, world.current, "Unchanged")


def report_wanted(world: World) -> Plan | None:
    """The report is in the log of the container that answered."""
    pod = world.job.last_pod if world.job else None
    if pod is None or world.seen.log(pod["metadata"]["uid"], world.speaker) is not None:
        return None
    request = LogRequest(world.dataset.namespace, pod["metadata"]["name"], pod["metadata"]["uid"], world.speaker)
    return Plan("report wanted", fetches=(request,))


def something_new(world: World) -> Plan | None:
    """Data to judge: the record first, then what belongs to it, then the verdict, and consumers are told."""
    answer, found = world.verdict, _report(world)
    if answer is None or found is None:
        said = f"the report of Job {world.job_name} is gone or damaged; looking again"
        return failed(world, Reason.DISRUPTED, said)
    version = versions.recorded(world, answer, found)
    if version is None:
        return Plan("version recorded", creates=(versions.new_version(world, answer, found),))
    if parts := versions.missing_parts(world, version, found):
        return Plan("version described", creates=parts)
    # A verdict stands for as long as the same is asked, whatever came between.
    return published(world, version if world.is_judged(version) else judged(world, version, found), "Observed")


def _report(world: World) -> ObserveReport | None:
    pod = world.job.last_pod if world.job else None
    log = world.seen.log(pod["metadata"]["uid"], world.speaker) if pod else None
    return versions.report(log, world.verdict) if log and world.verdict else None


STEPS: tuple[Callable[[World], Plan | None], ...] = (
    leaving,
    schedule_unreadable,
    suspended,
    inputs_missing,
    leftovers,
    not_due,
    derived_before,
    look_begins,
    look_goes_on,
    derive_failed,
    look_lost,
    look_failed,
    nothing_new,
    report_wanted,
    something_new,
)
"""The last step always has an answer."""
