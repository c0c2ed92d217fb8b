"""What is to be found out about data, with what it is measured against mounted beside it."""

from __future__ import annotations

from dataclasses import dataclass

from keelway.api.dataset import Dataset
from keelway.api.dataset_version import DatasetVersion
from keelway.api.jobs import Baseline, Checks, Reference
from keelway.manifests.manifest_volume import Mounted, mounted_manifest, mounted_profile


@dataclass(frozen=True, kw_only=True)
class MeasuredAgainst:
    """The versions that a new one is compared with; their ConfigMaps must be there."""

    baseline: DatasetVersion | None = None
    """The last good version."""
    reference: DatasetVersion | None = None
    """Whose distributions count; the baseline unless the spec names another one."""


def mounted_checks(dataset: Dataset, against: MeasuredAgainst) -> tuple[Checks, tuple[Mounted, ...]]:
    """The checks for an order, and what the container that does them needs mounted."""
    spec, mounted = dataset.spec, []
    baseline = reference = None
    if version := against.baseline:
        manifest, volume = mounted_manifest(version, "baseline")
        baseline = Baseline(version=version.spec.version, rows=version.spec.rows, manifest=manifest)
        mounted.append(volume)
    if version := against.reference:
        profile, volume = mounted_profile(version, "reference")
        reference = Reference(version=version.spec.version, profile=profile)
        mounted.append(volume)
    checks = Checks(
        expectations=spec.expectations,
        drift=spec.drift,
        profile=spec.profile,
        sample=spec.sample,
        baseline=baseline,
        reference=reference,
    )
    return checks, tuple(mounted)
