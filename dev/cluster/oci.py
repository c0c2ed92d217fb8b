"""Container images of one layer, written as OCI archives; for images that no Dockerfile describes.

Format: the OCI image specification 1.1, image layout and manifest.
"""

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MEDIA_TYPE = "application/vnd.oci.image"
SEARCH_PATH = "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, kw_only=True)
class Image:
    """A name, what to run, and which files of this machine make up its root."""

    name: str
    """Full name with tag, as a node will ask for it."""
    architecture: str
    """As in `amd64`."""
    files: Mapping[str, Path]
    """Place in the image, without a leading slash -> file here; a link stays a link."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Place in the image -> target. Written before the files."""
    folders: tuple[str, ...] = ("tmp",)
    entrypoint: tuple[str, ...] = ()


def write(image: Image, archive: Path) -> None:
    """Write the image as a tar that `ctr images import` and `docker load` read. The same input gives the same bytes."""
    with tempfile.NamedTemporaryFile(dir=archive.parent, suffix=".layer") as layer:
        _write_layer(image, Path(layer.name))
        digest, size = _digest_of(Path(layer.name)), Path(layer.name).stat().st_size
        blobs = _Blobs()
        manifest = _manifest(image, blobs, digest, size)
        index = {"schemaVersion": 2, "mediaType": f"{MEDIA_TYPE}.index.v1+json", "manifests": [manifest]}
        with tarfile.open(archive, "w") as tar:
            _add_bytes(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            _add_bytes(tar, "index.json", json.dumps(index).encode())
            for name, content in blobs.content.items():
                _add_bytes(tar, f"blobs/sha256/{name}", content)
            tar.add(layer.name, f"blobs/sha256/{digest}", filter=_plain)


class _Blobs:
    """JSON documents by digest."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}

    def put(self, kind: str, document: Mapping[str, object]) -> dict[str, object]:
        """Keep a document; gives its descriptor."""
        content = json.dumps(document).encode()
        digest = hashlib.sha256(content).hexdigest()
        self.content[digest] = content
        return {"mediaType": f"{MEDIA_TYPE}.{kind}.v1+json", "digest": f"sha256:{digest}", "size": len(content)}


def _manifest(image: Image, blobs: _Blobs, layer: str, size: int) -> dict[str, object]:
    platform = {"architecture": image.architecture, "os": "linux"}
    run: dict[str, object] = {"Env": [SEARCH_PATH]}
    if image.entrypoint:
        run["Entrypoint"] = list(image.entrypoint)
    filesystem = {"type": "layers", "diff_ids": [f"sha256:{layer}"]}
    config = blobs.put("config", {**platform, "config": run, "rootfs": filesystem})
    layers = [{"mediaType": f"{MEDIA_TYPE}.layer.v1.tar", "digest": f"sha256:{layer}", "size": size}]
    media_type = f"{MEDIA_TYPE}.manifest.v1+json"
    document = {"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers}
    named = {"annotations": {"io.containerd.image.name": image.name}}
    return {**blobs.put("manifest", document), "platform": platform, **named}


def _write_layer(image: Image, layer: Path) -> None:
    with tarfile.open(layer, "w") as tar:
        for folder in image.folders:
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        for place, target in image.links.items():
            entry = tarfile.TarInfo(place)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
        for place, source in image.files.items():
            tar.add(source, place, recursive=False, filter=_plain)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """An entry without what differs from machine to machine."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = 0
    return entry


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _digest_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
