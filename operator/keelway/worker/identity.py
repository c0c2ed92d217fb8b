"""How a version is named: by what the source itself calls it, by its listing, or by every byte.

A listing is trusted where its store vouches for it with ETags; it says when bytes may have changed, and only a sha256
says whether they did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from keelway.api.digests import content_digest, listing_digest
from keelway.api.findings import FileChanges
from keelway.api.jobs import File, Identity
from keelway.worker.errors import WorkerError
from keelway.worker.storage import Listing, Storage
from keelway.worker.storage_errors import place

Kind = Literal["Native", "Listing", "Content"]
PREFIXES: Mapping[Kind, str] = {"Native": "native:", "Listing": "listing:", "Content": "content:"}
LIST_SHA256 = 10_000
"""Files up to which a manifest keeps the sha256 of what its ETags vouch for already."""


def choose(storage: Storage, asked: Identity, listing: Listing, files: Sequence[File]) -> Kind:
    """What names the version. Raises WorkerError SourceInvalid when the source has not got what was asked for."""
    if asked == "Native" and not listing.native:
        raise WorkerError(
            "SourceInvalid",
            f"{place(storage.location)} has no identity of its own: set version.identity to Listing, Content or Auto",
        )
    if asked == "Listing" and not is_telling(files):
        raise WorkerError(
            "SourceInvalid",
            f"{_without_etag(files)} of {len(files)} files at {place(storage.location)} have no ETag, so their listing "
            "does not tell versions apart: set version.identity to Content or Auto",
        )
    return asked if asked != "Auto" else _strongest(storage, listing, files)


def _strongest(storage: Storage, listing: Listing, files: Sequence[File]) -> Kind:
    """A volume's ETags are made of times, which anybody can set."""
    if listing.native:
        return "Native"
    return "Listing" if all(map(is_strong, files)) and not storage.location.mount else "Content"


def is_strong(file: File) -> bool:
    """Whether the store promises other bytes to have another ETag (RFC 9110, 8.8.3)."""
    return bool(file.etag) and not file.etag.startswith("W/")


def is_telling(files: Sequence[File]) -> bool:
    """Whether a change of any file would show in the listing."""
    return not _without_etag(files)


def _without_etag(files: Sequence[File]) -> int:
    return sum(not (file.etag or file.sha256) for file in files)


def listing_of(files: Sequence[File]) -> str:
    """The digest of the listing."""
    return listing_digest((file.path, file.size, file.etag or file.sha256) for file in files)


def digest_of(kind: Kind, listing: Listing, files: Sequence[File]) -> str:
    """The digest of the version; for Content every file must have its sha256."""
    if kind == "Native":
        return listing.native
    if kind == "Listing":
        return listing_of(files)
    return content_digest((file.path, file.size, file.sha256) for file in files)


def answers(digest: str, asked: Identity) -> bool:
    """Whether a version with this digest is named in the way that is asked for."""
    return asked == "Auto" or digest.startswith(PREFIXES[asked])


def to_record(kind: Kind, files: Sequence[File]) -> list[File]:
    """The files as a manifest keeps them: a very long one leaves the sha256 out where an ETag vouches for the bytes."""
    if kind != "Listing" or len(files) <= LIST_SHA256:
        return list(files)
    return [file.model_copy(update={"sha256": ""}) if is_strong(file) else file for file in files]


def known_checksums(files: Sequence[File], known: Sequence[File]) -> dict[str, str]:
    """The sha256 by path of the files that are as they were when they were read."""
    recorded = {file.path: file for file in known}
    same = ((file, recorded.get(file.path)) for file in files if file.etag)
    return {
        file.path: old.sha256
        for file, old in same
        if old and old.sha256 and (old.size, old.etag) == (file.size, file.etag)
    }


def may_be_same(files: Sequence[File], known: Sequence[File]) -> bool:
    """Whether only the bytes themselves can tell: every path and size is as before, and every sha256 is recorded."""
    return {(file.path, file.size) for file in files} == {(file.path, file.size) for file in known} and all(
        file.sha256 for file in known
    )


def same_bytes(checksums: Mapping[str, str], known: Sequence[File]) -> bool:
    """Whether each known file still has the sha256 that was recorded."""
    return all(checksums.get(file.path) == file.sha256 for file in known)


def changes(files: Sequence[File], before: Sequence[File]) -> FileChanges:
    """Files that differ, by path; their bytes by size and sha256, or by ETag where one has no sha256."""
    old = {file.path: file for file in before}
    common = [(file, old[file.path]) for file in files if file.path in old]
    return FileChanges(
        added=len(files) - len(common),
        removed=len(old) - len(common),
        modified=sum(_differs(file, other) for file, other in common),
    )


def _differs(file: File, other: File) -> bool:
    if file.sha256 and other.sha256:
        return (file.size, file.sha256) != (other.size, other.sha256)
    return (file.size, file.etag) != (other.size, other.etag)
