"""The files of a model, as the trial left them, and the list of them that says that all were kept."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from keelway.api.digests import canonical_json
from keelway.worker.errors import WorkerError
from keelway.worker.stores.paths import problem


@dataclass(frozen=True)
class ModelFile:
    """One file: its path below the model's directory and what is in it."""

    path: str
    local: Path
    size: int
    sha256: str


def model_list(files: Sequence[ModelFile], digest: str) -> bytes:
    """What `api.jobs.list_beside` its directory holds: the same for the same bytes."""
    listed = [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in files]
    return canonical_json({"digest": digest, "files": listed})


def read_model(directory: Path) -> list[ModelFile]:
    """All files below the directory, digested, sorted by path. Raises WorkerError ModelMissing.

    A link to a file inside the directory counts as that file. Links that lead out are refused: in this container they
    would reach what the trial may not see. So are links to directories, pipes and sockets.
    """
    if directory.is_symlink() or not directory.is_dir():
        raise WorkerError("ModelMissing", "KEELWAY_MODEL_DIR is not a directory: write the model's files into it")
    try:
        files = [_read(directory, path) for path in sorted(_walk(directory))]
    except PermissionError as error:
        path = Path(error.filename).relative_to(directory)
        raise WorkerError("ModelMissing", f"{path} cannot be read by user {os.getuid()}: let all read it") from error
    if not files:
        raise WorkerError(
            "ModelMissing", "KEELWAY_MODEL_DIR holds no files: write the model into it before the trial ends"
        )
    return files


def _walk(directory: Path) -> Iterator[Path]:
    def stop(error: OSError) -> None:
        raise error

    for parent, directories, names in os.walk(directory, onerror=stop):
        links = [name for name in directories if (Path(parent) / name).is_symlink()]
        yield from (Path(parent) / name for name in [*names, *links])


def _read(directory: Path, path: Path) -> ModelFile:
    name = path.relative_to(directory).as_posix()
    if wrong := problem(name):
        raise WorkerError("ModelMissing", f"the name {name!a} in KEELWAY_MODEL_DIR has {wrong}: rename the file")
    local = Path(os.path.realpath(path))
    if not local.is_relative_to(directory.resolve()):
        raise WorkerError("ModelMissing", f"{name} is a link that leaves KEELWAY_MODEL_DIR: copy the file instead")
    if not stat.S_ISREG(local.lstat().st_mode if os.path.lexists(local) else 0):
        raise WorkerError("ModelMissing", f"{name} is not a regular file: keep only files in KEELWAY_MODEL_DIR")
    with local.open("rb") as source:
        checksum = hashlib.file_digest(source, "sha256").hexdigest()
    return ModelFile(name, local, local.stat().st_size, checksum)
