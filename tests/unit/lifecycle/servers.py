"""InferenceServices and what KServe, Kubernetes and a gateway make of them."""

from __future__ import annotations

from typing import Any

from keelway.api.base import Manifest
from keelway.api.jobs import StageVerdict
from keelway.api.kinds import Key
from keelway.engine.objects import key_of
from keelway.lifecycle.jobs import has_ended
from keelway.manifests.serving import ISVC_LABEL
from tests.unit.lifecycle.builders import DEPLOYMENT, NAMESPACE, a_model_deployment, a_model_version
from tests.unit.lifecycle.pods import Ended, an_ended_pod_of, ends
from tests.unit.lifecycle.scene import Scene


def starting(*versions: int, **spec: Any) -> Scene:
    """A ModelDeployment whose first InferenceService is there."""
    scene = Scene(a_model_deployment(**spec), *(a_model_version(number) for number in versions or (1,)))
    play(scene)
    return scene


def play(scene: Scene, *keys: Key) -> list[str]:
    """Settle the ModelDeployment, or these; what is verified is as it was recorded. The reasons of plans that wrote."""
    keys = keys or (DEPLOYMENT,)
    reasons = scene.settle(*keys)
    while jobs := [job for job in scene.all("Job") if is_verification(job) and not has_ended(job)]:
        for job in jobs:
            verified(scene, job)
        reasons += scene.settle(*keys)
    return reasons


def is_verification(job: Manifest) -> bool:
    """Whether a Job compares a model's bytes with their record."""
    return "-verify-v" in job["metadata"]["name"]


def verified(scene: Scene, job: Manifest) -> None:
    """The bytes are those that were recorded."""
    verdict = StageVerdict(outcome="Staged", files=2, bytes=48)
    an_ended_pod_of(scene, job, {"stage": Ended(message=verdict.model_dump_json())})
    ends(scene, job)


def serving(*versions: int, **spec: Any) -> Scene:
    """A ModelDeployment whose newest version is live."""
    scene = starting(*versions, **spec)
    get_ready(scene, candidate(scene))
    play(scene)
    scene.writes.clear()
    scene.events.clear()
    return scene


def replacing(**spec: Any) -> Scene:
    """Version 1 is live and version 2 starts."""
    scene = serving(1, **spec)
    scene.put(a_model_version(2))
    play(scene)
    return scene


def candidate(scene: Scene) -> str:
    """InferenceService of what wants the traffic."""
    name: str = scene.status(DEPLOYMENT)["candidate"]["inferenceService"]
    return name


def live(scene: Scene) -> str:
    """InferenceService of what has the traffic."""
    name: str = scene.status(DEPLOYMENT)["live"]["inferenceService"]
    return name


def selected(scene: Scene) -> str:
    """InferenceService that the Service sends requests to."""
    service = scene.get(Key("Service", NAMESPACE, DEPLOYMENT.name))
    selector: str = service["spec"]["selector"][ISVC_LABEL]
    return selector


def routed(scene: Scene) -> dict[str, int]:
    """Weights of the route by InferenceService."""
    route = scene.get(Key("HTTPRoute", NAMESPACE, DEPLOYMENT.name))
    return {b["name"].removesuffix("-predictor"): b["weight"] for b in route["spec"]["rules"][0]["backendRefs"]}


def get_ready(scene: Scene, name: str, *, replicas: int = 1, revision: str = "", **status: Any) -> None:
    """All of it: Deployment rolled out, InferenceService Ready; `status` changes what the Deployment says."""
    deploy(scene, name, replicas=replicas, revision=revision)
    generation = scene.get(_deployment_key(name))["metadata"]["generation"]
    counts = {"replicas": replicas, "updatedReplicas": replicas, "availableReplicas": replicas}
    scene.say(_deployment_key(name), **{"observedGeneration": generation, **counts, **status})
    scene.say(_server_key(name), conditions=[{"type": "Ready", "status": "True"}])


def deploy(scene: Scene, name: str, *, replicas: int = 1, revision: str = "") -> None:
    """KServe makes the Deployment, with labels and annotations as it copies them."""
    server = scene.get(_server_key(name))
    copied = _copied(server)
    if revision:
        copied["annotations"]["keelway.dev/revision"] = revision
    metadata = {**copied, "name": f"{name}-predictor", "namespace": NAMESPACE}
    spec = {"replicas": replicas, "template": {"metadata": copied}}
    scene.put({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})


def a_server_pod(scene: Scene, name: str, *, pod: str = "a", containers: list[Manifest], **fields: Any) -> None:
    """A pod of an InferenceService with these container statuses."""
    metadata = {
        **_copied(scene.get(_server_key(name))),
        "name": f"{name}-predictor-{pod}",
        "namespace": NAMESPACE,
        **fields,
    }
    status = {"phase": "Running", "containerStatuses": containers}
    scene.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status})


def crashed(code: int = 1, message: str = "ValueError: cannot unpickle", **state: Any) -> Manifest:
    """Status of a container that has ended and is waiting to be started again."""
    ended = {"exitCode": code, "reason": "Error", "message": message}
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    return {
        "name": "kserve-container",
        "restartCount": 1,
        "state": state or waiting,
        "lastState": {"terminated": ended},
    }


def _copied(server: Manifest) -> dict[str, Any]:
    metadata, predictor = server["metadata"], server["spec"]["predictor"]
    labels = {**metadata["labels"], **predictor["labels"], ISVC_LABEL: metadata["name"]}
    return {"labels": labels, "annotations": {**metadata["annotations"], **predictor["annotations"]}}


def _server_key(name: str) -> Key:
    return Key("InferenceService", NAMESPACE, name)


def _deployment_key(name: str) -> Key:
    return Key("Deployment", NAMESPACE, f"{name}-predictor")


def break_down(scene: Scene, name: str) -> None:
    """The pods of an InferenceService are not available any more."""
    scene.say(_deployment_key(name), availableReplicas=0)


def remove_server(scene: Scene, name: str) -> None:
    """Somebody deletes an InferenceService."""
    scene.remove(_deployment_key(name))
    scene.remove(_server_key(name))


def refuse_route(scene: Scene, message: str) -> None:
    """The gateway does not take the route."""
    condition = {"type": "Accepted", "status": "False", "reason": "NoMatchingParent", "message": message}
    route = scene.get(Key("HTTPRoute", NAMESPACE, DEPLOYMENT.name))
    scene.say(key_of(route), parents=[{"conditions": [condition]}])
