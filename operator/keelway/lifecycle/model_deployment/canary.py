"""A candidate with a share of the traffic: step by step more, as long as it does well."""

from __future__ import annotations

from keelway.api.durations import from_timestamp, seconds, to_timestamp
from keelway.api.model_deployment import CandidateVersion
from keelway.api.reasons import EventReason, Reason
from keelway.api.rollout import AnalysisStatus
from keelway.lifecycle.model_deployment import outcome
from keelway.lifecycle.model_deployment.analysis import Looked, looked
from keelway.lifecycle.model_deployment.refusal import rolled_back
from keelway.lifecycle.model_deployment.traffic import carries, kept, live_servers, scaled, traffic
from keelway.lifecycle.model_deployment.world import World
from keelway.lifecycle.plan import Plan

CRASHES = frozenset({Reason.MODEL_LOAD_FAILED, Reason.CONTAINER_CRASHING})
"""Trouble of one replica that is to be feared for the others; the rest, such as a node too few, leaves them alone."""


def candidate_lost(world: World) -> Plan | None:
    """It was ready, and is not any more. With a share of the traffic that ends its rollout; else it starts again."""
    found, candidate = world.readiness, world.candidate
    if candidate is None or candidate.phase != "Canary" or found.ready:
        return None
    if world.steps and found.available and not (found.trouble and found.trouble.reason in CRASHES):
        return None
    if found.there and candidate.step:
        return rolled_back(world, *found.failure)
    return Plan(
        "candidate lost",
        applies=(*kept(world), *scaled(world, world.first_weight)),
        status=outcome.status(
            world,
            outcome.on_the_way(world, Reason.MODEL_STARTING, f"starts again: it waits for {found.waiting_for}"),
            candidate=outcome.candidate(world, "Starting", step=0, weight=0, analysis=None),
        ),
        look_again_after=0.0,
    )


def canary(world: World) -> Plan | None:
    """It has its share, and more of it after a while; None once it has gone through all steps."""
    steps = world.steps
    if not steps:
        return None
    candidate = world.candidate
    if candidate is None or candidate.phase != "Canary" or candidate.step == 0:
        return _step(world, 1, None) if _can_take(world, 0) else _stuck(world, 0, None) or _hold(world, None)
    look = _look(world, candidate)
    if look and look.ask:
        # Nothing is applied before the answer: what was taken back a moment ago, unrecorded, is not given again.
        return Plan("asks Prometheus", fetches=look.ask)
    if look and (analysis := world.deployment.spec.rollout.analysis) and look.failed(analysis):
        said = f"{look.problems} at {candidate.weight} %"
        return rolled_back(world, Reason.ANALYSIS_FAILED, said, analysis=look.after)
    if not (_held(world, candidate, look) and _can_take(world, candidate.step)):
        return _stuck(world, candidate.step, look) or _hold(world, look)
    return _step(world, candidate.step + 1, look) if candidate.step < len(steps) else None


def _can_take(world: World, step: int) -> bool:
    """Whether the candidate is proved ready for the weight after a step."""
    return world.readiness.ready and carries(world, world.weight_after(step))


def _look(world: World, candidate: CandidateVersion) -> Looked | None:
    analysis = world.deployment.spec.rollout.analysis
    return looked(world, analysis, candidate.analysis, candidate.version) if analysis else None


def _held(world: World, candidate: CandidateVersion, look: Looked | None) -> bool:
    """Whether the step has lasted, and its last look, which it must have had, could tell."""
    if world.in_phase_for < _hold_of(world, candidate.step):
        return False
    if candidate.weight == 0:
        return True  # only who asks for it by header is answered by it: there may be nothing to measure
    return look is None or (not look.after.blind and from_timestamp(look.after.at) > from_timestamp(candidate.since))


def _stuck(world: World, step: int, look: Looked | None) -> Plan | None:
    """It has been at a step for longer than it may: its metrics tell nothing, or its replicas do not come."""
    rollout = world.deployment.spec.rollout
    if world.in_phase_for < _longest(world, step):
        return None
    if look is None or not look.after.blind:
        late = (
            f"for {rollout.progress_deadline} it had not the replicas for {world.weight_after(step)} % of the traffic"
        )
        return rolled_back(world, Reason.TIMED_OUT, late)
    unreachable = any(one.outcome == "Error" for one in look.after.last)
    reason = Reason.PROMETHEUS_UNREACHABLE if unreachable else Reason.NO_SAMPLES
    said = f"for {rollout.progress_deadline} its metrics could not be judged: {look.problems}"
    return rolled_back(world, reason, said, analysis=look.after)


def _longest(world: World, step: int) -> float:
    """Seconds that a step may last: its hold, a look, and the deadline for what should have come by then."""
    rollout = world.deployment.spec.rollout
    a_look = seconds(rollout.analysis.interval) if rollout.analysis else 0.0
    return _hold_of(world, step) + a_look + seconds(rollout.progress_deadline)


def _hold_of(world: World, step: int) -> float:
    """Seconds that a step lasts at least; before the first one there is nothing to wait for."""
    return seconds(world.steps[step - 1].hold) if step else 0.0


def _step(world: World, step: int, look: Looked | None) -> Plan:
    weight = world.steps[step - 1].weight
    analysis = None
    if world.deployment.spec.rollout.analysis:
        # Each step has a look of its own, a whole interval after its weight.
        before = look.after if look else AnalysisStatus(at=to_timestamp(world.now))
        analysis = before.model_copy(update={"at": to_timestamp(world.now)})
    candidate = outcome.candidate(world, "Canary", step=step, weight=weight, analysis=analysis)
    message = f"has {weight} % of the traffic, step {step} of {len(world.steps)}"
    return _shared(world, candidate, message, look=None, reason=f"canary step {step}")


def _hold(world: World, look: Looked | None) -> Plan:
    before = world.candidate
    step, weight = (before.step, before.weight) if before and before.phase == "Canary" else (0, 0)
    changes = {"analysis": look.after} if look else {}
    candidate = outcome.candidate(world, "Canary", step=step, weight=weight, **changes)
    message = f"has {weight} % of the traffic, step {step} of {len(world.steps)}"
    if look and look.after.blind:
        message += f"; its metrics cannot be judged: {look.problems}"
    return _shared(world, candidate, message, look=look, reason="canary")


def _shared(world: World, candidate: CandidateVersion, message: str, *, look: Looked | None, reason: str) -> Plan:
    live = world.deployment.status.live
    if live is None:
        raise ValueError("there are no steps without a live version")
    shares = traffic(world, live.inference_service, candidate=candidate.inference_service, weight=candidate.weight)
    lasted = 0.0 if outcome.has_moved(world, candidate) else world.in_phase_for
    waits = (bound - lasted for bound in (_hold_of(world, candidate.step), _longest(world, candidate.step)))
    analysis = world.deployment.spec.rollout.analysis
    until_look = look.due_in if look else seconds(analysis.interval) if analysis else None
    return Plan(
        reason,
        applies=(*shares, *live_servers(world), *scaled(world, world.weight_after(candidate.step))),
        status=outcome.status(
            world,
            outcome.on_the_way(world, Reason.CANARY, message),
            candidate=candidate,
            live=live.model_copy(update={"weight": 100 - candidate.weight}),
            **outcome.soak_over(world),
        ),
        deletes=(*world.unwanted(), *world.superseded()),
        events=outcome.phase_event(
            world, candidate, EventReason.STEP_REACHED, f"version {candidate.version} {message}"
        ),
        look_again_after=outcome.soonest(*waits, until_look, world.soak_due_in),
    )
