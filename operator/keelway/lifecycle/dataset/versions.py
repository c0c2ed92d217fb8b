"""From what a look reported to a DatasetVersion, and which versions may go."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from keelway.api.base import Manifest
from keelway.api.dataset_version import (
    Change,
    ConfigMapReference,
    DatasetIdentity,
    DatasetVersion,
    DatasetVersionSpec,
    ManifestReference,
    PinnedSource,
    ProfileReference,
    Schema,
    VersionSplits,
)
from keelway.api.digests import canonical_json, digest, sha256
from keelway.api.findings import FileChanges
from keelway.api.jobs import REPORT_MARK, ObserveReport, ObserveVerdict
from keelway.lifecycle.dataset import derivation, schema
from keelway.lifecycle.dataset.world import World, newest
from keelway.lifecycle.plan import Delete, Observed
from keelway.manifests import config_map, records
from keelway.manifests.croissant import croissant, first_files
from keelway.manifests.names import hash8

MAX_COLUMNS = 500
DESCRIBED_FILES = 100
"""How many files are named one by one in the Croissant description."""


def report(log: str, answer: ObserveVerdict) -> ObserveReport | None:
    """The report in a container's log; None when it is not there whole."""
    for line in reversed(log.splitlines()):
        text = line.removeprefix(REPORT_MARK)
        if text != line and sha256(text.encode()) == answer.report_sha256:
            return _parsed(text)
    return None


def _parsed(text: str) -> ObserveReport | None:
    try:
        return ObserveReport.model_validate_json(text)
    except ValidationError:
        # Written by a worker of another version: as good as lost, the next look asks again.
        return None


def recorded(world: World, answer: ObserveVerdict, found: ObserveReport) -> DatasetVersion | None:
    """The version that already records just this, and whose list of files is there or is the one that was found."""
    wanted = (answer.digest, found.format)
    same = (v for v in reversed(world.versions) if (v.spec.digest, v.spec.source.format) == wanted)
    whole = (v for v in same if world.has_files(v) or v.spec.manifest.sha256 == found.manifest_sha256)
    return next((version for version in whole if world.is_found(version)), None)


def new_version(world: World, answer: ObserveVerdict, found: ObserveReport) -> Manifest:
    """The record of what was seen, under the next number."""
    dataset, number, inputs = world.dataset, newest(world.versions) + 1, world.resolved
    # Versions of a former Dataset of this name may be in use still: the uid keeps the names apart.
    name = f"{dataset.name}-v{number}-{hash8(dataset.metadata.uid, answer.digest)}"
    spec = DatasetVersionSpec(
        dataset=DatasetIdentity(name=dataset.name, uid=dataset.metadata.uid),
        version=number,
        digest=answer.digest,
        source=_source(world, found),
        manifest=ManifestReference(
            files=answer.files,
            bytes=answer.bytes,
            ref=ConfigMapReference(config_map=f"{name}-files"),
            parts=len(found.manifest),
            sha256=found.manifest_sha256,
        ),
        schema_=_schema(found),
        rows=answer.rows,
        splits=found.splits,
        split_rule=VersionSplits(key=dataset.spec.split_key, rules=world.split_rules),
        change=_change(world, answer, found),
        profile=_profile(name, found),
        derived_from=derivation.derived_from(inputs),
        derivation=derivation.derivation(dataset, inputs) if inputs else None,
    )
    return records.dataset_version(dataset, name, spec)


def _source(world: World, found: ObserveReport) -> PinnedSource:
    source = world.source
    return PinnedSource(
        uri=source.uri,
        revision=found.revision,
        include=source.include,
        exclude=source.exclude,
        format=found.format,
        access=world.access,
    )


def _schema(found: ObserveReport) -> Schema:
    columns = [column.to_json() for column in found.columns]
    return Schema(digest="sha256:" + digest(columns), columns=found.columns[:MAX_COLUMNS], total=len(found.columns))


def _change(world: World, answer: ObserveVerdict, found: ObserveReport) -> Change | None:
    before = world.baseline.spec if world.baseline else None
    if before is None:
        return None
    return Change(
        from_=before.version,
        files=found.file_changes or FileChanges(),
        rows=answer.rows - before.rows,
        bytes=answer.bytes - before.manifest.bytes,
        schema_=schema.change(before.schema_.columns, found.columns[:MAX_COLUMNS]),
    )


def _profile(name: str, found: ObserveReport) -> ProfileReference | None:
    if not found.profile:
        return None
    return ProfileReference(
        config_map=f"{name}-profile", sha256=sha256(found.profile.encode()), coverage=found.coverage
    )


def missing_parts(world: World, version: DatasetVersion, found: ObserveReport) -> tuple[Manifest, ...]:
    """The ConfigMaps of a version that are not there yet: its list of files, its profile."""
    wanted = (*_files(world, version, found), *_description(world, version, found))
    there = {key.name for key in version.config_maps if world.seen.get(key) is not None}
    return tuple(part for part in wanted if part["metadata"]["name"] not in there)


def _files(world: World, version: DatasetVersion, found: ObserveReport) -> Iterator[Manifest]:
    for key, part in zip(version.files_keys, found.manifest, strict=False):
        yield config_map.file_manifest(version, world.dataset, key.name, part)


def _description(world: World, version: DatasetVersion, found: ObserveReport) -> Iterator[Manifest]:
    reference = version.spec.profile
    if reference is None or sha256(found.profile.encode()) != reference.sha256:
        return
    files = first_files([base64.b64decode(part) for part in found.manifest], DESCRIBED_FILES)
    described = canonical_json(croissant(version, world.dataset.name, files)).decode()
    yield config_map.profile(version, world.dataset, reference.config_map, profile=found.profile, croissant=described)


USERS = ("ModelVersion", "Experiment", "DatasetVersion", "ModelDeployment")


def in_use(seen: Observed, version: DatasetVersion) -> bool:
    """Whether a model was trained on this version, a run reads it, a gate judges by it, or another version was derived
    from it."""
    return any(seen.referrers(version.key, kind) for kind in USERS)


def removable(world: World) -> tuple[Delete, ...]:
    """Versions beyond the history's limit that nothing uses."""
    status, excess = world.dataset.status, world.versions[: -world.dataset.spec.history_limit]
    kept = {ref.name for ref in (status.current, status.last_good) if ref}
    kept |= {version.name for version in (world.pinned, world.reference, world.baseline) if version}
    gone = [v for v in excess if v.name not in kept and not v.metadata.deletion_timestamp]
    return deletes([version for version in gone if not in_use(world.seen, version)])


def deletes(versions: Sequence[DatasetVersion]) -> tuple[Delete, ...]:
    """Deletions of these versions; their ConfigMaps go with them."""
    return tuple(Delete(v.key, v.metadata.uid) for v in versions)
