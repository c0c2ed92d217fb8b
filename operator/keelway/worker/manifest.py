"""The list of a version's files, as the operator keeps it: gzip of JSON Lines, one File a line, sorted by path."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from keelway.api.digests import canonical_json, sha256
from keelway.api.jobs import MANIFEST_BYTES, MANIFEST_PART_BYTES, File, ManifestOf
from keelway.worker.errors import WorkerError


def pack(files: Iterable[File]) -> tuple[bytes, ...]:
    """The manifest, cut into parts. Raises WorkerError SourceInvalid when it is too long to be kept."""
    packed, ordered = io.BytesIO(), sorted(files, key=lambda file: file.path)
    with gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as out:
        for file in ordered:
            out.write(canonical_json(file.to_json()) + b"\n")
    if (size := packed.tell()) > MANIFEST_BYTES:
        raise WorkerError(
            "SourceInvalid",
            f"the list of {len(ordered)} files takes {size} bytes and a record holds {MANIFEST_BYTES}: "
            "merge small files, or choose fewer with source.include",
        )
    return tuple(_parts(packed.getvalue()))


def _parts(packed: bytes) -> Iterator[bytes]:
    for begin in range(0, len(packed), MANIFEST_PART_BYTES):
        yield packed[begin : begin + MANIFEST_PART_BYTES]


def unpack(manifest: ManifestOf) -> list[File]:
    """The files of a mounted manifest. Raises WorkerError DatasetVersionGone when it is not the recorded one."""
    directory = Path(manifest.directory)
    packed = b"".join(part.read_bytes() for part in _mounted(directory))
    if sha256(packed) != manifest.sha256:
        raise WorkerError("DatasetVersionGone", f"the manifest in {directory} is not the one that was recorded")
    try:
        with gzip.open(io.BytesIO(packed)) as lines:
            files = [File.model_validate_json(line) for line in lines]
    except (OSError, EOFError, zlib.error, ValidationError) as error:
        raise WorkerError("DatasetVersionGone", f"the manifest in {directory} cannot be read") from error
    for file in files:
        _refuse_escape(file.path)
    return files


def _mounted(directory: Path) -> list[Path]:
    """The parts in their order; hidden names (`..data`) are the kubelet's."""
    names = directory.iterdir() if directory.is_dir() else iter(())
    return sorted(path for path in names if not path.name.startswith(".") and path.is_file())


def _refuse_escape(path: str) -> None:
    parts = path.split("/")
    if PurePosixPath(path).is_absolute() or ".." in parts or "." in parts or "" in parts or "\0" in path:
        raise WorkerError("SourceInvalid", f"the manifest names {path!r}, which is not a plain path below the source")
