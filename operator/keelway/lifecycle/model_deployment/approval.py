"""Whether somebody's word is needed for a candidate, and given."""

from __future__ import annotations

from keelway.api.durations import to_timestamp
from keelway.api.gates import Approved
from keelway.api.reasons import EventReason, Reason
from keelway.lifecycle.conditions import Fact, ready, working
from keelway.lifecycle.model_deployment import outcome
from keelway.lifecycle.model_deployment.outcome import APPROVED, PROGRESSING
from keelway.lifecycle.model_deployment.traffic import kept
from keelway.lifecycle.model_deployment.world import World
from keelway.lifecycle.plan import Plan


def awaiting_approval(world: World) -> Plan | None:
    """Manual: it waits until the spec names it; the word is recorded once, and not taken back."""
    approval, version = world.deployment.spec.approval, world.wanted
    given = world.has_passed("AwaitingApproval") or (world.candidate and world.candidate.approved)
    if approval.mode == "Automatic" or given:
        return None
    if approval.approved in (str(version.spec.version), version.name):
        return _approved(world)
    return _waiting(world)


def _waiting(world: World) -> Plan:
    number, live = world.wanted.spec.version, world.deployment.status.live
    message = f'version {number} waits for approval: set spec.approval.approved to "{number}"'
    if live:
        # What serves is as it should be; it is people who are waited for.
        standing = ready(Reason.AWAITING_APPROVAL, f"version {live.version} serves; {message}")
    else:
        standing = working(Reason.AWAITING_APPROVAL, message)
    facts = (
        Fact(APPROVED, "False", Reason.AWAITING_APPROVAL, message),
        Fact(PROGRESSING, "True", Reason.AWAITING_APPROVAL, message),
    )
    candidate = outcome.candidate(world, "AwaitingApproval")
    return Plan(
        "awaits approval",
        applies=kept(world),
        status=outcome.status(world, standing.also(*facts), candidate=candidate, **outcome.soak_over(world)),
        deletes=(*world.unwanted(keep_target=False), *world.superseded()),
        events=outcome.phase_event(world, candidate, EventReason.AWAITING_APPROVAL, message),
        look_again_after=outcome.soonest(world.soak_due_in),
    )


def _approved(world: World) -> Plan:
    by = world.seen.setter(world.deployment.key)
    word = Approved(value=world.deployment.spec.approval.approved, by=by[:256], at=to_timestamp(world.now))
    what = f"is approved by {by}" if by else "is approved"
    message = f"version {world.wanted.spec.version} {what}"
    standing = outcome.on_the_way(world, Reason.APPROVED, what)
    return Plan(
        "approved",
        applies=kept(world),
        status=outcome.status(
            world,
            standing.also(Fact(APPROVED, "True", Reason.APPROVED, message)),
            candidate=outcome.candidate(world, "AwaitingApproval", approved=word),
        ),
        look_again_after=0.0,
    )
