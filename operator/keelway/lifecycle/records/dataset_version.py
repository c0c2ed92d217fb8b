"""The decision about one DatasetVersion: it outlives its Dataset exactly as long as somebody uses it."""

from __future__ import annotations

from datetime import datetime

from keelway.api.base import Manifest
from keelway.api.dataset_version import DatasetVersion
from keelway.api.kinds import Key
from keelway.lifecycle.conditions import status_after
from keelway.lifecycle.dataset.versions import deletes, in_use
from keelway.lifecycle.plan import Observed, Plan
from keelway.lifecycle.records.standing import standing


def reconcile(manifest: Manifest, seen: Observed, now: datetime) -> Plan:
    """What to do next for one DatasetVersion. Its verdict is its Dataset's to write, with the first status."""
    version = DatasetVersion.model_validate(manifest)
    if version.metadata.deletion_timestamp:
        return Plan("leaving")
    if _orphaned(version, seen) and not in_use(seen, version):
        return Plan("nobody uses it", deletes=deletes([version]))
    if not version.status.verdict:
        return Plan("verdict to come")
    generation = version.metadata.generation
    status = status_after(version.status, standing(version, seen), generation=generation, now=now)
    return Plan("recorded", status=status)


def _orphaned(version: DatasetVersion, seen: Observed) -> bool:
    dataset = seen.get(Key("Dataset", version.namespace, version.spec.dataset.name))
    return dataset is None or dataset["metadata"]["uid"] != version.spec.dataset.uid
