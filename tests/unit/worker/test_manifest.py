"""The list of a version's files: kept in parts, read back whole, or not at all."""

from __future__ import annotations

import gzip
from pathlib import Path
from random import Random

import pytest

from keelway.api.digests import sha256
from keelway.api.jobs import MANIFEST_BYTES, MANIFEST_PART_BYTES, File
from keelway.worker import identity, manifest
from keelway.worker.errors import WorkerError
from tests.unit.worker.builders import mount_manifest


def files(count: int) -> list[File]:
    """As a bucket lists them: ETags and hashes do not compress."""
    random = Random(7)
    return [
        File(
            path=f"year=2024/month={number % 12:02}/part-{number:06}.parquet",
            size=random.randrange(10**8),
            etag=f'"{random.randbytes(16).hex()}"',
            sha256=random.randbytes(32).hex(),
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("count", [0, 1, 30_000])
def test_what_is_packed_is_unpacked(tmp_path: Path, count: int) -> None:
    given = files(count)
    parts = manifest.pack(reversed(given))
    mounted = mount_manifest(tmp_path, parts)
    (tmp_path / ".part-000.swp").write_bytes(b"not a part")
    assert manifest.unpack(mounted) == sorted(given, key=lambda file: file.path)
    assert (len(parts) > 1) is (count == 30_000)
    assert max(map(len, parts)) <= MANIFEST_PART_BYTES


def test_the_same_files_are_the_same_bytes_whenever_they_are_packed() -> None:
    packed = b"".join(manifest.pack(files(100)))
    assert packed[4:8] == bytes(4)
    assert manifest.pack(files(100)) == (packed,)
    assert sha256(packed) == sha256(b"".join(manifest.pack(files(100)[::-1])))


def test_a_hundred_thousand_files_of_a_bucket_fit() -> None:
    parts = manifest.pack(identity.to_record("Listing", files(100_000)))
    assert sum(map(len, parts)) <= MANIFEST_BYTES


def test_more_files_than_a_record_holds() -> None:
    with pytest.raises(WorkerError) as caught:
        manifest.pack(files(100_000))
    assert caught.value.reason == "SourceInvalid"
    assert "the list of 100000 files takes " in caught.value.message
    assert f"a record holds {MANIFEST_BYTES}: merge small files" in caught.value.message


@pytest.mark.parametrize("fate", ["another part", "a part less", "no directory"])
def test_a_manifest_that_is_not_the_recorded_one(tmp_path: Path, fate: str) -> None:
    parts = list(manifest.pack(files(20_000)))
    mounted = mount_manifest(tmp_path / "manifest", parts)
    if fate == "no directory":
        mounted = mounted.model_copy(update={"directory": str(tmp_path / "absent")})
    elif fate == "a part less":
        (tmp_path / "manifest" / "part-001").unlink()
    else:
        (tmp_path / "manifest" / "part-001").write_bytes(parts[0])
    with pytest.raises(WorkerError) as caught:
        manifest.unpack(mounted)
    assert caught.value.reason == "DatasetVersionGone"
    assert "not the one that was recorded" in caught.value.message


@pytest.mark.parametrize("content", [b"not gzip", gzip.compress(b"not json\n"), gzip.compress(b"{}\n")])
def test_a_manifest_that_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(WorkerError) as caught:
        manifest.unpack(mount_manifest(tmp_path, [content]))
    assert caught.value.reason == "DatasetVersionGone"


@pytest.mark.parametrize("path", ["../a", "a/../../a", "/a", "./a", "a//b", "a\0b", "a/", ""])
def test_paths_that_lead_elsewhere(tmp_path: Path, path: str) -> None:
    mounted = mount_manifest(tmp_path, manifest.pack([File(path=path, size=1, etag="e")]))
    with pytest.raises(WorkerError) as caught:
        manifest.unpack(mounted)
    assert caught.value.reason == "SourceInvalid"
    assert "not a plain path below the source" in caught.value.message
