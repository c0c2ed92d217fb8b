"""How a pod sees what is kept of a DatasetVersion: its list of files as one directory, its profile as a file."""

from __future__ import annotations

from dataclasses import dataclass

from keelway.api.base import Manifest
from keelway.api.dataset_version import DatasetVersion
from keelway.api.jobs import ManifestOf
from keelway.manifests.config_map import MANIFEST_FILE, PROFILE_FILE
from keelway.manifests.storage import ROOT, VOLUME_PREFIX


@dataclass(frozen=True)
class Mounted:
    """One volume and where a container finds it."""

    path: str
    volume: Manifest
    mount: Manifest


def mounted_manifest(version: DatasetVersion, slot: str) -> tuple[ManifestOf, Mounted]:
    """The list of files: the parts as `part-000`, `part-001` of one directory, however many ConfigMaps there are."""
    sources = [
        {"configMap": {"name": key.name, "items": [{"key": MANIFEST_FILE, "path": f"part-{number:03}"}]}}
        for number, key in enumerate(version.files_keys)
    ]
    mounted = _mounted(f"manifest-{slot}", {"projected": {"sources": sources}})
    return ManifestOf(directory=mounted.path, sha256=version.spec.manifest.sha256), mounted


def mounted_profile(version: DatasetVersion, slot: str) -> tuple[str, Mounted]:
    """The path of the profile, and what to mount. The version must have one."""
    assert version.profile_key is not None
    items = [{"key": PROFILE_FILE, "path": PROFILE_FILE}]
    mounted = _mounted(f"profile-{slot}", {"configMap": {"name": version.profile_key.name, "items": items}})
    return f"{mounted.path}/{PROFILE_FILE}", mounted


def _mounted(name: str, source: Manifest) -> Mounted:
    volume, path = f"{VOLUME_PREFIX}{name}", f"{ROOT}/{name}"
    return Mounted(path, {"name": volume, **source}, {"name": volume, "mountPath": path, "readOnly": True})
