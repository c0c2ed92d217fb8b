"""How a pod reaches the bytes at a URI: volumes, mounts, and the location that a worker is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from keelway.api.base import Manifest
from keelway.api.jobs import Location
from keelway.api.resource import Access
from keelway.manifests.names import hash8

VOLUME_PREFIX = "keelway-"
ROOT = "/keelway"


@dataclass(frozen=True)
class Storage:
    """What to put into a pod so that a container can read or write at `location`. Volumes may be shared by name."""

    location: Location
    volumes: tuple[Manifest, ...] = ()
    mounts: tuple[Manifest, ...] = ()


def storage(uri: str, access: Access, slot: str, *, read_only: bool, revision: str = "") -> Storage:
    """Storage at a URI, for hf at a revision. `slot` tells the volumes of one pod apart."""
    if uri.startswith("pvc://"):
        return _claim(uri, slot, read_only=read_only)
    return _remote(Location(uri=uri, revision=revision, endpoint=access.endpoint, region=access.region), access, slot)


def _claim(uri: str, slot: str, *, read_only: bool) -> Storage:
    parts = urlsplit(uri)
    # Named by the claim: a pod that names one claim by two volumes waits for the second for ever.
    volume, path = f"{VOLUME_PREFIX}claim-{hash8(parts.netloc)}", parts.path.strip("/")
    directory = f"{ROOT}/volumes/{slot}"
    mount: dict[str, Any] = {"name": volume, "mountPath": directory, "readOnly": read_only}
    if path:
        mount["subPath"] = path
    claim = {"name": volume, "persistentVolumeClaim": {"claimName": parts.netloc}}
    return Storage(Location(mount=directory), (claim,), (mount,))


def _remote(location: Location, access: Access, slot: str) -> Storage:
    if access.secret_ref is None:
        return Storage(location)
    volume, directory = f"{VOLUME_PREFIX}access-{slot}", f"{ROOT}/access/{slot}"
    # Optional, so that a missing Secret is a worker's clear message and not a pod that waits in silence.
    secret = {"name": volume, "secret": {"secretName": access.secret_ref.name, "optional": True, "defaultMode": 0o444}}
    return Storage(
        location.model_copy(update={"secret_dir": directory, "secret_name": access.secret_ref.name}),
        (secret,),
        ({"name": volume, "mountPath": directory, "readOnly": True},),
    )
