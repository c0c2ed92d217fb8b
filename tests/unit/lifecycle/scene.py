"""What is known of a cluster at one moment, with the engine's own store, and what the decisions make of it.

No API server and no clock: objects appear because a test puts them there or because a plan is carried out at once, and
time passes when a test says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.api.durations import to_timestamp
from keelway.api.kinds import Key
from keelway.engine.objects import key_of, uid_of
from keelway.engine.store import Store
from keelway.lifecycle import registry, routing
from keelway.lifecycle.plan import Event, LogRequest, MetricAnswer, MetricQuery, Plan
from keelway.lifecycle.settings import JobSettings
from tests.property.lifecycle.crds import refusals

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
RECONCILERS = registry.reconcilers(JobSettings(worker_image="keelway/worker:1"))
MOST_LOOKS = 20


def _unreachable(_: MetricQuery) -> MetricAnswer:
    return MetricAnswer(error="connection refused")


class Scene:
    """A small world that a table of cases can be told about."""

    def __init__(self, *objects: Manifest) -> None:
        self.now = NOON
        self.store = Store(
            subjects=routing.subjects,
            references=routing.references,
            attributed=routing.ATTRIBUTED,
            clock=self._seconds,
        )
        self.events: list[Event] = []
        self.writes: list[str] = []
        """`verb Kind` of everything that plans changed."""
        self.logs: dict[str, str] = {}
        """What the containers of a pod with this uid have printed."""
        self.prometheus: Callable[[MetricQuery], MetricAnswer] = _unreachable
        """What comes of a query."""
        self._versions = count(1)
        self._incarnations: Counter[Key] = Counter()
        for manifest in objects:
            self.put(manifest)

    def _seconds(self) -> float:
        return self.now.timestamp()

    # what people and controllers do

    def put(self, manifest: Manifest) -> Manifest:
        """Make or change an object; its status stays unless one is given."""
        key, before = key_of(manifest), self.store.get(key_of(manifest))
        metadata = {**manifest["metadata"], **(self._kept(before, manifest) if before else self._given(key))}
        status = manifest.get("status", (before or {}).get("status"))
        fresh = {**manifest, "metadata": {**metadata, "resourceVersion": str(next(self._versions))}}
        self.store.upsert({**fresh, "status": status} if status is not None else fresh)
        return self.get(key)

    def _given(self, key: Key) -> Manifest:
        self._incarnations[key] += 1
        uid = f"{key.kind}/{key.name}/{self._incarnations[key]}".lower()
        return {"uid": uid, "generation": 1, "creationTimestamp": to_timestamp(self.now)}

    def _kept(self, before: Manifest, manifest: Manifest) -> Manifest:
        known = before["metadata"]
        generation = known["generation"] + (before.get("spec") != manifest.get("spec"))
        return {"uid": known["uid"], "generation": generation, "creationTimestamp": known["creationTimestamp"]}

    def change(self, key: Key, **spec: Any) -> None:
        """Change fields of a resource's spec."""
        manifest = self.get(key)
        self.put({**manifest, "spec": {**manifest["spec"], **spec}})

    def annotate(self, key: Key, **annotations: str) -> None:
        """Set annotations of Keelway."""
        manifest = self.get(key)
        known = manifest["metadata"].get("annotations", {})
        named = {f"keelway.dev/{name}": value for name, value in annotations.items()}
        self.put({**manifest, "metadata": {**manifest["metadata"], "annotations": {**known, **named}}})

    def say(self, key: Key, **status: Any) -> None:
        """Change fields of an object's status, as its controller does."""
        manifest = self.get(key)
        self.put({**manifest, "status": {**manifest.get("status", {}), **status}})

    def remove(self, key: Key) -> None:
        """Delete an object and what it owns."""
        uid = uid_of(self.get(key))
        self.store.remove(key, uid=uid)
        everything = [other for kind in self.store.counts() for other in self.store.keys(kind)]
        for other in everything:
            owners = (self.store.get(other) or {"metadata": {}})["metadata"].get("ownerReferences", [])
            if any(owner.get("uid") == uid for owner in owners):
                self.remove(other)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    # what the operator does

    def decide(self, key: Key) -> Plan:
        """What the decision about a resource says now."""
        return RECONCILERS[key.kind](self.get(key), self.store, self.now)

    def look(self, key: Key) -> Plan:
        """Decide and carry out at once."""
        if self.store.get(key) is None:
            return Plan("gone")
        plan = self.decide(key)
        self._carry_out(key, plan)
        return plan

    def settle(self, *keys: Key) -> list[str]:
        """Look at these resources, or at all, in turn until no plan changes anything.

        Returns the reasons of the plans that did.
        """
        reasons: list[str] = []
        for _ in range(MOST_LOOKS):
            before = len(self.writes)
            for key in keys or self._resources():
                known = len(self.writes)
                plan = self.look(key)
                reasons += [plan.reason] if len(self.writes) > known else []
            if len(self.writes) == before:
                return reasons
        raise AssertionError(f"still not settled after {MOST_LOOKS} looks: {reasons}")

    def _resources(self) -> list[Key]:
        return [key for kind in RECONCILERS for key in self.store.keys(kind)]

    def _carry_out(self, key: Key, plan: Plan) -> None:
        for manifest in plan.creates:
            if self.store.get(key_of(manifest)) is None:
                self._wrote("create", manifest)
        for manifest in plan.applies:
            if not _contains(self.store.get(key_of(manifest)), manifest):
                self._wrote("apply", manifest)
        statuses = [(key_of(of.record), of.status) for of in plan.record_statuses]
        for whose, status in [*statuses, *([(key, plan.status)] if plan.status is not None else [])]:
            if status != self.get(whose).get("status"):
                self._wrote("status", {**self.get(whose), "status": dict(status)})
        for order in plan.deletes:
            if (found := self.store.get(order.key)) and uid_of(found) == order.uid:
                self.remove(order.key)
                self.writes.append(f"delete {order.key.kind}")
        for request in plan.fetches:
            self._fetch(request)
        self.events += plan.events

    def _fetch(self, request: LogRequest | MetricQuery) -> None:
        if isinstance(request, MetricQuery):
            if self.store.put_answer(request, self.prometheus(request)):
                self.writes.append("ask Prometheus")
        elif self.store.wants_log(request):
            self.store.put_log(request, self.logs.get(request.pod_uid, ""))
            self.writes.append("read log")

    def _wrote(self, verb: str, manifest: Manifest) -> None:
        stored = self.put(manifest)
        if manifest["kind"] in RECONCILERS:
            ours = ("",) if verb == "create" else ("$.status", "status")
            refused = [wrong for wrong in refusals(stored) if wrong.startswith(ours)]
            assert refused == [], "the API server takes and keeps what is written"
        self.writes.append(f"{verb} {manifest['kind']}")

    # what can be seen

    def get(self, key: Key) -> Manifest:
        """An object that must be there."""
        manifest = self.store.get(key)
        assert manifest is not None, f"there is no {key}"
        return manifest

    def all(self, kind: str) -> list[Manifest]:
        """Every object of a kind, by name."""
        return [self.get(key) for key in self.store.keys(kind)]

    def only(self, kind: str) -> Manifest:
        """The one object of a kind."""
        (found,) = self.all(kind)
        return found

    def status(self, key: Key) -> Manifest:
        """Status of a resource."""
        status: Manifest = self.get(key)["status"]
        return status

    def condition(self, key: Key, type_: str) -> Manifest:
        """One condition, empty when it is not there."""
        return next((c for c in self.status(key)["conditions"] if c["type"] == type_), {})

    def standing(self, key: Key) -> str:
        """How a resource stands, in a word and its reason: `Ready Serving`, `Stalled AccessDenied`, `- Suspended`."""
        true = {c["type"] for c in self.status(key)["conditions"] if c["status"] == "True"}
        word = next((type_ for type_ in ("Ready", "Reconciling", "Stalled") if type_ in true), "-")
        return f"{word} {self.condition(key, 'Ready')['reason']}"

    def message(self, key: Key) -> str:
        """What `kubectl get -o wide` shows."""
        return str(self.condition(key, "Ready")["message"])

    def told(self) -> list[str]:
        """Reasons of the events so far."""
        return [event.reason for event in self.events]


def _contains(live: Any, desired: Any) -> bool:
    if isinstance(desired, dict):
        return isinstance(live, dict) and all(_contains(live.get(k), v) for k, v in desired.items())
    return bool(live == desired)


def names(manifests: Iterable[Manifest]) -> list[str]:
    """Names of objects."""
    return [manifest["metadata"]["name"] for manifest in manifests]


def nothing(*_: Any) -> None:
    """Nothing happens."""


def named(cases: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Cases whose first part is their name."""
    return [pytest.param(*case[1:], id=case[0]) for case in cases]
