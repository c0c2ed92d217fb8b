"""The candidate's servers start beside the live ones, until they are proved ready."""

from __future__ import annotations

from keelway.api.reasons import EventReason, Reason
from keelway.lifecycle.conditions import Fact, Standing, stalled
from keelway.lifecycle.model_deployment import outcome
from keelway.lifecycle.model_deployment.outcome import PROGRESSING
from keelway.lifecycle.model_deployment.refusal import rolled_back
from keelway.lifecycle.model_deployment.traffic import kept, servers
from keelway.lifecycle.model_deployment.world import World
from keelway.lifecycle.plan import Event, Plan


def starting(world: World) -> Plan | None:
    """Its servers are not ready yet; where another version serves they may not take for ever."""
    if world.readiness.ready or world.has_passed("Starting"):
        return None
    standing, reason, message = _standing(world)
    if world.deployment.status.live and _is_late(world):
        return rolled_back(world, reason, message)
    candidate = outcome.candidate(world, "Failed" if standing.progress == "Stalled" else "Starting")
    return Plan(
        f"candidate {candidate.phase.lower()}",
        applies=(*kept(world), *servers(world, world.wanted)),
        status=outcome.status(world, standing, candidate=candidate, **outcome.soak_over(world)),
        deletes=(*world.unwanted(), *world.superseded()),
        events=(*_events(world, standing, candidate.phase == "Failed"), *outcome.retirements(world)),
        look_again_after=outcome.soonest(world.soaking_for, world.deadline_in),
    )


def _is_late(world: World) -> bool:
    began = world.candidate is not None and world.candidate.phase in ("Starting", "Failed")
    return began and world.deadline_in <= 0


def _standing(world: World) -> tuple[Standing, Reason, str]:
    found, version = world.readiness, world.wanted.spec.version
    deadline = world.deployment.spec.rollout.progress_deadline
    late = f"it is not ready after {deadline}: it waits for {found.waiting_for}"
    if found.trouble:
        reason, message = found.trouble.reason, found.trouble.message
    elif _is_late(world):
        reason, message = Reason.TIMED_OUT, late
    else:
        return (
            outcome.on_the_way(world, Reason.MODEL_STARTING, f"waits for {found.waiting_for}"),
            Reason.TIMED_OUT,
            late,
        )
    said = f"version {version}: {message}{outcome.still(world)}"
    return stalled(reason, said).also(Fact(PROGRESSING, "False", reason, said)), reason, message


def _events(world: World, standing: Standing, failed: bool) -> tuple[Event, ...]:
    candidate = outcome.candidate(world, "Failed" if failed else "Starting")
    reason = EventReason.CANDIDATE_FAILED if failed else EventReason.CANDIDATE_STARTING
    return outcome.phase_event(world, candidate, reason, standing.message)
