"""Every version that objects of a namespace ever had, from the API server's watches: none is left out."""

import time
from dataclasses import dataclass, field
from threading import Lock
from types import TracebackType
from typing import Self

from keelway.api.base import Manifest
from tests.apiserver.api import Api, Follower
from tests.apiserver.waiting import eventually

KINDS = ("HTTPRoute", "Deployment", "InferenceService", "ModelDeployment", "Job")


@dataclass(frozen=True)
class Version:
    """One version of an object. Numbers are etcd's: they order the versions of all objects."""

    number: int
    event: str
    manifest: Manifest
    at: float
    """When it was seen, by the monotonic clock."""

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.manifest["metadata"]["name"])


@dataclass(frozen=True)
class Shares:
    """Where a route sent the traffic."""

    number: int
    at: float
    weights: dict[str, int]
    """By backend."""
    dark: str
    """Backend of those who ask for the candidate; empty without one."""


@dataclass
class History:
    """Follows a namespace within a `with`."""

    api: Api
    namespace: str
    _versions: list[tuple[str, Version]] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def __enter__(self) -> Self:
        self._followers = [Follower(self.api, kind, self._heard_of(kind)) for kind in KINDS]
        for follower in self._followers:
            follower.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for follower in self._followers:
            follower.stop()

    def _heard_of(self, kind: str) -> "_Handler":
        return _Handler(self, kind)

    def heard(self, kind: str, event: str, manifest: Manifest) -> None:
        """One line of a watch."""
        metadata = manifest["metadata"]
        if metadata["namespace"] == self.namespace:
            with self._lock:
                version = Version(int(metadata["resourceVersion"]), event, manifest, time.monotonic())
                self._versions.append((kind, version))

    def of(self, kind: str, name: str = "") -> list[Version]:
        """All versions of the objects of a kind, or of one of them, in order; those that are there now included."""
        present = [int(manifest["metadata"]["resourceVersion"]) for manifest in self.api.list(kind, self.namespace)]
        eventually(lambda: self._knows(kind, max(present, default=0)), what=f"{kind} is seen", every=0.02)
        with self._lock:
            found = [version for known, version in self._versions if known == kind and name in ("", version.name)]
        return sorted(found, key=lambda version: version.number)

    def _knows(self, kind: str, number: int) -> bool:
        with self._lock:
            numbers = [version.number for known, version in self._versions if known == kind]
        return max(numbers, default=0) >= number

    def shares(self, name: str) -> list[Shares]:
        """Where a route sent the traffic, at each change of its spec. Fails when one was missed."""
        found: list[Shares] = []
        generations: list[int] = []
        for version in self.of("HTTPRoute", name):
            generation = version.manifest["metadata"]["generation"]
            if generation not in generations:
                generations.append(generation)
                found.append(_shares(version))
        assert generations == list(range(1, len(generations) + 1)), "every change of the route was seen"
        return found

    def weights(self, name: str, mark: str) -> list[int]:
        """How much the backends with `mark` in their names had, one number for each time that it changed."""
        told: list[int] = []
        for shares in self.shares(name):
            weight = sum(weight for backend, weight in shares.weights.items() if mark in backend)
            told += [weight] if not told or told[-1] != weight else []
        return told

    def available(self, deployment: str, number: int) -> int:
        """How many replicas of a Deployment answered when the version with this number was written."""
        known = [version for version in self.of("Deployment", deployment) if version.number < number]
        return int(known[-1].manifest.get("status", {}).get("availableReplicas", 0)) if known else 0

    def assert_sound(self, name: str) -> None:
        """At every write of the route: all the traffic is shared out, and to servers that answer."""
        for shares in self.shares(name):
            assert sum(shares.weights.values()) == 100, shares
            for backend, weight in shares.weights.items():
                assert not weight or self.available(backend, shares.number), f"{backend} did not answer: {shares}"


@dataclass(frozen=True)
class _Handler:
    history: History
    kind: str

    def __call__(self, event: str, manifest: Manifest) -> None:
        self.history.heard(self.kind, event, manifest)


def _shares(version: Version) -> Shares:
    rules = version.manifest["spec"]["rules"]
    asked_for = [rule for rule in rules if rule["matches"][0].get("headers")]
    (shared,) = [rule for rule in rules if not rule["matches"][0].get("headers")]
    weights = {backend["name"]: int(backend["weight"]) for backend in shared["backendRefs"]}
    return Shares(version.number, version.at, weights, asked_for[0]["backendRefs"][0]["name"] if asked_for else "")
