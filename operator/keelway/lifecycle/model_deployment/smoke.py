"""A candidate that is ready answers requests of its own before anybody else's."""

from __future__ import annotations

from keelway.api.judging import SmokeVerdict
from keelway.api.reasons import EventReason, Reason
from keelway.lifecycle.conditions import Standing, stalled
from keelway.lifecycle.jobs import JobState, end_overdue, job_state, stop
from keelway.lifecycle.model_deployment import outcome
from keelway.lifecycle.model_deployment.refusal import rolled_back
from keelway.lifecycle.model_deployment.traffic import kept, scaled
from keelway.lifecycle.model_deployment.world import World
from keelway.lifecycle.plan import Plan
from keelway.lifecycle.pods import verdict
from keelway.lifecycle.staged_jobs import Failure, work_failure
from keelway.manifests.smoke_job import SMOKE, smoke_job

TOO_LONG = "the smoke requests were not answered in time"


def smoke_testing(world: World) -> Plan | None:
    """Its smoke requests are not answered yet."""
    if world.has_passed("Smoke") or not world.deployment.spec.rollout.smoke.requests:
        return None
    job = smoke_job(
        world.deployment,
        world.target_service,
        attempt=world.attempt,
        image=world.settings.worker_image,
        pull_policy=world.settings.worker_pull_policy,
    )
    name = job["metadata"]["name"]
    found = world.job(name)
    if found is None:
        return _waiting(world, Plan("smoke", creates=(job,)), name)
    state = job_state(found, world.seen, world.now)
    if state.phase == "Running":
        return _running(world, state)
    if failure := _failure(state):
        return _failed(world, state, *failure)
    return _answered(world)


def _waiting(world: World, plan: Plan, job: str, standing: Standing | None = None) -> Plan:
    candidate = outcome.candidate(world, "Smoke")
    standing = standing or outcome.on_the_way(world, Reason.SMOKE_TESTING, "answers its smoke requests")
    return Plan(
        plan.reason,
        creates=plan.creates,
        applies=(*kept(world), *scaled(world, world.first_weight)),
        status=outcome.status(world, standing, candidate=candidate, **outcome.soak_over(world)),
        deletes=(*world.unwanted(), *world.superseded(job), *plan.deletes),
        events=outcome.phase_event(world, candidate, EventReason.STEP_REACHED, standing.message),
        look_again_after=outcome.soonest(world.soak_due_in, world.deadline_in, plan.look_again_after),
    )


def _running(world: World, state: JobState) -> Plan:
    if world.deadline_in <= 0:
        return rolled_back(world, Reason.TIMED_OUT, TOO_LONG)
    standing = None
    if state.trouble:
        standing = stalled(state.trouble.reason, f"smoke requests: {state.trouble.message}{outcome.still(world)}")
    return _waiting(
        world,
        Plan("smoke", deletes=end_overdue(state), look_again_after=state.look_again_after),
        state.name,
        standing,
    )


def _failure(state: JobState) -> Failure | None:
    said = verdict(state.pods, SMOKE, SmokeVerdict)
    if said and said.outcome == "Failed":
        return Reason.of(said.reason), said.message
    failure = work_failure(state, SMOKE, failed=Reason.SMOKE_FAILED, too_long=TOO_LONG)
    return failure or (None if said else (Reason.DISRUPTED, "it left no verdict"))


def _failed(world: World, state: JobState, reason: Reason, message: str) -> Plan:
    if reason in (Reason.DISRUPTED, Reason.INTERNAL_ERROR) and world.deadline_in > 0:
        return _waiting(world, Plan("smoke again", deletes=stop(state.job, world.seen)), state.name)
    return rolled_back(world, reason, message)


def _answered(world: World) -> Plan:
    """Recorded before anything follows from it."""
    standing = outcome.on_the_way(world, Reason.CANARY, "has answered its smoke requests")
    return Plan(
        "smoke answered",
        applies=(*kept(world), *scaled(world, world.first_weight)),
        status=outcome.status(world, standing, candidate=outcome.candidate(world, "Canary")),
        look_again_after=0.0,
    )
