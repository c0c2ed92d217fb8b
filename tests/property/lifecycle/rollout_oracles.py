"""What must hold of every ModelDeployment at every write: who has traffic, who may start, what the status says of it.

A watch is late by a moment, so that a decision cannot know of what has happened within `lag`; beyond that there is no
excuse.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from keelway.api.base import Manifest
from keelway.api.gates import Gate
from keelway.api.jobs import StageOrder
from keelway.api.kinds import Key
from keelway.engine.behaviour import Behaviour
from keelway.engine.objects import controller, key_of
from keelway.lifecycle.model_deployment.evaluation import evaluator
from keelway.lifecycle.plan import Observed, Plan
from tests.property.engine.memory_api import Happened
from tests.property.lifecycle.cluster_api import ClusterApi
from tests.property.lifecycle.job_controller import later
from tests.property.lifecycle.kserve import KServe, model_version
from tests.property.lifecycle.pod_ends import containers, order
from tests.property.lifecycle.traffic import asked_for, shares

LAG = 0.5
PATIENCE = 2.0
"""Seconds in which a candidate that does not answer loses its share."""


@dataclass
class RolloutOracles:
    """Watches every change; `broken` collects what should not have happened."""

    api: ClusterApi
    kserve: KServe
    verified: Mapping[str, bool]
    broken: list[str]
    lag: float = LAG
    shared: dict[Key, dict[str, int]] = field(default_factory=dict)
    """Weights in each Service and route as we wrote it last."""
    dark: dict[Key, frozenset[str]] = field(default_factory=dict)
    """Who was reached by header, as we wrote it last."""
    touched: dict[Key, float] = field(default_factory=dict)
    """When somebody else changed an object last."""
    rolled_back: dict[Key, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Attempts."""
    begun: set[str] = field(default_factory=set)
    """InferenceServices that were ever made."""
    specs: dict[Key, list[tuple[float, Manifest]]] = field(default_factory=lambda: defaultdict(list))
    """Of each ModelDeployment, every one with the moment when it came."""

    def heard(self, happened: Happened) -> None:
        """Judge one change."""
        manifest, kind, key = happened.manifest, happened.manifest["kind"], key_of(happened.manifest)
        if not self.api.ours:
            self.touched[key] = _now()
        match kind, happened.type:
            case "ModelDeployment", "DELETED":
                self._forget(key)
            case "ModelDeployment", _:
                self._told(key, manifest)
            case "HTTPRoute" | "Service", "ADDED" | "MODIFIED" if self.api.ours:
                self._traffic(key, manifest)
            case "InferenceService", "ADDED" if self.api.ours:
                self._servers_begin(manifest)
            case "InferenceService", "DELETED" if self.api.ours:
                self._servers_end(manifest)
            case "Job", "ADDED":
                self._evaluation_begins(manifest)
            case "Deployment", _:
                self._servers_change(key.namespace, key.name.removesuffix("-predictor"))

    def _forget(self, deployment: Key) -> None:
        for known in (self.shared, self.dark):
            for kind in ("HTTPRoute", "Service"):
                known.pop(replace_kind(deployment, kind), None)
        self.specs.pop(deployment, None)
        self.rolled_back.pop(deployment, None)

    def _wrong(self, text: str) -> None:
        self.broken.append(f"{_now():.2f}: {text}")

    # traffic

    def _traffic(self, key: Key, manifest: Manifest) -> None:
        """Weights are whole, and nobody gets more than before who is not ready for it."""
        now, dark = shares(manifest), asked_for(manifest)
        before, dark_before = self.shared.get(key, {}), self.dark.get(key, frozenset())
        self.shared[key], self.dark[key] = now, dark
        if sum(now.values()) != 100:
            self._wrong(f"{key} has weights {now}")
        status = self._status(key)
        live = (status.get("live") or {}).get("inferenceService")
        for server, weight in now.items():
            if server != live and weight:
                self._judge(key, server, more=weight > before.get(server, 0), what=f"weight {weight}")
        for server in dark - {live}:
            self._judge(key, server, more=server not in dark_before, what="requests by header")
        self._tried_again(key, status, {s for s, weight in now.items() if weight > before.get(s, 0)} | dark)

    def _judge(self, key: Key, server: str, *, more: bool, what: str) -> None:
        """Who gets more is proved ready; who keeps what it has, or takes it back, still answers."""
        warm = (self._status(key).get("soaking") or {}).get("inferenceService")
        wanted = "proved" if more and server != warm else "answering"
        if not self.kserve.was(wanted, server, self.lag):
            self._wrong(f"{key} gives {server} {what}, which is not {wanted}")
        stored = self.api.objects.get(Key("InferenceService", key.namespace, server))
        if stored and not self._is_verified(stored.manifest):
            self._wrong(f"{key} gives {server} {what}, whose bytes are not verified")

    def _tried_again(self, key: Key, status: Manifest, servers: set[str]) -> None:
        candidate = status.get("candidate") or {}
        if candidate.get("phase") in ("RolledBack", "Rejected") and candidate["inferenceService"] in servers:
            self._wrong(f"{key} gives traffic to {candidate['inferenceService']}, {candidate['phase']}")

    def _servers_change(self, namespace: str, server: str) -> None:
        if server not in self.kserve.answering:
            later(self.lag + PATIENCE, self._still_silent, namespace, server)

    def _still_silent(self, namespace: str, server: str) -> None:
        """Who stopped to answer while it tried for the traffic has lost its share by now."""
        for key, stored in self.api.objects.items():
            if key.kind != "HTTPRoute" or key.namespace != namespace or self.kserve.was("answering", server, PATIENCE):
                continue
            is_live = (self._status(key).get("live") or {}).get("inferenceService") == server
            if not is_live and shares(stored.manifest).get(server) and not self._is_touched(key):
                self._wrong(f"{key} still sends requests to {server}, which does not answer")

    # servers

    def _is_verified(self, server: Manifest) -> bool:
        return self.verified.get(server["spec"]["predictor"]["model"]["storageUri"].rstrip("/"), False)

    def _servers_begin(self, server: Manifest) -> None:
        """Bytes first, then somebody's word where that is asked for."""
        name, deployment = server["metadata"]["name"], owner_of(server)
        if name in self.begun and name in {role["inferenceService"] for role in self._roles(deployment)}:
            return
        self.begun.add(name)
        if not self._is_verified(server):
            self._wrong(f"{name} begins though its bytes are not verified")
        if not self._may_start(deployment, server):
            self._wrong(f"{name} begins though nobody approved it")

    def _may_start(self, deployment: Key, server: Manifest) -> bool:
        version = model_version(server)
        candidate = self._status(deployment).get("candidate") or {}
        if candidate.get("approved") and candidate["version"] == version:
            return True
        return any(_lets(spec, version) for spec in self._recent_specs(deployment))

    def _recent_specs(self, deployment: Key) -> list[Manifest]:
        """What the operator may still believe in, newest first."""
        known = self.specs[deployment]
        old = [spec for at, spec in known if at < _now() - self.lag][-1:]
        return [*reversed([spec for at, spec in known if at >= _now() - self.lag]), *old]

    def _servers_end(self, server: Manifest) -> None:
        """Nobody who has traffic, or is to have it, loses its servers by our deed."""
        name, deployment = server["metadata"]["name"], owner_of(server)
        if (self._status(deployment).get("live") or {}).get("inferenceService") == name:
            self._wrong(f"{name} was deleted though it is live")
        for kind in ("HTTPRoute", "Service"):
            stored = self.api.objects.get(replace_kind(deployment, kind))
            key = replace_kind(deployment, kind)
            if stored and not self._is_touched(key) and shares(stored.manifest).get(name, 0):
                self._wrong(f"{name} was deleted though {kind} sends requests to it")

    # evaluations

    def _evaluation_begins(self, job: Manifest) -> None:
        """No second Job for an evaluation that the model's record keeps."""
        pod = job["spec"]["template"]
        if "measure" not in {container["name"] for container in containers(pod)}:
            return
        told, deployment = StageOrder.model_validate(order(pod, "stage")), owner_of(job)
        assert told.model
        data = told.inputs[0]
        for model in self._models(told.model.digest):
            for one in (model.get("status") or {}).get("evaluations", []):
                if (one["digest"], one.get("split", "")) == (data.digest, data.split) and one["evaluator"] in {
                    evaluator(gate) for gate in self._gates(deployment) if gate.name == data.name
                }:
                    self._wrong(f"{job['metadata']['name']} was made though {model['metadata']['name']} has its result")

    def _models(self, digest: str) -> Iterator[Manifest]:
        found = (stored.manifest for key, stored in self.api.objects.items() if key.kind == "ModelVersion")
        return (model for model in found if model["spec"]["artifact"]["digest"] == digest)

    def _gates(self, deployment: Key) -> Iterator[Gate]:
        spec = next(iter(self._recent_specs(deployment)), {})
        return (Gate.model_validate(gate) for gate in spec.get("gates", []))

    # what is told

    def _told(self, key: Key, manifest: Manifest) -> None:
        known, spec = self.specs[key], {"metadata": manifest["metadata"], **manifest["spec"]}
        if not known or known[-1][1] != spec:
            known.append((_now(), spec))
        status = manifest.get("status")
        if status and self.api.ours:
            self._history(key, status)
            self._weights_told(key, status)
            self._refused(key, status)

    def _history(self, key: Key, status: Manifest) -> None:
        """One line is open: that of the version that is live."""
        opened = [line["name"] for line in status.get("history", []) if not line.get("to")]
        live = (status.get("live") or {}).get("name")
        if opened != ([live] if live else []):
            self._wrong(f"{key}: {live} is live, and the history has {opened} without an end")

    def _weights_told(self, key: Key, status: Manifest) -> None:
        """A status speaks of what the route does already."""
        route = replace_kind(key, "HTTPRoute")
        live, candidate = status.get("live") or {}, status.get("candidate") or {}
        if not live or not self._is_asked_for(key) or route not in self.api.objects or self._is_touched(route):
            return
        now = shares(self.api.read(route))
        told = {live["inferenceService"]: live.get("weight", 0)}
        if weight := candidate.get("weight", 0):
            told[candidate["inferenceService"]] = weight
        if {server: weight for server, weight in now.items() if weight} != told:
            self._wrong(f"{key} tells of {told}, and the route has {now}")

    def _is_asked_for(self, key: Key) -> bool:
        """Whether the spec wants a route, and has for a while."""
        return all(spec.get("route") for spec in self._recent_specs(key))

    def _refused(self, key: Key, status: Manifest) -> None:
        """What was rolled back has no traffic when that is told, and never again."""
        candidate, known = status.get("candidate") or {}, self.rolled_back[key]
        attempt = candidate.get("attempt")
        if candidate.get("weight") and attempt in known:
            self._wrong(f"{key}: {attempt} has weight {candidate['weight']} after its rollback")
        newest: Manifest = next(iter(status.get("history", [])), {})
        if not newest.get("to") and newest.get("attempt") in known:
            self._wrong(f"{key}: {newest['attempt']} is live after its rollback")
        if candidate.get("phase") != "RolledBack":
            return
        known.add(candidate["attempt"])
        stored = self.api.objects.get(replace_kind(key, "HTTPRoute"))
        if stored and not self._is_touched(replace_kind(key, "HTTPRoute")):
            server = candidate["inferenceService"]
            if shares(stored.manifest).get(server) or server in asked_for(stored.manifest):
                self._wrong(f"{key}: {server} was rolled back and has traffic")

    def _is_touched(self, key: Key) -> bool:
        return key in self.touched and _now() - self.touched[key] <= self.lag

    def _status(self, key: Key) -> Manifest:
        """Of the ModelDeployment of this name."""
        stored = self.api.objects.get(replace_kind(key, "ModelDeployment"))
        status: Manifest = (stored.manifest.get("status") or {}) if stored else {}
        return status

    def _roles(self, deployment: Key) -> list[Manifest]:
        status = self._status(deployment)
        return [status[role] for role in ("live", "soaking", "candidate") if status.get(role)]

    # plans

    def judging(self, behaviour: Behaviour) -> Behaviour:
        """The same behaviour; every plan that rolls back is looked at, too."""
        decide = behaviour.reconcilers["ModelDeployment"]

        def watched(manifest: Manifest, seen: Observed, now: datetime) -> Plan:
            plan = decide(manifest, seen, now)
            if plan.reason == "rolled back":
                self._rolls_back(manifest, plan)
            return plan

        return replace(behaviour, reconcilers={**behaviour.reconcilers, "ModelDeployment": watched})

    def _rolls_back(self, manifest: Manifest, plan: Plan) -> None:
        """The first write takes the traffic away."""
        if not manifest["spec"].get("route") or not manifest["status"].get("live"):
            return
        first = next(iter((*plan.creates, *plan.applies)), {"kind": "nothing"})
        candidate: dict[str, Any] = (plan.status or {})["candidate"]
        server = candidate["inferenceService"]
        if first["kind"] != "HTTPRoute" or shares(first).get(server) or server in asked_for(first):
            self._wrong(f"{key_of(manifest)}: the rollback of {server} begins with {first['kind']}")


def _now() -> float:
    return asyncio.get_running_loop().time()


def _lets(spec: Manifest, version: int) -> bool:
    approval = spec.get("approval") or {}
    said, model = approval.get("approved", ""), spec["model"]["name"]
    return approval.get("mode", "Automatic") == "Automatic" or said in (str(version), f"{model}-v{version}")


def replace_kind(key: Key, kind: str) -> Key:
    """The object of another kind with the same name."""
    return Key(kind, key.namespace, key.name)


def owner_of(manifest: Manifest) -> Key:
    """The ModelDeployment that an object belongs to."""
    owner = controller(manifest)
    return Key(owner["kind"], manifest["metadata"]["namespace"], owner["name"])
