"""The objects that send requests to servers, and the servers: what is applied in which phase."""

from __future__ import annotations

from keelway.api.base import Manifest
from keelway.api.model_version import ModelVersion
from keelway.lifecycle.model_deployment.world import World
from keelway.manifests.serving import Backend, http_route, inference_service, service


def traffic(world: World, live: str, *, candidate: str = "", weight: int = 0) -> tuple[Manifest, ...]:
    """The route, then the Service: all to `live` but `weight` percent, which go to `candidate`.

    A candidate gets the requests that ask for it by header, whatever its weight. The Service is for `live` alone.
    """
    deployment, route = world.deployment, world.deployment.spec.route
    backends = [Backend(live, 100 - weight), *([Backend(candidate, weight)] if candidate else [])]
    routes = (http_route(deployment, route, backends, dark=candidate),) if route else ()
    return (*routes, service(deployment, live))


def servers(world: World, version: ModelVersion) -> tuple[Manifest, ...]:
    """The InferenceService of a version."""
    return (inference_service(world.deployment, version),)


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
