"""Which images an archive holds, read from its own index."""

import json
import tarfile
from pathlib import Path
from typing import Any

from dev.errors import DevError

OCI_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
"""Annotations of an OCI index that name an image, the fullest first."""


def image_names(archive: Path) -> list[str]:
    """Full names with tags of the images in a `docker save` or OCI archive. Raises DevError when it is neither."""
    if not archive.is_file():
        raise DevError(
            f"{archive} is not a file", hint="Images are loaded from archives, as `docker save` writes them."
        )
    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            members = set(tar.getnames())
            if "manifest.json" in members:
                return [normal(tag) for image in _json(tar, "manifest.json") for tag in image["RepoTags"] or []]
            if "index.json" in members:
                return [normal(name) for name in _oci_names(_json(tar, "index.json")["manifests"])]
    raise DevError(f"{archive} is no image archive: no tar with a manifest.json or an index.json")


def normal(name: str) -> str:
    """A name as a node's runtime lists it: with the registry that a short name leaves out."""
    first, slash, _ = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    has_registry = "." in first or ":" in first or first == "localhost"
    return name if has_registry else f"docker.io/{name}"


def _oci_names(manifests: list[dict[str, Any]]) -> list[str]:
    annotations = [manifest.get("annotations", {}) for manifest in manifests]
    named = [next((found[key] for key in OCI_NAMES if key in found), None) for found in annotations]
    return [name for name in named if name]


def _json(tar: tarfile.TarFile, member: str) -> Any:
    content = tar.extractfile(member)
    if content is None:
        raise DevError(f"{member} of an image archive is not a file")
    return json.load(content)
