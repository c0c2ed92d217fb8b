"""The Job that looks at the files of a Dataset."""

from __future__ import annotations

from dataclasses import dataclass, field

from keelway.api.base import Manifest
from keelway.api.dataset import Dataset, DatasetSource
from keelway.api.dataset_version import DatasetVersion
from keelway.api.jobs import Identity, KnownVersion, ObserveOrder, Source, SplitRule
from keelway.api.resource import Access
from keelway.manifests.checks import MeasuredAgainst, mounted_checks
from keelway.manifests.job import job
from keelway.manifests.manifest_volume import Mounted, mounted_manifest
from keelway.manifests.metadata import child_metadata
from keelway.manifests.names import child_name
from keelway.manifests.storage import Storage, storage
from keelway.manifests.worker_container import memory_for_tables, scratch_volume, worker_container

OBSERVE = "observe"
OBSERVE_DEADLINE_SECONDS = 3600
OBSERVE_KEEP_SECONDS = 3600


@dataclass(frozen=True, kw_only=True)
class Known:
    """The newest version, and the listing under which it was seen last."""

    version: DatasetVersion
    listing: str


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Which files are looked at: a Dataset's source, or what was derived for it."""

    source: DatasetSource
    access: Access
    identity: Identity
    known: Known | None = None
    against: MeasuredAgainst = field(default_factory=MeasuredAgainst)


def observe_job(dataset: Dataset, hash8: str, subject: Subject, *, image: str, pull_policy: str) -> Manifest:
    """A Job that lists the files and, where the listing is not the known one, describes and checks the data."""
    source, settings = subject.source, dataset.spec.job
    reach = storage(source.uri, subject.access, "source", read_only=True)
    order, mounted = _order(dataset, subject, reach)
    container = worker_container(
        OBSERVE,
        order,
        image=image,
        pull_policy=pull_policy,
        mounts=[*reach.mounts, *(one.mount for one in mounted)],
        resources=settings.resources,
    )
    pod = {
        "containers": [container],
        "volumes": [scratch_volume(), *reach.volumes, *(one.volume for one in mounted)],
        "nodeSelector": settings.node_selector,
        "tolerations": list(settings.tolerations),
        "serviceAccountName": settings.service_account_name or subject.access.service_account_name or "default",
        "terminationGracePeriodSeconds": 5,
        "securityContext": {"fsGroup": 65532, "fsGroupChangePolicy": "OnRootMismatch"},
    }
    return job(
        child_metadata(dataset, child_name(dataset.name, OBSERVE, hash8)),
        {"spec": pod},
        deadline=OBSERVE_DEADLINE_SECONDS,
        keep=OBSERVE_KEEP_SECONDS,
    )


def _order(dataset: Dataset, subject: Subject, reach: Storage) -> tuple[ObserveOrder, list[Mounted]]:
    source, (checks, mounted) = subject.source, mounted_checks(dataset, subject.against)
    known, volumes = None, list(mounted)
    if subject.known:
        manifest, volume = mounted_manifest(subject.known.version, "known")
        known = KnownVersion(digest=subject.known.version.spec.digest, listing=subject.known.listing, manifest=manifest)
        volumes.append(volume)
    order = ObserveOrder(
        source=Source(
            location=reach.location.model_copy(update={"revision": source.revision}),
            include=source.include,
            exclude=source.exclude,
            format=source.format,
        ),
        identity=subject.identity,
        known=known,
        checks=checks,
        splits=split_rules(dataset),
        split_key=dataset.spec.split_key,
        memory_limit=memory_for_tables(dataset.spec.job.resources),
    )
    return order, volumes


def split_rules(dataset: Dataset) -> tuple[SplitRule, ...]:
    """The splits that a Dataset asks for."""
    return tuple(SplitRule(name=split.name, percent=split.percent) for split in dataset.spec.splits)
