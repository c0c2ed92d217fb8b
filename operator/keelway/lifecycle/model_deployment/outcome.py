"""How a ModelDeployment stands: its status, its candidate, its history."""

from __future__ import annotations

from typing import Any, Literal

from keelway.api.durations import to_timestamp
from keelway.api.model_deployment import CandidateVersion, Deployed, Phase
from keelway.api.reasons import EventReason, Reason
from keelway.lifecycle.conditions import Fact, Standing, ready, shortened, stalled, status_after, working
from keelway.lifecycle.model_deployment.world import World
from keelway.lifecycle.plan import Event

HISTORY, LINE_LENGTH = 20, 200
PROGRESSING, ROLLED_BACK, GATE_PASSED, APPROVED = "Progressing", "RolledBack", "GatePassed", "Approved"
OF_A_CANDIDATE = (ROLLED_BACK, GATE_PASSED, APPROVED)
"""Conditions that are about a candidate, or about what was one."""


def status(world: World, standing: Standing, **changes: object) -> dict[str, Any]:
    """The whole status with this standing and these fields changed; what is live has all the traffic unless said."""
    deployment = world.deployment
    if live := deployment.status.live:
        changes = {"live": live.model_copy(update={"weight": 100}), **changes}
    generation = deployment.metadata.generation
    return status_after(deployment.status, standing, generation=generation, now=world.now, **changes)


def candidate(world: World, phase: Phase, **changes: object) -> CandidateVersion:
    """The candidate in this phase; `since` moves with the phase and the step."""
    before, version, now = world.candidate, world.wanted, to_timestamp(world.now)
    fresh = CandidateVersion(
        version=version.spec.version,
        name=version.name,
        inference_service=world.target_service,
        phase=phase,
        since=now,
        attempt=world.attempt,
    )
    after = (before or fresh).model_copy(update={"phase": phase, "reason": "", "message": "", **changes})
    return after.model_copy(update={"since": now}) if has_moved(world, after) else after


def has_moved(world: World, after: CandidateVersion) -> bool:
    """Whether a phase or a step begins with this."""
    before = world.candidate
    return before is None or (_stage(before.phase), before.step) != (_stage(after.phase), after.step)


def _stage(phase: Phase) -> Phase:
    """Servers that fail are servers that start, as far as their deadline goes."""
    return "Starting" if phase == "Failed" else phase


def on_the_way(world: World, reason: Reason, message: str) -> Standing:
    """A candidate makes progress; what serves meanwhile is said."""
    message = f"version {world.wanted.spec.version} {message}{still(world)}"
    return working(reason, message).also(Fact(PROGRESSING, "True", reason, message))


def standing_by(world: World, reason: Reason, message: str) -> Standing:
    """The target does not go out. Who follows the newest version is served by the one that is live; who asked for just
    this one, or has none, is not."""
    if world.deployment.status.live and not world.deployment.spec.model.version:
        found = ready(reason, message)
    else:
        found = stalled(reason, message)
    return found.also(Fact(PROGRESSING, "False", reason, message))


def still(world: World) -> str:
    """What serves meanwhile, as the end of a message."""
    live = world.deployment.status.live
    return f"; version {live.version} keeps serving" if live else ""


def line(
    world: World,
    outcome: Literal["Promoted", "RolledBack", "Rejected"],
    *,
    reason: Reason | None = None,
    message: str = "",
) -> Deployed:
    """The history's line about the target."""
    before, now = world.candidate, to_timestamp(world.now)
    return Deployed(
        version=world.wanted.spec.version,
        name=world.wanted.name,
        from_=now if outcome == "Promoted" or before is None else before.since,
        to=None if outcome == "Promoted" else now,
        outcome=outcome,
        reason=reason or "",
        message=shortened(message)[:LINE_LENGTH],
        attempt=world.attempt,
        approved=before.approved if before else None,
    )


def told(*lines: Deployed) -> tuple[Deployed, ...]:
    """A history, cut to what is kept: newest first."""
    return lines[:HISTORY]


def phase_event(world: World, after: CandidateVersion, reason: EventReason, message: str) -> tuple[Event, ...]:
    """Told when a phase or a step begins, and not again."""
    before = world.candidate
    if before and (before.phase, before.step) == (after.phase, after.step):
        return ()
    bad = after.phase in ("Failed", "Rejected", "RolledBack")
    return (Event("Warning" if bad else "Normal", reason, message),)


def retirements(world: World, *, keep_target: bool = True) -> tuple[Event, ...]:
    """Says whose servers go."""
    names = [
        order.key.name for order in world.unwanted(keep_target=keep_target) if order.key.kind == "InferenceService"
    ]
    return tuple(Event("Normal", EventReason.RETIRED, f"the servers of {name} go") for name in names)


def soak_over(world: World) -> dict[str, object]:
    """Forget the version before once it was kept ready long enough; its servers go at the next look."""
    return {"soaking": None} if world.deployment.status.soaking and world.soaking_for <= 0 else {}


def soonest(*waits: float | None) -> float | None:
    """The shortest of the waits that lie ahead."""
    return min((wait for wait in waits if wait and wait > 0), default=None)
