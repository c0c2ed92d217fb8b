"""How the record of a DatasetVersion stands: whether all of it is there."""

from __future__ import annotations

from keelway.api.dataset_version import DatasetVersion
from keelway.api.reasons import Reason
from keelway.lifecycle.conditions import Standing, ready, stalled
from keelway.lifecycle.plan import Observed


def standing(version: DatasetVersion, seen: Observed) -> Standing:
    """Ready as long as the list of files is there."""
    missing = [key.name for key in version.files_keys if seen.get(key) is None]
    if missing:
        return stalled(Reason.FILES_MISSING, f"ConfigMap {missing[0]} with the list of files is missing")
    return ready(Reason.READY, f"{version.spec.rows} rows in {version.spec.manifest.files} files")
