"""How a ModelDeployment stands, and what its traffic objects look like."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from keelway.api.base import Manifest
from keelway.api.durations import seconds, to_timestamp
from keelway.api.kinds import Key
from keelway.api.model_deployment import CandidateVersion, Deployed, LiveVersion, SoakingVersion
from keelway.api.model_version import ModelVersion
from keelway.api.reasons import EventReason, Reason
from keelway.lifecycle.conditions import Fact, Standing, Truth, ready, stalled, status_after, working
from keelway.lifecycle.model_deployment.world import World
from keelway.lifecycle.plan import Event, Plan
from keelway.manifests.serving import http_route, inference_service, service

HISTORY = 20
PROGRESSING = "Progressing"
ROUTE_CONDITIONS = ("Accepted", "ResolvedRefs")
"""Those of the Gateway API that should be True; others may be False and mean well, such as PartiallyInvalid."""


def status(world: World, standing: Standing, **changes: object) -> dict[str, Any]:
    """The whole status with this standing and these fields changed."""
    deployment = world.deployment
    generation = deployment.metadata.generation
    return status_after(deployment.status, standing, generation=generation, now=world.now, **changes)


def traffic(world: World, inference_service_name: str) -> tuple[Manifest, ...]:
    """The objects that send all the traffic to one InferenceService."""
    deployment, route = world.deployment, world.deployment.spec.route
    routes = (http_route(deployment, route, inference_service_name),) if route else ()
    return (service(deployment, inference_service_name), *routes)


def servers(world: World, target: ModelVersion) -> tuple[Manifest, ...]:
    """The InferenceService of the target."""
    return (inference_service(world.deployment, target),)


def kept(world: World) -> tuple[Manifest, ...]:
    """What serves now, as stated: its traffic and, where the spec still makes the same servers, those too."""
    live, version = world.deployment.status.live, world.live_version
    same = version is not None and live is not None and world.service_of(version) == live.inference_service
    serving_now = servers(world, version) if version and same else ()
    return (*serving_now, *traffic(world, live.inference_service)) if live else ()


def url(world: World) -> str:
    """Where clients find the model."""
    route = world.deployment.spec.route
    if route and route.hostnames:
        return f"http://{route.hostnames[0]}{route.path}"
    return f"http://{world.deployment.name}.{world.deployment.namespace}.svc.cluster.local/"


def starting(world: World, target: ModelVersion) -> Plan:
    """The target's servers start; whatever is live stays so, and its traffic objects stay as stated."""
    standing = _starting_standing(world, target)
    before = world.deployment.status.candidate
    candidate = _candidate(world, target, "Failed" if standing.progress == "Stalled" else "Starting")
    return Plan(
        f"candidate {candidate.phase.lower()}",
        applies=(*kept(world), *servers(world, target)),
        status=status(world, standing, candidate=candidate, **soak_over(world)),
        deletes=world.unwanted(),
        events=(*_candidate_events(before, candidate, standing), *retirements(world)),
        look_again_after=min((wait for wait in (world.soaking_for, world.deadline_in) if wait > 0), default=None),
    )


def _starting_standing(world: World, target: ModelVersion) -> Standing:
    live, found = world.deployment.status.live, world.readiness
    still = f"; version {live.version} keeps serving" if live else ""
    if found.trouble:
        message = f"version {target.spec.version}: {found.trouble.message}{still}"
        standing = stalled(found.trouble.reason, message)
    else:
        standing = _waiting_standing(world, target.spec.version, f"waits for {found.waiting_for}{still}")
    progressing: Truth = "False" if standing.progress == "Stalled" else "True"
    return standing.also(Fact(PROGRESSING, progressing, standing.reason, standing.message))


def _waiting_standing(world: World, version: int, what: str) -> Standing:
    """A matter of time, as long as the spec gives it."""
    if world.deadline_in > 0:
        return working(Reason.MODEL_STARTING, f"version {version} {what}")
    deadline = world.deployment.spec.rollout.progress_deadline
    return stalled(Reason.TIMED_OUT, f"version {version} is not ready after {deadline}: it {what}")


def _candidate(world: World, target: ModelVersion, phase: str) -> CandidateVersion:
    before = world.deployment.status.candidate
    same = before and before.inference_service == world.target_service
    return CandidateVersion.model_validate(
        {
            "version": target.spec.version,
            "name": target.name,
            "inference_service": world.target_service,
            "phase": phase,
            "since": before.since if before and same else to_timestamp(world.now),
        }
    )


def _candidate_events(before: CandidateVersion | None, now: CandidateVersion, standing: Standing) -> tuple[Event, ...]:
    if before and (before.inference_service, before.phase) == (now.inference_service, now.phase):
        return ()
    if now.phase == "Failed":
        return (Event("Warning", EventReason.CANDIDATE_FAILED, standing.message),)
    return (Event("Normal", EventReason.CANDIDATE_STARTING, standing.message),)


def promoted(world: World, target: ModelVersion) -> Plan:
    """The target is proved ready: all the traffic goes to it, and what was live stays warm for a while."""
    live, now = world.deployment.status.live, to_timestamp(world.now)
    after = LiveVersion(
        version=target.spec.version, name=target.name, inference_service=world.target_service, since=now
    )
    standing = _serving_standing(world, target)
    replaced = f", replaces version {live.version}" if live else ""
    return Plan(
        "promoted",
        applies=(*traffic(world, world.target_service), *servers(world, target)),
        status=status(
            world,
            standing,
            live=after,
            candidate=None,
            soaking=_soaking(world, live),
            history=_history(world, target, now),
            url=url(world),
        ),
        events=(Event("Normal", EventReason.PROMOTED, f"version {target.spec.version} takes the traffic{replaced}"),),
    )


def _soaking(world: World, live: LiveVersion | None) -> SoakingVersion | None:
    if live is None:
        return None
    until = to_timestamp(world.now + timedelta(seconds=seconds(world.deployment.spec.rollout.soak)))
    return SoakingVersion(version=live.version, name=live.name, inference_service=live.inference_service, until=until)


def retirements(world: World) -> tuple[Event, ...]:
    """Says whose servers go."""
    names = [order.key.name for order in world.unwanted() if order.key.kind == "InferenceService"]
    return tuple(Event("Normal", EventReason.RETIRED, f"the servers of {name} go") for name in names)


def soak_over(world: World) -> dict[str, object]:
    """Forget the version before once it was kept ready long enough; its servers go at the next look."""
    return {"soaking": None} if world.deployment.status.soaking and world.soaking_for <= 0 else {}


def _history(world: World, target: ModelVersion, now: str) -> tuple[Deployed, ...]:
    before = world.deployment.status.history
    closed = tuple(_closed(line, now) for line in before)
    line = Deployed(version=target.spec.version, name=target.name, from_=now, outcome="Promoted")
    return (line, *closed)[:HISTORY]


def _closed(line: Deployed, now: str) -> Deployed:
    return line if line.to else line.model_copy(update={"to": now, "outcome": "Replaced"})


def serving(world: World, target: ModelVersion) -> Plan:
    """The target is live: keep everything as stated, let go of what soaked long enough."""
    return Plan(
        "serving",
        applies=(*traffic(world, world.target_service), *servers(world, target)),
        status=status(world, _serving_standing(world, target), candidate=None, url=url(world), **soak_over(world)),
        deletes=world.unwanted(),
        events=retirements(world),
        look_again_after=world.soaking_for if world.soaking_for > 0 else None,
    )


def _serving_standing(world: World, target: ModelVersion) -> Standing:
    done = Fact(PROGRESSING, "False", Reason.SERVING, f"version {target.spec.version} is live")
    if refused := _route_refused(world):
        return stalled(Reason.ROUTE_NOT_ACCEPTED, refused).also(done)
    if not world.readiness.ready:
        return _degraded(world, target).also(done)
    return ready(Reason.SERVING, f"version {target.spec.version} serves at {url(world)}").also(done)


def _degraded(world: World, target: ModelVersion) -> Standing:
    found = world.readiness
    if found.trouble:
        return stalled(found.trouble.reason, f"live version {target.spec.version}: {found.trouble.message}")
    return working(Reason.MODEL_STARTING, f"live version {target.spec.version} waits for {found.waiting_for}")


def _route_refused(world: World) -> str:
    """What the Gateway's controller says against the route as it is; nothing while it is silent or content."""
    route = world.seen.get(Key("HTTPRoute", world.deployment.namespace, world.deployment.name)) or {"metadata": {}}
    generation = route["metadata"].get("generation")
    conditions = [c for parent in route.get("status", {}).get("parents", []) for c in parent.get("conditions", [])]
    current = [c for c in conditions if c.get("observedGeneration", generation) == generation]
    refusals = [c for c in current if c.get("type") in ROUTE_CONDITIONS and c.get("status") == "False"]
    return "; ".join(f"{c['type']}: {c.get('reason', '')}: {c.get('message', '')}" for c in refusals)
