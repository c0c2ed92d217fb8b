"""The Job of the look that is due: at the files of a source, or one that derives them first."""

from __future__ import annotations

from keelway.api.base import Manifest
from keelway.lifecycle.dataset.derivation import pod_inputs
from keelway.lifecycle.dataset.world import World
from keelway.manifests.checks import MeasuredAgainst
from keelway.manifests.derive_job import derive_job
from keelway.manifests.observe_job import Known, Subject, observe_job


def job(world: World) -> Manifest:
    """The Job; its name is `world.job_name`."""
    return _derive(world) if world.is_derive_wanted else _observe(world)


def _against(world: World) -> MeasuredAgainst:
    return MeasuredAgainst(baseline=world.baseline, reference=world.reference)


def _observe(world: World) -> Manifest:
    derived = world.dataset.spec.derive is not None
    subject = Subject(
        source=world.source,
        access=world.access,
        # What was derived is named by its bytes from the start.
        identity="Content" if derived else world.dataset.spec.version.identity,
        known=_known(world),
        against=_against(world),
    )
    settings = world.settings
    return observe_job(
        world.dataset, world.look, subject, image=settings.worker_image, pull_policy=settings.worker_pull_policy
    )


def _known(world: World) -> Known | None:
    version, last = world.current, world.dataset.status.observation
    if version is None or not world.is_current_whole:
        return None
    return Known(version=version, listing=(last.listing if last else "") or version.spec.digest)


def _derive(world: World) -> Manifest:
    return derive_job(
        world.dataset,
        world.look,
        inputs=pod_inputs(world.resolved, world.seen),
        derivation_hash=world.derivation_hash,
        against=_against(world),
        splits=world.split_rules,
        image=world.settings.worker_image,
        pull_policy=world.settings.worker_pull_policy,
    )
