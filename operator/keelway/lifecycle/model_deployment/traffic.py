"""The objects that send requests to servers, and the servers: what is applied in which phase."""

from __future__ import annotations

import math

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.api.model_version import ModelVersion
from keelway.lifecycle.model_deployment.world import World
from keelway.manifests.disruption_budget import disruption_budget, has_disruption_budget
from keelway.manifests.serving import Backend, components, http_route, inference_service, service


def traffic(world: World, live: str, *, candidate: str = "", weight: int = 0) -> tuple[Manifest, ...]:
    """The route, then the Service: all to `live` but `weight` percent, which go to `candidate`. Then who guards it.

    A candidate gets the requests that ask for it by header, whatever its weight. The Service is for `live` alone.
    """
    deployment, route = world.deployment, world.deployment.spec.route
    backends = [Backend(live, 100 - weight), *([Backend(candidate, weight)] if candidate else [])]
    routes = (http_route(deployment, route, backends, dark=candidate),) if route else ()
    budgets = (disruption_budget(deployment, live),) if has_disruption_budget(deployment) else ()
    return (*routes, service(deployment, live), *budgets)


def servers(world: World, version: ModelVersion, *, at_least: int = 0) -> tuple[Manifest, ...]:
    """The InferenceService of a version, with at least so many replicas."""
    return (inference_service(world.deployment, version, at_least=at_least),)


def scaled(world: World, weight: int) -> tuple[Manifest, ...]:
    """The candidate's InferenceService with the replicas that it takes for this share of the traffic."""
    return servers(world, world.wanted, at_least=replicas_for(world, weight))


def carries(world: World, weight: int) -> bool:
    """Whether enough of the candidate's replicas answer for this share of the traffic."""
    return world.readiness.available >= replicas_for(world, weight)


def available(world: World, inference_service: str) -> int:
    """How many replicas of an InferenceService answer."""
    made = [_deployment(world, name) for name in components(inference_service)]
    return min(int(deployment.get("status", {}).get("availableReplicas", 0)) for deployment in made)


def _deployment(world: World, name: str) -> Manifest:
    return world.seen.get(Key("Deployment", world.deployment.namespace, name)) or {}


def replicas_for(world: World, weight: int) -> int:
    """How many replicas carry a share of the traffic, by how many carry all of it now."""
    live = world.deployment.status.live
    if live is None:
        return 0
    made = [_deployment(world, name) for name in components(live.inference_service)]
    now = max(int(deployment.get("spec", {}).get("replicas", 0)) for deployment in made)
    return min(math.ceil(now * weight / 100), world.deployment.spec.serving.max_replicas)


def kept(world: World) -> tuple[Manifest, ...]:
    """What serves now, as stated, with all the traffic: first that, then, where the spec still makes the same servers,
    those too."""
    live = world.deployment.status.live
    return (*traffic(world, live.inference_service), *live_servers(world)) if live else ()


def live_servers(world: World) -> tuple[Manifest, ...]:
    """The live version's servers, where the spec still makes the same."""
    live, version = world.deployment.status.live, world.live_version
    same = version is not None and live is not None and world.service_of(version) == live.inference_service
    return servers(world, version) if version and same else ()


def url(world: World) -> str:
    """Where clients find the model."""
    route = world.deployment.spec.route
    if route and route.hostnames:
        return f"http://{route.hostnames[0]}{route.path}"
    return f"http://{world.deployment.name}.{world.deployment.namespace}.svc.cluster.local/"
