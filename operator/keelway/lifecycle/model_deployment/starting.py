"""The candidate's servers start beside the live ones, until they are proved ready."""

from __future__ import annotations

from keelway.api.reasons import EventReason, Reason
from keelway.lifecycle.conditions import Fact, Standing, stalled
from keelway.lifecycle.model_deployment import outcome
from keelway.lifecycle.model_deployment.outcome import PROGRESSING
from keelway.lifecycle.model_deployment.refusal import rolled_back
from keelway.lifecycle.model_deployment.traffic import carries, kept, replicas_for, scaled
from keelway.lifecycle.model_deployment.world import World
from keelway.lifecycle.plan import Plan
from keelway.lifecycle.staged_jobs import Failure


def starting(world: World) -> Plan | None:
    """Its servers are not ready yet; where another version serves they may not take for ever."""
    if world.has_passed("Starting") or (world.readiness.ready and carries(world, world.first_weight)):
        return None
    failure = _failure(world)
    if failure and world.deployment.status.live and _is_late(world):
        return rolled_back(world, *failure)
    candidate = outcome.candidate(world, "Failed" if failure else "Starting")
    standing = _failed_standing(world, *failure) if failure else _working_standing(world)
    news = EventReason.CANDIDATE_FAILED if failure else EventReason.CANDIDATE_STARTING
    return Plan(
        f"candidate {candidate.phase.lower()}",
        applies=(*kept(world), *scaled(world, world.first_weight)),
        status=outcome.status(world, standing, candidate=candidate, **outcome.soak_over(world)),
        deletes=(*world.unwanted(), *world.superseded()),
        events=(
            *outcome.phase_event(world, candidate, news, standing.message),
            *outcome.retirements(world),
        ),
        look_again_after=outcome.soonest(world.soak_due_in, world.deadline_in),
    )


def _is_late(world: World) -> bool:
    began = world.candidate is not None and world.candidate.phase in ("Starting", "Failed")
    return began and world.deadline_in <= 0


def _waiting_for(world: World) -> str:
    found = world.readiness
    replicas = f"{replicas_for(world, world.first_weight)} replicas, of which {found.available} are available"
    return replicas if found.ready else found.waiting_for


def _failure(world: World) -> Failure | None:
    """What keeps the servers from being ready besides time."""
    if found := world.readiness.trouble:
        return found.reason, found.message
    deadline = world.deployment.spec.rollout.progress_deadline
    late = f"it is not ready after {deadline}: it waits for {_waiting_for(world)}"
    return (Reason.TIMED_OUT, late) if _is_late(world) else None


def _working_standing(world: World) -> Standing:
    return outcome.on_the_way(world, Reason.MODEL_STARTING, f"waits for {_waiting_for(world)}")


def _failed_standing(world: World, reason: Reason, message: str) -> Standing:
    said = f"version {world.wanted.spec.version}: {message}{outcome.still(world)}"
    return stalled(reason, said).also(Fact(PROGRESSING, "False", reason, said))
