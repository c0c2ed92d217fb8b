"""The target has all the traffic: promotion, the soak, and what is wrong with what serves."""

from __future__ import annotations

from dataclasses import replace

from keelway.api.base import Manifest
from keelway.api.durations import to_timestamp
from keelway.api.kinds import Key
from keelway.api.model_deployment import Deployed, LiveVersion, SoakingVersion
from keelway.api.reasons import EventReason, Reason
from keelway.api.rollout import AnalysisStatus
from keelway.lifecycle.conditions import Fact, Standing, ready, stalled, working
from keelway.lifecycle.model_deployment import outcome
from keelway.lifecycle.model_deployment.analysis import Looked, looked
from keelway.lifecycle.model_deployment.outcome import OF_A_CANDIDATE, PROGRESSING, ROLLED_BACK
from keelway.lifecycle.model_deployment.refusal import soak_until, taken_back
from keelway.lifecycle.model_deployment.traffic import available, servers, traffic, url
from keelway.lifecycle.model_deployment.world import World
from keelway.lifecycle.plan import Event, Plan
from keelway.lifecycle.staged_jobs import Failure

ROUTE_CONDITIONS = ("Accepted", "ResolvedRefs")
"""Those of the Gateway API that should be True; others may be False and mean well, such as PartiallyInvalid."""


def promoted(world: World) -> Plan | None:
    """It has passed everything: all the traffic goes to it, and what was live stays warm for a while."""
    live, now, target = world.deployment.status.live, to_timestamp(world.now), world.wanted
    after = LiveVersion(
        version=target.spec.version, name=target.name, inference_service=world.target_service, since=now
    )
    replaced = f", replaces version {live.version}" if live else ""
    return Plan(
        "promoted",
        applies=(*traffic(world, world.target_service), *servers(world, target)),
        status=outcome.status(
            world,
            _standing(world).without(ROLLED_BACK),
            live=after,
            candidate=None,
            soaking=_soaking(world, live),
            history=_history(world, now),
            url=url(world),
        ),
        events=(Event("Normal", EventReason.PROMOTED, f"version {target.spec.version} takes the traffic{replaced}"),),
    )


def warm(world: World) -> Plan | None:
    """The target had the traffic a moment ago and is ready still: it takes it back at once."""
    soaking = world.deployment.status.soaking
    is_warm = soaking is not None and soaking.inference_service == world.target_service and world.readiness.ready
    return promoted(world) if is_warm else None


def _soaking(world: World, live: LiveVersion | None) -> SoakingVersion | None:
    """The version before; where another one still was warm, that one goes."""
    if live is None:
        return None
    watched = world.deployment.spec.rollout.analysis is not None
    return SoakingVersion(
        version=live.version,
        name=live.name,
        inference_service=live.inference_service,
        until=soak_until(world),
        analysis=AnalysisStatus(at=to_timestamp(world.now)) if watched else None,
    )


def _history(world: World, now: str) -> tuple[Deployed, ...]:
    before = world.deployment.status.history
    return outcome.told(outcome.line(world, "Promoted"), *(_closed(line, now) for line in before))


def _closed(line: Deployed, now: str) -> Deployed:
    return line if line.to else line.model_copy(update={"to": now, "outcome": "Replaced"})


def serving(world: World) -> Plan | None:
    """The target is live: keep everything as stated, watch it while there is a way back, then let that go."""
    if not world.target_is_live:
        return None
    # A candidate that is not wanted any more loses what share it has before anybody is asked.
    look = None if world.deployment.status.candidate else _look(world)
    return _back_to_the_version_before(world, look) or _as_stated(world, look)


def watched(world: World) -> Plan | None:
    """Another version is on its way: the soak of what is live goes on meanwhile."""
    status, live = world.deployment.status, world.live_version
    if status.soaking is None or live is None or _is_urgent(world):
        return None
    as_target = replace(world, about=live)
    if not as_target.target_is_live:
        return None
    look = _look(as_target)
    if plan := _back_to_the_version_before(as_target, look):
        return plan
    if look is None or look.after == status.soaking.analysis:
        return None
    soaking = status.soaking.model_copy(update={"analysis": look.after})
    return Plan("watched", status=status.model_copy(update={"soaking": soaking}).to_json(), look_again_after=0.0)


def _is_urgent(world: World) -> bool:
    """Traffic is to be moved now: to a version that is warm, or away from a candidate that nobody wants or is lost."""
    status, soaking = world.deployment.status, world.deployment.status.soaking
    if soaking and soaking.inference_service == world.target_service:
        return True
    candidate = status.candidate
    return candidate is not None and (world.candidate is None or (candidate.step > 0 and not world.readiness.ready))


def _back_to_the_version_before(world: World, look: Looked | None) -> Plan | None:
    soaking = world.deployment.status.soaking
    if look and look.ask:
        return Plan("asks Prometheus", fetches=look.ask)
    wrong = _wrong(world, soaking, look) if soaking else None
    return taken_back(world, soaking, *wrong) if soaking and wrong else None


def _as_stated(world: World, look: Looked | None) -> Plan:
    soaking, abandoned = world.deployment.status.soaking, world.deployment.status.candidate is not None
    standing = _standing(world).without(*OF_A_CANDIDATE) if abandoned else _standing(world)
    watched = {"soaking": soaking.model_copy(update={"analysis": look.after})} if soaking and look else {}
    after = {"candidate": None, "url": url(world), **watched, **outcome.soak_over(world)}
    return Plan(
        "serving",
        applies=(*traffic(world, world.target_service), *servers(world, world.wanted)),
        status=outcome.status(world, standing, **after),
        deletes=(*world.unwanted(), *world.superseded()),
        events=outcome.retirements(world),
        look_again_after=0.0 if abandoned else outcome.soonest(world.soaking_for, look.due_in if look else None),
    )


def _wrong(world: World, soaking: SoakingVersion, look: Looked | None) -> Failure | None:
    """Why the version before, which is warm still, should serve again."""
    analysis, found, live = world.deployment.spec.rollout.analysis, world.readiness, world.deployment.status.live
    if not available(world, soaking.inference_service):
        return None
    if look and analysis and look.failed(analysis):
        return Reason.ANALYSIS_FAILED, f"{look.problems} at {live.weight if live else 100} %"
    return None if found.available else found.failure


def _look(world: World) -> Looked | None:
    """The soak goes on with the analysis of the rollout; the candidate of then is the target of now."""
    analysis, soaking = world.deployment.spec.rollout.analysis, world.deployment.status.soaking
    if analysis is None or soaking is None or soaking.analysis is None or world.soaking_for <= 0:
        return None
    return looked(world, analysis, soaking.analysis, world.wanted.spec.version)


def _standing(world: World) -> Standing:
    target = world.wanted
    done = Fact(PROGRESSING, "False", Reason.SERVING, f"version {target.spec.version} is live")
    if refused := _route_refused(world):
        return stalled(Reason.ROUTE_NOT_ACCEPTED, refused).also(done)
    if not world.readiness.ready:
        return _degraded(world).also(done)
    return ready(Reason.SERVING, f"version {target.spec.version} serves at {url(world)}").also(done)


def _degraded(world: World) -> Standing:
    found, version = world.readiness, world.wanted.spec.version
    if found.trouble:
        return stalled(found.trouble.reason, f"live version {version}: {found.trouble.message}")
    return working(Reason.MODEL_STARTING, f"live version {version} waits for {found.waiting_for}")


def _route_refused(world: World) -> str:
    """What the Gateway's controller says against the route as it is; nothing while it is silent or content."""
    none: Manifest = {"metadata": {}}
    route = world.seen.get(Key("HTTPRoute", world.deployment.namespace, world.deployment.name)) or none
    generation = route["metadata"].get("generation")
    conditions = [c for parent in route.get("status", {}).get("parents", []) for c in parent.get("conditions", [])]
    current = [c for c in conditions if c.get("observedGeneration", generation) == generation]
    refusals = [c for c in current if c.get("type") in ROUTE_CONDITIONS and c.get("status") == "False"]
    return "; ".join(f"{c['type']}: {c.get('reason', '')}: {c.get('message', '')}" for c in refusals)
