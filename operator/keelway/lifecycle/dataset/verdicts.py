"""A version with the verdict on it, as its record's status has to be."""

from __future__ import annotations

from keelway.api.dataset_version import DatasetVersion
from keelway.api.jobs import ObserveReport
from keelway.lifecycle.conditions import status_after
from keelway.lifecycle.dataset.judgement import judge, kept
from keelway.lifecycle.dataset.world import World
from keelway.lifecycle.records.standing import standing


def judged(world: World, version: DatasetVersion, found: ObserveReport) -> DatasetVersion:
    """The version as it stands after this look."""
    spec, before = world.dataset.spec, world.baseline.spec.schema_.columns if world.baseline else ()
    judgement = judge(found, spec.schema_, spec.drift, before)
    status = status_after(
        version.status,
        standing(version, world.seen),
        generation=version.metadata.generation,
        now=world.now,
        verdict=judgement.verdict,
        checks_hash=world.checks_hash,
        violations=kept(judgement),
        violated=len(judgement.violations),
        drift=judgement.drift,
    )
    return version.model_copy(update={"status": type(version.status).model_validate(status)})
