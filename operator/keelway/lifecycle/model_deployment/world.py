"""What a decision about one ModelDeployment looks at, gathered once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from keelway.api.base import Manifest
from keelway.api.digests import digest, short
from keelway.api.durations import from_timestamp, seconds
from keelway.api.kinds import Key
from keelway.api.model_deployment import CandidateVersion, Deployed, ModelDeployment, Phase
from keelway.api.model_version import ModelVersion
from keelway.api.reasons import Reason
from keelway.api.resource import RETRY_ANNOTATION
from keelway.api.rollout import Step
from keelway.lifecycle.jobs import has_ended, jobs_for, stop
from keelway.lifecycle.model_deployment.readiness import Readiness, readiness
from keelway.lifecycle.plan import Delete, Observed
from keelway.lifecycle.pods import controller_uid
from keelway.lifecycle.routing import MODEL
from keelway.lifecycle.settings import JobSettings
from keelway.manifests.disruption_budget import has_disruption_budget
from keelway.manifests.serving import inference_service_name, revision

ON_THE_WAY: tuple[Phase, ...] = ("Verifying", "Evaluating", "AwaitingApproval", "Starting", "Smoke", "Canary")
"""Phases of a candidate in their order."""
FINAL_REFUSALS = frozenset({Reason.ARTIFACT_DIGEST_MISMATCH, Reason.ARTIFACT_MISSING})
"""Reasons to reject that nothing changes but another attempt; the verdict of a gate follows from what is recorded."""


@dataclass(frozen=True)
class World:
    """One ModelDeployment and everything seen that bears on it."""

    deployment: ModelDeployment
    seen: Observed
    now: datetime
    settings: JobSettings
    about: ModelVersion | None = None
    """Another version to decide about than the one that should be live."""

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
        if self.about:
            return self.about
        wanted = [self.asked_for] if self.deployment.spec.model.version else self.versions
        return next((v for v in reversed(wanted) if v and not v.has_expired), None)

    @property
    def wanted(self) -> ModelVersion:
        """The target, where the step before has settled that there is one."""
        if self.target is None:
            raise ValueError(f"ModelDeployment {self.deployment.name} has nothing to serve")
        return self.target

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

    @cached_property
    def attempt(self) -> str:
        """Hash of what a rollout's outcome depends on: as long as it stays, a refusal stays.

        Without what is as it is by default: a field that a newer Keelway adds begins no rollout anew.
        """
        spec, version = self.deployment.spec, self.wanted
        times = {"progress_deadline", "soak", "hold_down"}
        how = spec.rollout.model_dump(mode="json", exclude=times, exclude_defaults=True)
        parts = [
            version.name,
            version.spec.artifact.to_json(),
            self.target_service,
            [gate.model_dump(mode="json", exclude_defaults=True) for gate in spec.gates],
            spec.model.access.model_dump(mode="json", exclude_defaults=True),
            how,
            self.deployment.metadata.annotations.get(RETRY_ANNOTATION, ""),
        ]
        return short(digest(parts))

    @cached_property
    def candidate(self) -> CandidateVersion | None:
        """What is known of this attempt to bring the target out; None when it is about to begin."""
        candidate = self.deployment.status.candidate
        return candidate if candidate and candidate.attempt == self.attempt else None

    def has_passed(self, phase: Phase) -> bool:
        """Whether the candidate is further than this phase."""
        now = self.candidate.phase if self.candidate else "Verifying"
        now = "Starting" if now == "Failed" else now
        return now in ON_THE_WAY and ON_THE_WAY.index(now) > ON_THE_WAY.index(phase)

    @cached_property
    def refusal(self) -> CandidateVersion | Deployed | None:
        """Why the target does not go out: this very attempt has failed before."""
        lines = (self.candidate, *self.deployment.status.history)
        return next((line for line in lines if line and line.attempt == self.attempt and is_refused(line)), None)

    @property
    def held_down_until(self) -> datetime | None:
        """Until when no other version is tried by itself, after a rollback; None when that is over or never was."""
        last = next((line for line in self.deployment.status.history if line.outcome == "RolledBack"), None)
        # Another attempt at the version that was rolled back is somebody's wish, and so is a pin.
        if last is None or last.to is None or last.name == self.wanted.name or self.deployment.spec.model.version:
            return None
        until = from_timestamp(last.to) + timedelta(seconds=seconds(self.deployment.spec.rollout.hold_down))
        return until if until > self.now else None

    @property
    def steps(self) -> tuple[Step, ...]:
        """The weights on the way to all of the traffic: none where there is nothing to share it with, or no way to."""
        spec = self.deployment.spec
        shared = self.deployment.status.live and spec.route and spec.rollout.strategy == "Canary"
        return spec.rollout.steps if shared else ()

    def weight_after(self, step: int) -> int:
        """Percent of the traffic that comes after a step, which counts from 1: that of the next, or all."""
        return self.steps[step].weight if step < len(self.steps) else 100

    @property
    def first_weight(self) -> int:
        """The first share of the traffic that a candidate gets."""
        return self.weight_after(0)

    @property
    def soaking_for(self) -> float:
        """Seconds that the version before must still be kept ready; zero or less when it may go."""
        soaking = self.deployment.status.soaking
        return (from_timestamp(soaking.until) - self.now).total_seconds() if soaking else 0.0

    @property
    def soak_due_in(self) -> float:
        """Seconds until something is to be done about the soak: a look, or its end."""
        soaking, analysis = self.deployment.status.soaking, self.deployment.spec.rollout.analysis
        if not (soaking and soaking.analysis and analysis):
            return self.soaking_for
        since_look = (self.now - from_timestamp(soaking.analysis.at)).total_seconds()
        return min(self.soaking_for, seconds(analysis.interval) - since_look)

    @property
    def in_phase_for(self) -> float:
        """Seconds since the candidate's phase, or its step, began."""
        return (self.now - from_timestamp(self.candidate.since)).total_seconds() if self.candidate else 0.0

    @property
    def deadline_in(self) -> float:
        """Seconds that the candidate still has to get on; zero or less when it is late."""
        return seconds(self.deployment.spec.rollout.progress_deadline) - self.in_phase_for

    def unwanted(self, *, keep_target: bool = True) -> tuple[Delete, ...]:
        """What is not asked for in front of the servers, then InferenceServices that neither serve, nor start, nor
        soak."""
        status = self.deployment.status
        kept = {part.inference_service for part in (status.live, status.soaking) if part}
        kept |= {self.target_service} if keep_target else set()
        servers = [server for server in self._mine("InferenceService") if server["metadata"]["name"] not in kept]
        routes = [] if self.deployment.spec.route else self._mine("HTTPRoute")
        budgets = [] if has_disruption_budget(self.deployment) else self._mine("PodDisruptionBudget")
        return tuple(Delete.of(manifest) for manifest in (*routes, *budgets, *servers))

    def superseded(self, *wanted: str) -> tuple[Delete, ...]:
        """Jobs that still run though nobody waits for them; `wanted` are the names of those that somebody does."""
        jobs = jobs_for(self.seen, self.deployment.key, self.deployment.metadata.uid)
        return tuple(
            order
            for job in jobs
            if job["metadata"]["name"] not in wanted and not has_ended(job)
            for order in stop(job, self.seen)
        )

    def job(self, name: str) -> Manifest | None:
        """A Job of this ModelDeployment that is not on its way out."""
        jobs = jobs_for(self.seen, self.deployment.key, self.deployment.metadata.uid)
        return next((job for job in jobs if job["metadata"]["name"] == name), None)

    def _mine(self, kind: str) -> list[Manifest]:
        """Objects of this ModelDeployment that are not on their way out."""
        found = self.seen.about(self.deployment.key, kind)
        mine = [manifest for manifest in found if controller_uid(manifest) == self.deployment.metadata.uid]
        return [manifest for manifest in mine if not manifest["metadata"].get("deletionTimestamp")]


def is_refused(line: CandidateVersion | Deployed) -> bool:
    """Whether a candidate, or a line of the history, is of an attempt that is over and stays so."""
    ended = line.phase if isinstance(line, CandidateVersion) else line.outcome
    return ended == "RolledBack" or (ended == "Rejected" and line.reason in FINAL_REFUSALS)
