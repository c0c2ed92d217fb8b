"""A candidate that is not let through: traffic first, then the record, then its servers."""

from __future__ import annotations

from datetime import timedelta

from keelway.api.base import Manifest
from keelway.api.durations import seconds, to_timestamp
from keelway.api.gates import GateResult
from keelway.api.model_deployment import CandidateVersion, Deployed, LiveVersion, Phase, SoakingVersion
from keelway.api.reasons import EventReason, Reason
from keelway.lifecycle.conditions import Fact, Standing, working
from keelway.lifecycle.model_deployment import outcome
from keelway.lifecycle.model_deployment.outcome import GATE_PASSED, ROLLED_BACK
from keelway.lifecycle.model_deployment.traffic import kept, traffic, url
from keelway.lifecycle.model_deployment.world import World
from keelway.lifecycle.plan import Event, Plan

WHAT_TO_DO = "a newer version, a changed spec or another value of the annotation keelway.dev/retry is tried"


def refused(world: World) -> Plan | None:
    """This very attempt was rolled back, or its bytes are not what is recorded: it is not tried again."""
    found = world.refusal
    if found is None:
        return None
    ended = found.phase if isinstance(found, CandidateVersion) else found.outcome
    phase: Phase = "RolledBack" if ended == "RolledBack" else "Rejected"
    candidate = outcome.candidate(world, phase, reason=found.reason, message=found.message, weight=0)
    return _stand_by(world, candidate, Reason.of(found.reason), found.message)


def held_down(world: World) -> Plan | None:
    """Shortly after a rollback nothing new is tried by itself."""
    until = world.held_down_until
    if until is None:
        return None
    message = (
        f"version {world.wanted.spec.version} waits until {to_timestamp(until)}: rollout.holdDown after a rollback"
    )
    standing = outcome.standing_by(world, Reason.HELD_DOWN, f"{message}{outcome.still(world)}")
    if world.deployment.status.live is None:
        standing = working(Reason.HELD_DOWN, message)
    return Plan(
        "held down",
        applies=kept(world),
        status=outcome.status(world, standing, candidate=None, **outcome.soak_over(world)),
        deletes=(*world.unwanted(keep_target=False), *world.superseded()),
        events=outcome.retirements(world, keep_target=False),
        look_again_after=outcome.soonest((until - world.now).total_seconds(), world.soak_due_in),
    )


def rejected(world: World, reason: Reason, message: str, gates: tuple[GateResult, ...] = ()) -> Plan:
    """It never had traffic and does not get any."""
    candidate = outcome.candidate(world, "Rejected", reason=reason, message=message[:1024], gates=gates)
    return _stand_by(world, candidate, reason, message)


def _stand_by(world: World, candidate: CandidateVersion, reason: Reason, message: str) -> Plan:
    """Keep what is live, let the candidate's servers go, and say why, once."""
    said = f"version {candidate.version} is not served: {message}{outcome.still(world)}; {WHAT_TO_DO}"
    standing = outcome.standing_by(world, reason, said)
    news = outcome.phase_event(world, candidate, EventReason.CANDIDATE_REJECTED, said)
    history = world.deployment.status.history
    if news and candidate.phase == "Rejected" and world.refusal is None:
        history = outcome.told(outcome.line(world, "Rejected", reason=reason, message=message), *history)
    return Plan(
        f"candidate {candidate.phase.lower()}",
        applies=kept(world),
        status=outcome.status(
            world,
            standing.also(*_facts(candidate, reason, message)),
            candidate=candidate,
            history=history,
            **outcome.soak_over(world),
        ),
        deletes=(*world.unwanted(keep_target=False), *world.superseded()),
        events=(*news, *outcome.retirements(world, keep_target=False)),
        look_again_after=outcome.soonest(world.soak_due_in),
    )


def _facts(candidate: CandidateVersion, reason: Reason, message: str) -> tuple[Fact, ...]:
    if candidate.phase == "RolledBack":
        return (Fact(ROLLED_BACK, "True", reason, message),)
    return (Fact(GATE_PASSED, "False", reason, message),) if candidate.gates else ()


def rolled_back(world: World, reason: Reason, message: str, **changes: object) -> Plan:
    """The candidate loses what traffic it has, in the first write; its servers go at the next look."""
    candidate = outcome.candidate(
        world, "RolledBack", reason=reason, message=message[:1024], weight=0, step=0, **changes
    )
    said = f"version {candidate.version} was rolled back: {message}{outcome.still(world)}; {WHAT_TO_DO}"
    return _back(world, candidate, reason, said, applies=kept(world))


def _back(
    world: World,
    candidate: CandidateVersion,
    reason: Reason,
    said: str,
    *,
    applies: tuple[Manifest, ...],
    **changes: object,
) -> Plan:
    standing: Standing = outcome.standing_by(world, reason, said).also(
        Fact(ROLLED_BACK, "True", reason, candidate.message)
    )
    line = outcome.line(world, "RolledBack", reason=reason, message=candidate.message)
    history = outcome.told(line, *world.deployment.status.history)
    return Plan(
        "rolled back",
        applies=applies,
        status=outcome.status(world, standing, **{"candidate": candidate, "history": history, **changes}),
        events=(Event("Warning", EventReason.ROLLED_BACK, said),),
        look_again_after=0.0,
    )


def taken_back(world: World, soaking: SoakingVersion, reason: Reason, message: str) -> Plan:
    """The live version does badly while the one before is still warm: that one takes the traffic again."""
    now = to_timestamp(world.now)
    before = LiveVersion(
        version=soaking.version, name=soaking.name, inference_service=soaking.inference_service, since=now
    )
    candidate = outcome.candidate(world, "RolledBack", reason=reason, message=message[:1024])
    said = (
        f"version {candidate.version} was rolled back: {message}; version {before.version} serves again; {WHAT_TO_DO}"
    )
    return _back(
        world,
        candidate,
        reason,
        said,
        applies=traffic(world, before.inference_service),
        live=before,
        soaking=None,
        history=_history(world, before, reason, message),
        url=url(world),
    )


def _history(world: World, again: LiveVersion, reason: Reason, message: str) -> tuple[Deployed, ...]:
    """The line that was open ends, and the version before has another one."""
    history = world.deployment.status.history
    ended = outcome.line(world, "RolledBack", reason=reason, message=message)
    for was_open in history:
        if was_open.to is None:
            ended = ended.model_copy(update={"from_": was_open.from_, "approved": was_open.approved})
    reopened = Deployed(version=again.version, name=again.name, from_=again.since, outcome="Promoted")
    return outcome.told(reopened, ended, *(line for line in history if line.to))


def soak_until(world: World) -> str:
    """When the version before may go."""
    return to_timestamp(world.now + timedelta(seconds=seconds(world.deployment.spec.rollout.soak)))
