"""What people and the cluster do to a rollout: versions that are good or not, edits, hands that meddle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from keelway.api.base import Manifest
from keelway.api.digests import digest
from keelway.api.kinds import Key
from keelway.api.resource import RETRY_ANNOTATION
from tests.property.engine.memory_api import copied
from tests.property.lifecycle.fates import ModelFate, ServerFate
from tests.property.lifecycle.simulation import DATASET, DEPLOYMENT_KEY, NAMESPACE, Action, Simulation, changed

NAME = MODEL = DEPLOYMENT_KEY.name
GATE = {
    "name": "holdout",
    "dataset": {"dataset": DATASET["metadata"]["name"], "split": "holdout"},
    "template": {"spec": {"containers": [{"name": "judge", "image": "registry.example.com/judge:1"}]}},
    "checks": [{"metric": "auc", "min": 0.8, "maxRegression": 0.05}],
}
ERRORS = {"name": "errors", "query": 'errors{service="{{service}}"}', "max": 0.01}
ANALYSIS = {"interval": "10s", "prometheus": {"url": "http://prometheus:9090", "checks": [ERRORS]}}
STEPS = [{"weight": 10, "hold": "20s"}, {"weight": 50, "hold": "20s"}]
ROLLOUT = {
    "smoke": {"requests": [{"path": "/v2/models/m/infer", "body": "{}"}]},
    "steps": STEPS,
    "analysis": ANALYSIS,
    "progressDeadline": "60s",
    "soak": "40s",
    "holdDown": "60s",
}
ROUTE = {"gateway": {"name": "models", "namespace": "gateway"}, "hostnames": ["m.example.com"]}
DEPLOYED: Manifest = {
    "apiVersion": "keelway.dev/v1alpha1",
    "kind": "ModelDeployment",
    "metadata": {"name": NAME, "namespace": NAMESPACE},
    "spec": {"model": {"name": MODEL}, "serving": {}, "gates": [GATE], "rollout": ROLLOUT, "route": ROUTE},
}
DATA = changed(DATASET, refresh={"interval": "24h"})
Bytes: TypeAlias = Literal["right", "other", "gone"]


def model_version(number: int) -> Manifest:
    """The record of a model that was trained elsewhere."""
    artifact = {"uri": _uri(number), "digest": _digest(number), "format": {"name": "sklearn"}}
    return {
        "apiVersion": "keelway.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": f"{MODEL}-v{number}", "namespace": NAMESPACE},
        "spec": {"model": MODEL, "version": number, "artifact": artifact},
    }


def _uri(number: int) -> str:
    return f"s3://models/{MODEL}/{number}"


def _digest(number: int) -> str:
    return f"sha256:{digest([number])}"


def newest(simulation: Simulation) -> int:
    """Number of the newest version."""
    found = (stored.manifest for key, stored in simulation.api.objects.items() if key.kind == "ModelVersion")
    return max((int(manifest["spec"]["version"]) for manifest in found), default=0)


def arrives(model: ModelFate | None = None, servers: ServerFate | None = None, bytes_: Bytes = "right") -> Action:
    """The next version, as good as that."""

    def action(simulation: Simulation) -> None:
        number = newest(simulation) + 1
        simulation.fates.models[number] = model or ModelFate()
        simulation.fates.servers[number] = servers or ServerFate(seconds=4.0)
        _put_bytes(simulation, number, bytes_)
        simulation.api.put(model_version(number))

    return action


def becomes(bytes_: Bytes) -> Action:
    """Somebody touches the newest version's files, or puts them back."""
    return lambda simulation: _put_bytes(simulation, newest(simulation), bytes_)


def _put_bytes(simulation: Simulation, number: int, bytes_: Bytes) -> None:
    simulation.lake.models.pop(_uri(number), None)
    if bytes_ != "gone":
        simulation.lake.models[_uri(number)] = _digest(number) if bytes_ == "right" else _digest(-number)


def edits(part: str, **fields: Any) -> Action:
    """Somebody changes fields of one part of the spec, or of the spec itself; one that is None goes."""

    def change(manifest: Manifest) -> None:
        target = manifest["spec"].setdefault(part, {}) if part else manifest["spec"]
        target.update(fields)
        for name in [name for name, value in target.items() if value is None]:
            del target[name]

    return _edited(DEPLOYMENT_KEY, change)


def approves_newest(simulation: Simulation) -> None:
    """Somebody lets the newest version through."""
    edits("approval", approved=str(newest(simulation)))(simulation)


def retries(value: str) -> Action:
    """Somebody asks for another attempt."""

    def change(manifest: Manifest) -> None:
        manifest["metadata"].setdefault("annotations", {})[RETRY_ANNOTATION] = value

    return _edited(DEPLOYMENT_KEY, change)


def _edited(key: Key, change: Callable[[Manifest], Any]) -> Action:
    def action(simulation: Simulation) -> None:
        if key in simulation.api.objects:
            manifest = copied(simulation.api.read(key))
            change(manifest)
            simulation.api.put(manifest)

    return action


def meddles_with_route(weight: int) -> Action:
    """Somebody gives all servers of the route this weight."""

    def change(manifest: Manifest) -> None:
        for rule in manifest["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                backend["weight"] = weight

    return _edited(Key("HTTPRoute", NAMESPACE, NAME), change)


def meddles_with_servers(which: int, **predictor: Any) -> Action:
    """Somebody edits one of the InferenceServices."""

    def action(simulation: Simulation) -> None:
        if keys := _servers(simulation):
            _edited(keys[which % len(keys)], lambda manifest: manifest["spec"]["predictor"].update(predictor))(
                simulation
            )

    return action


def breaks(which: int) -> Action:
    """Servers lose their pods."""

    def action(simulation: Simulation) -> None:
        if keys := _servers(simulation):
            simulation.kserve.break_down(keys[which % len(keys)].name, NAMESPACE)

    return action


def repairs(simulation: Simulation) -> None:
    """All pods that were lost come back; what crashes by itself stays as it is."""
    for key in _servers(simulation):
        simulation.kserve.repair(key.name, NAMESPACE)


def _servers(simulation: Simulation) -> list[Key]:
    return sorted(key for key in simulation.api.objects if key.kind == "InferenceService")


def prometheus_says(sample: Literal["none", "nan", "down"] | None) -> Action:
    """Prometheus has this for everybody from now on; None: the truth."""

    def action(simulation: Simulation) -> None:
        simulation.prometheus.says = sample

    return action
