"""The decision about one ModelDeployment, as a list of steps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from keelway.api.base import Manifest
from keelway.api.durations import to_timestamp
from keelway.api.model_deployment import CandidateVersion, ModelDeployment
from keelway.api.model_version import ModelVersion
from keelway.api.reasons import Reason
from keelway.lifecycle.conditions import Standing, stalled, working
from keelway.lifecycle.model_deployment import outcome
from keelway.lifecycle.model_deployment.approval import awaiting_approval
from keelway.lifecycle.model_deployment.canary import canary, candidate_lost
from keelway.lifecycle.model_deployment.gates import evaluating
from keelway.lifecycle.model_deployment.refusal import held_down, refused
from keelway.lifecycle.model_deployment.serving import promoted, serving, warm, watched
from keelway.lifecycle.model_deployment.smoke import smoke_testing
from keelway.lifecycle.model_deployment.starting import starting
from keelway.lifecycle.model_deployment.traffic import kept
from keelway.lifecycle.model_deployment.verification import verifying
from keelway.lifecycle.model_deployment.world import World
from keelway.lifecycle.plan import Observed, Plan
from keelway.lifecycle.settings import JobSettings


def reconcile(manifest: Manifest, seen: Observed, now: datetime, settings: JobSettings) -> Plan:
    """What to do next for one ModelDeployment. Each step settles one question and passes on with None."""
    world = World(ModelDeployment.model_validate(manifest), seen, now, settings)
    return next(plan for step in STEPS if (plan := step(world)))


def leaving(world: World) -> Plan | None:
    """It is being deleted: Kubernetes collects what it owns."""
    return Plan("leaving") if world.deployment.metadata.deletion_timestamp else None


def suspended(world: World) -> Plan | None:
    """What serves keeps serving; no new version comes."""
    if not world.deployment.spec.suspend:
        return None
    live = world.deployment.status.live
    message = "spec.suspend is true: " + (f"version {live.version} keeps serving" if live else "nothing serves yet")
    standing = Standing(live is not None, Reason.SUSPENDED, message)
    return Plan(
        "suspended",
        applies=kept(world),
        status=outcome.status(world, standing, candidate=_put_back(world)),
        deletes=world.superseded(),
    )


def _put_back(world: World) -> CandidateVersion | None:
    """A candidate that had a share of the traffic has it no more; it begins again with its start."""
    candidate = world.deployment.status.candidate
    if candidate is None or candidate.phase not in ("Smoke", "Canary"):
        return candidate
    since = to_timestamp(world.now)
    return candidate.model_copy(update={"phase": "Starting", "step": 0, "weight": 0, "analysis": None, "since": since})


def kserve_absent(world: World) -> Plan | None:
    """Nobody can serve."""
    if world.seen.served("InferenceService"):
        return None
    message = "the API server does not know InferenceService: install KServe; this goes on by itself then"
    return Plan("KServe absent", status=_as_it_was(world, working(Reason.KSERVE_ABSENT, message)))


def gateway_api_absent(world: World) -> Plan | None:
    """A route was asked for and nobody can make one."""
    if world.deployment.spec.route is None or world.seen.served("HTTPRoute"):
        return None
    message = "spec.route needs the Gateway API: install its CRDs and a gateway; this goes on by itself then"
    return Plan("Gateway API absent", status=_as_it_was(world, working(Reason.GATEWAY_API_ABSENT, message)))


def _as_it_was(world: World, standing: Standing) -> dict[str, Any]:
    """No traffic is moved: who has how much of it stays as recorded."""
    return outcome.status(world, standing, live=world.deployment.status.live)


def no_version(world: World) -> Plan | None:
    """There is nothing to serve."""
    if world.target is not None:
        return None
    return Plan(
        "no version",
        applies=kept(world),
        status=outcome.status(world, _no_version_standing(world), candidate=None, **outcome.soak_over(world)),
        deletes=(*world.unwanted(), *world.superseded()),
        events=outcome.retirements(world),
        look_again_after=outcome.soonest(world.soaking_for),
    )


def _no_version_standing(world: World) -> Standing:
    model, live = world.deployment.spec.model, world.deployment.status.live
    still = f"; version {live.version} keeps serving" if live else ""
    if expired := world.asked_for:
        message = f"{expired.name} has expired: {_what_comes_of(expired)}{still}"
        return stalled(Reason.MODEL_VERSION_MISSING, message)
    if model.version:
        message = f"model {model.name} has no version {model.version}: see kubectl get modelversions{still}"
        return stalled(Reason.MODEL_VERSION_MISSING, message)
    message = f"model {model.name} has no version yet: an Experiment with output.model {model.name} makes one{still}"
    return working(Reason.NO_MODEL_VERSION, message)


def _what_comes_of(expired: ModelVersion) -> str:
    if expired.status.swept:
        return "spec.retention.models of its Experiment does not keep it and its files are being deleted; name another"
    return "it comes back now that it is named, unless its files are gone by then"


STEPS: tuple[Callable[[World], Plan | None], ...] = (
    leaving,
    suspended,
    kserve_absent,
    gateway_api_absent,
    no_version,
    serving,
    watched,
    refused,
    held_down,
    warm,
    verifying,
    evaluating,
    awaiting_approval,
    starting,
    smoke_testing,
    candidate_lost,
    canary,
    promoted,
)
"""The last step always has an answer."""
