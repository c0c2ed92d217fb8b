"""What a decision about one Dataset looks at, gathered once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from keelway.api.base import Manifest
from keelway.api.dataset import CurrentVersion, Dataset, DatasetSource, GoodVersion, Observation
from keelway.api.dataset_version import DatasetVersion
from keelway.api.digests import digest, short
from keelway.api.durations import from_timestamp
from keelway.api.jobs import ObserveVerdict, SplitRule
from keelway.api.resource import RECONCILE_ANNOTATION, Access
from keelway.lifecycle.dataset import derivation, schedule
from keelway.lifecycle.dataset.derivation import ResolvedInput
from keelway.lifecycle.dataset.failures import retry
from keelway.lifecycle.dataset.judgement import is_valid
from keelway.lifecycle.dataset_inputs import Unresolved, has_files
from keelway.lifecycle.jobs import JobState, job_state, jobs_for
from keelway.lifecycle.plan import Observed
from keelway.lifecycle.pods import verdict
from keelway.lifecycle.settings import JobSettings
from keelway.manifests.derive_job import DERIVE, RECORD, output_location
from keelway.manifests.names import child_name, hash8
from keelway.manifests.observe_job import OBSERVE, split_rules

PIN_PREFIX = 8
"""How many characters of a digest's hash name a version."""


@dataclass(frozen=True)
class World:
    """One Dataset and everything seen that bears on it."""

    dataset: Dataset
    seen: Observed
    now: datetime
    settings: JobSettings

    # what is asked

    @cached_property
    def inputs(self) -> tuple[ResolvedInput, ...] | Unresolved:
        """For a derived Dataset: the versions that it is made of now, or why there are none."""
        return derivation.resolve(self.dataset, self.seen)

    @property
    def resolved(self) -> tuple[ResolvedInput, ...]:
        """The inputs of a derived Dataset; none of a source, or while one is missing."""
        if self.dataset.spec.derive is None or isinstance(self.inputs, Unresolved):
            return ()
        return self.inputs

    @cached_property
    def derivation_hash(self) -> str:
        """Names what a derived Dataset is made of and by; empty where there are no inputs."""
        return derivation.derivation_hash(self.dataset, self.resolved) if self.resolved else ""

    @cached_property
    def checks_hash(self) -> str:
        """Of what must hold of the data."""
        spec = self.dataset.spec.to_json()
        return short(digest([spec["schema"], spec["expectations"], spec["drift"]]))

    @cached_property
    def spec_hash(self) -> str:
        """Of all that decides what a look finds: another one makes a look due."""
        spec = self.dataset.spec.to_json()
        names = ("source", "access", "splits", "splitKey", "profile", "sample")
        identity = self.dataset.spec.version.identity
        return short(digest([*(spec.get(name) for name in names), identity, self.checks_hash, self.derivation_hash]))

    @property
    def request(self) -> str:
        """The value of the annotation that asks for a look now."""
        return self.dataset.metadata.annotations.get(RECONCILE_ANNOTATION, "")[:256]

    @property
    def split_rules(self) -> tuple[SplitRule, ...]:
        """The splits that the spec asks for."""
        return split_rules(self.dataset)

    @cached_property
    def source(self) -> DatasetSource:
        """Which files are looked at: those of the source, or those that the present derivation wrote."""
        spec = self.dataset.spec
        if spec.source is not None:
            return spec.source
        assert spec.derive is not None
        uri = output_location(self.dataset, self.derivation_hash)
        return DatasetSource(uri=uri, format=spec.derive.output.format)

    @property
    def access(self) -> Access:
        """How the files are reached."""
        derive = self.dataset.spec.derive
        return derive.output.access if derive else self.dataset.spec.access

    # when to look

    @cached_property
    def due(self) -> datetime | None:
        """When the next look is due; None when only a change makes one."""
        status = self.dataset.status
        last = status.observation
        if last is None or last.spec_hash != self.spec_hash or last.request != self.request:
            return self.now
        if last.outcome != "Failed" and not self.is_current_whole:
            # Somebody deleted what the last look recorded.
            return self.now
        return self.due_after(last)

    def due_after(self, last: Observation) -> datetime | None:
        """When the look after this one is due, as long as nothing else changes."""
        time, derived = from_timestamp(last.time), self.dataset.spec.derive is not None
        if not derived:
            return schedule.next_look(self.dataset.spec.refresh, time, failures=last.failures, unchanged=last.unchanged)
        return retry(last.failures, last.reason, time) if last.outcome == "Failed" else None

    @cached_property
    def is_derive_wanted(self) -> bool:
        """Whether the present derivation has to be run: nobody has its result, or nobody has judged it yet."""
        if not self.derivation_hash or self.derived is None:
            return bool(self.derivation_hash)
        # Its record is there before its verdict: the Job that made it still has the report.
        name = child_name(self.dataset.name, DERIVE, self.look)
        return not self.is_judged(self.derived) and any(job["metadata"]["name"] == name for job in self.jobs)

    @cached_property
    def derived(self) -> DatasetVersion | None:
        """The result of the present derivation."""
        found = [v for v in self.versions if v.spec.derivation and v.spec.derivation.hash == self.derivation_hash]
        return next((version for version in reversed(found) if self.has_files(version)), None)

    # who looks

    @cached_property
    def look(self) -> str:
        """Identifies the look that is due next: the same after a crash, another one after each recorded look."""
        dataset, last = self.dataset, self.dataset.status.observation
        job = dataset.spec.job.to_json()
        return hash8(dataset.metadata.uid, self.spec_hash, job, self.request, last.time if last else "")

    @property
    def job_name(self) -> str:
        """Name of the Job of the look that is due next."""
        return child_name(self.dataset.name, DERIVE if self.is_derive_wanted else OBSERVE, self.look)

    @cached_property
    def jobs(self) -> list[Manifest]:
        """Jobs of this Dataset."""
        return jobs_for(self.seen, self.dataset.key, self.dataset.metadata.uid)

    @cached_property
    def job(self) -> JobState | None:
        """The Job of the look that is due next."""
        found = next((job for job in self.jobs if job["metadata"]["name"] == self.job_name), None)
        return job_state(found, self.seen, self.now) if found else None

    @property
    def speaker(self) -> str:
        """The container that answers."""
        return RECORD if self.is_derive_wanted else OBSERVE

    @cached_property
    def verdict(self) -> ObserveVerdict | None:
        """What the Job said."""
        return verdict(self.job.pods, self.speaker, ObserveVerdict) if self.job else None

    # what is recorded

    @cached_property
    def versions(self) -> list[DatasetVersion]:
        """Versions of this Dataset, oldest first."""
        found = (DatasetVersion.model_validate(m) for m in self.seen.about(self.dataset.key, "DatasetVersion"))
        mine = [version for version in found if version.spec.dataset.uid == self.dataset.metadata.uid]
        return sorted(mine, key=lambda version: version.spec.version)

    @cached_property
    def current(self) -> DatasetVersion | None:
        """The newest version that was published, if its record is there."""
        return self.version(self.dataset.status.current)

    @cached_property
    def is_current_whole(self) -> bool:
        """Whether the current version is as the spec asks, judged by its checks, and nothing of its record missing."""
        version = self.current
        return version is not None and self.fits(version) and self.has_files(version) and self.is_judged(version)

    def is_judged(self, version: DatasetVersion) -> bool:
        """Whether a version was checked as the spec asks now."""
        return bool(version.status.verdict) and version.status.checks_hash == self.checks_hash

    @cached_property
    def pinned(self) -> DatasetVersion | None:
        """The version that the spec keeps consumers on."""
        pin = self.dataset.spec.version.pin
        return self.named(pin) if pin else None

    def named(self, text: str) -> DatasetVersion | None:
        """The version with this number, digest, or beginning of its digest's hash."""
        prefix = text.rsplit(":", 1)[-1]
        for version in reversed(self.versions):
            found = version.spec.digest
            begins = len(prefix) >= PIN_PREFIX and found.rsplit(":", 1)[-1].startswith(prefix)
            if text in (str(version.spec.version), found) or begins:
                return version
        return None

    def good(self, current: DatasetVersion | None) -> DatasetVersion | None:
        """What consumers get: the pinned version; else what the files are now, if that is valid; else what they had.

        `current` is as it was judged now, which its record may not say yet.
        """
        known = [current if current and v.name == current.name else v for v in self.versions]
        had = self.dataset.status.last_good
        kept = next((version for version in known if had and version.name == had.name), None)
        if self.dataset.spec.version.pin:
            return self.pinned if self.pinned and is_valid(self.pinned) else kept
        wanted = (v for v in (current, kept, *reversed(known)) if v and is_valid(v) and self.fits(v))
        return next(wanted, kept)

    @cached_property
    def baseline(self) -> DatasetVersion | None:
        """What a new version is measured against: the last valid one, but for the one that is checked anew."""
        current = self.dataset.status.current
        judged_anew = current.name if current and self.current and not self.is_judged(self.current) else ""
        found = [v for v in self.versions if is_valid(v) and v.name != judged_anew and self.has_files(v)]
        return found[-1] if found else None

    @cached_property
    def reference(self) -> DatasetVersion | None:
        """The version whose distributions a new one is compared with, if its profile is there."""
        to = self.dataset.spec.drift.compare_to
        version = self.baseline if to == "Previous" else self.named(to)
        return version if version and version.profile_key and self.seen.get(version.profile_key) else None

    def version(self, reference: CurrentVersion | GoodVersion | None) -> DatasetVersion | None:
        """The record that the status speaks of, if it is there."""
        return next((v for v in self.versions if reference and v.name == reference.name), None)

    def has_files(self, version: DatasetVersion) -> bool:
        """Whether the version's list of files is there."""
        return has_files(version, self.seen)

    def fits(self, version: DatasetVersion) -> bool:
        """Whether a version is of what the spec asks for, format included.

        One that was derived of earlier inputs by the same code is.
        """
        spec, recorded = self.dataset.spec, version.spec
        same_splits = (self.split_rules, spec.split_key) == (recorded.split_rule.rules, recorded.split_rule.key)
        if spec.derive is not None:
            made = recorded.derivation
            return same_splits and made is not None and made.code == derivation.code(spec.derive)
        return same_splits and self._is_of_source(version) and self.source.format in ("Auto", recorded.source.format)

    def is_found(self, version: DatasetVersion) -> bool:
        """Whether a version records just what the present look looks at."""
        if self.dataset.spec.derive is not None:
            made = version.spec.derivation
            return self.fits(version) and made is not None and made.hash == self.derivation_hash
        return self.fits(version)

    def _is_of_source(self, version: DatasetVersion) -> bool:
        wanted, recorded = self.source, version.spec.source
        return (wanted.uri, wanted.include, wanted.exclude, self.access.endpoint) == (
            recorded.uri,
            recorded.include,
            recorded.exclude,
            recorded.access.endpoint,
        )


def newest(versions: Sequence[DatasetVersion]) -> int:
    """The highest number so far; 0 without versions."""
    return versions[-1].spec.version if versions else 0
