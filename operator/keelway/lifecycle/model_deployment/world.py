"""What a decision about one ModelDeployment looks at, gathered once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from keelway.api.base import Manifest
from keelway.api.durations import from_timestamp, seconds
from keelway.api.kinds import Key
from keelway.api.model_deployment import ModelDeployment
from keelway.api.model_version import ModelVersion
from keelway.lifecycle.model_deployment.readiness import Readiness, readiness
from keelway.lifecycle.plan import Delete, Observed
from keelway.lifecycle.pods import controller_uid
from keelway.lifecycle.routing import MODEL
from keelway.manifests.serving import inference_service_name, revision


@dataclass(frozen=True)
class World:
    """One ModelDeployment and everything seen that bears on it."""

    deployment: ModelDeployment
    seen: Observed
    now: datetime

    @cached_property
    def versions(self) -> list[ModelVersion]:
        """Versions of the model in the catalogue, oldest first."""
        key = Key(MODEL, self.deployment.namespace, self.deployment.spec.model.name)
        found = [ModelVersion.model_validate(m) for m in self.seen.about(key, "ModelVersion")]
        alive = [version for version in found if not version.metadata.deletion_timestamp]
        return sorted(alive, key=lambda version: version.spec.version)

    @cached_property
    def asked_for(self) -> ModelVersion | None:
        """The version that the spec pins, whether it can be served or not."""
        pin = self.deployment.spec.model.version
        return next((version for version in self.versions if str(version.spec.version) == pin), None)

    @cached_property
    def target(self) -> ModelVersion | None:
        """The version that should be live: the pinned one, or the newest. One that has expired is about to go."""
        wanted = [self.asked_for] if self.deployment.spec.model.version else self.versions
        return next((v for v in reversed(wanted) if v and not v.has_expired), None)

    @cached_property
    def live_version(self) -> ModelVersion | None:
        """The record of what takes the traffic, if it is there."""
        live = self.deployment.status.live
        return next((version for version in self.versions if live and version.name == live.name), None)

    def service_of(self, version: ModelVersion) -> str:
        """Name of the InferenceService that serves a version as the spec says now."""
        return inference_service_name(self.deployment, version)

    @cached_property
    def target_service(self) -> str:
        """Name of the target's InferenceService."""
        return self.service_of(self.target) if self.target else ""

    @cached_property
    def readiness(self) -> Readiness:
        """Whether the target's servers are proved ready."""
        if self.target is None:
            return Readiness(False)
        wanted = revision(self.deployment, self.target)[:12]
        return readiness(self.seen, self.deployment.namespace, self.target_service, wanted)

    @property
    def target_is_live(self) -> bool:
        """Whether the target takes the traffic already."""
        live = self.deployment.status.live
        return live is not None and live.inference_service == self.target_service

    @property
    def soaking_for(self) -> float:
        """Seconds that the version before must still be kept ready; zero or less when it may go."""
        soaking = self.deployment.status.soaking
        return (from_timestamp(soaking.until) - self.now).total_seconds() if soaking else 0.0

    @property
    def deadline_in(self) -> float:
        """Seconds that the target still has to become ready; zero or less when it is late."""
        candidate, limit = self.deployment.status.candidate, seconds(self.deployment.spec.rollout.progress_deadline)
        if candidate is None or candidate.inference_service != self.target_service:
            return limit
        return limit - (self.now - from_timestamp(candidate.since)).total_seconds()

    def unwanted(self) -> tuple[Delete, ...]:
        """InferenceServices that neither serve, nor start, nor soak, and a route that is not asked for."""
        status = self.deployment.status
        kept = {self.target_service, *(part.inference_service for part in (status.live, status.soaking) if part)}
        servers = [server for server in self._mine("InferenceService") if server["metadata"]["name"] not in kept]
        routes = [] if self.deployment.spec.route else self._mine("HTTPRoute")
        return tuple(Delete.of(manifest) for manifest in (*servers, *routes))

    def _mine(self, kind: str) -> list[Manifest]:
        """Objects of this ModelDeployment that are not on their way out."""
        found = self.seen.about(self.deployment.key, kind)
        mine = [manifest for manifest in found if controller_uid(manifest) == self.deployment.metadata.uid]
        return [manifest for manifest in mine if not manifest["metadata"].get("deletionTimestamp")]
