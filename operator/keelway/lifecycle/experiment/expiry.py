"""Models of an Experiment beyond the newest few: each expires, then its files go, then its record.

A model that something refers to stays. So that nobody begins to use a model whose files are going, it is first marked
as Expired, which nothing chooses any more, and looked at again after a while; until its files go it may come back.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from keelway.api.base import Manifest
from keelway.api.durations import from_timestamp
from keelway.api.model_version import ModelVersion
from keelway.lifecycle.experiment.directories import is_of_model
from keelway.lifecycle.experiment.world import World
from keelway.lifecycle.plan import RecordStatus
from keelway.lifecycle.records.holders import held_by
from keelway.lifecycle.records.model_version import EXPIRED, status

GRACE = timedelta(seconds=30)
"""Longer than it takes to record what was decided before the mark was seen."""
AT_ONCE = 20


@dataclass(frozen=True)
class Candidate:
    """A model that this Experiment made, and whether it is beyond the newest few."""

    manifest: Manifest
    beyond: bool

    @cached_property
    def version(self) -> ModelVersion:
        """The record."""
        return ModelVersion.model_validate(self.manifest)

    @property
    def expired(self) -> bool:
        """Whether it is marked."""
        return bool(self.manifest.get("status", {}).get("state") == EXPIRED)

    @property
    def swept(self) -> bool:
        """Whether its files are going."""
        return self.expired and bool(self.manifest["status"].get("swept"))


@dataclass(frozen=True)
class Expiry:
    """How far the models of one Experiment are on their way out."""

    world: World

    @cached_property
    def _made(self) -> list[Candidate]:
        """Oldest first. One that was written by hand is none of ours, whatever it says of its Experiment."""
        experiment, by_model = self.world.experiment, defaultdict[str, list[Manifest]](list)
        for manifest in self.world.seen.about(experiment.key, "ModelVersion"):
            origin = manifest["spec"].get("producedBy", {})
            leaves = manifest["metadata"].get("deletionTimestamp")
            if origin.get("uid") == experiment.metadata.uid and not origin.get("external") and not leaves:
                by_model[manifest["spec"]["model"]].append(manifest)
        return [candidate for versions in by_model.values() for candidate in self._judged(versions)]

    def _judged(self, versions: list[Manifest]) -> list[Candidate]:
        versions = sorted(versions, key=lambda manifest: int(manifest["spec"]["version"]))
        beyond = len(versions) - self.world.experiment.spec.retention.models
        return [Candidate(manifest, number < beyond) for number, manifest in enumerate(versions)]

    def _is_wanted(self, candidate: Candidate) -> bool:
        return not candidate.beyond or bool(held_by(candidate.version, self.world.seen))

    @cached_property
    def fresh(self) -> list[Candidate]:
        """Those to mark now."""
        beyond = [candidate for candidate in self._made if candidate.beyond and not candidate.expired]
        free = (c for c in beyond if not self._is_wanted(c) and is_of_model(self.world, c.version))
        return [candidate for candidate, _ in zip(free, range(AT_ONCE), strict=False)]

    @cached_property
    def _marked(self) -> list[Candidate]:
        return [candidate for candidate in self._made if candidate.expired and not candidate.swept]

    @cached_property
    def back(self) -> list[Candidate]:
        """Those that are wanted again."""
        return [candidate for candidate in self._marked if self._is_wanted(candidate)]

    @property
    def due(self) -> Candidate | None:
        """The next one that was marked long enough ago, and that nobody wants back."""
        return next((c for c in self._marked if c not in self.back and self._grace(c) <= 0), None)

    @property
    def due_in(self) -> float | None:
        """Seconds until there is one."""
        return min((self._grace(candidate) for candidate in self._marked), default=None)

    def _grace(self, candidate: Candidate) -> float:
        ready = candidate.version.status.condition("Ready")
        since = from_timestamp(ready.last_transition_time) if ready else self.world.now
        return (since + GRACE - self.world.now).total_seconds()

    @property
    def going(self) -> list[Candidate]:
        """Those whose files go or are gone."""
        return [candidate for candidate in self._made if candidate.swept]

    def marked(self, candidate: Candidate, *, expired: bool, swept: bool = False) -> RecordStatus:
        """The record with this mark, or without one."""
        after = status(candidate.version, self.world.seen, self.world.now, expired=expired, swept=swept)
        return RecordStatus(candidate.manifest, after)
