"""A look at 100 000 objects of which none has changed: no object is read, in little memory."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keelway.api.checks import ProfileSettings
from keelway.api.jobs import Checks, KnownVersion, ObserveOrder, ObserveReport, Source
from tests.perf.conftest import Note
from tests.perf.running import Runner, measure
from tests.unit.worker.builders import ACCESS, SECRET, Bucket, mount_manifest

OBJECTS = 100_000
A_DIRECTORY = 1_000
MEBIBYTE = 2**20
LIST_ALONE = """
import sys
import obstore
from obstore.store import S3Store
endpoint, bucket, access, secret = sys.argv[1:]
store = S3Store(bucket, endpoint=endpoint, region="us-east-1", access_key_id=access, secret_access_key=secret,
                client_options={"allow_http": True})
print(sum(len(page) for page in obstore.list(store, "data", chunk_size=1000)))
"""


@pytest.fixture
def full_bucket(bucket: Bucket) -> Iterator[Bucket]:
    directory = bucket.server.root / bucket.name
    fill(directory / "data")
    yield bucket
    shutil.rmtree(directory)


def fill(directory: Path) -> None:
    """Objects of a few bytes, written where the server keeps them, with the ETags that it would have given them."""
    for number in range(OBJECTS):
        if number % A_DIRECTORY == 0:
            parent = directory / f"part={number // A_DIRECTORY:03}"
            parent.mkdir(parents=True)
        content = str(number).encode()
        path = parent / f"{number:06}.bin"
        path.write_bytes(content)
        os.setxattr(path, "user.etag", f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'.encode())


@pytest.mark.timeout(1800)
def test_an_unchanged_look_at_a_hundred_thousand_objects(
    full_bucket: Bucket, runner: Runner, note: Note, tmp_path: Path
) -> None:
    bucket = full_bucket
    source = Source(location=bucket.location(), format="Files")
    checks = Checks(profile=ProfileSettings(max_bytes="1"))
    first = runner("observe", ObserveOrder(source=source, checks=checks))
    assert (first.verdict["outcome"], first.verdict["files"]) == ("Observed", OBJECTS)
    assert len(bucket.reads) == 1
    report = ObserveReport.model_validate_json(first.report)
    manifest = mount_manifest(tmp_path / "known", [base64.b64decode(part) for part in report.manifest])
    known = KnownVersion(digest=str(first.verdict["digest"]), listing=str(first.verdict["listing"]), manifest=manifest)

    second = runner("observe", ObserveOrder(source=source, known=known))
    bare = measure(
        [sys.executable, "-c", LIST_ALONE, bucket.server.endpoint, bucket.name, ACCESS, SECRET], tmp_path / "bare"
    )

    assert int(bare.output) == OBJECTS
    assert second.verdict["outcome"] == "Unchanged"
    note(
        objects=OBJECTS,
        objects_read=len(bucket.reads) - 1,
        seconds=round(second.measured.seconds, 2),
        seconds_to_list_alone=round(bare.seconds, 2),
        peak_mib=round(second.measured.peak_bytes / MEBIBYTE),
        first_look_seconds=round(first.measured.seconds, 2),
        first_look_peak_mib=round(first.measured.peak_bytes / MEBIBYTE),
        manifest_bytes=sum(map(len, report.manifest)) * 3 // 4,
    )
    assert len(bucket.reads) == 1
    assert second.measured.peak_bytes < 512 * MEBIBYTE
    assert first.measured.peak_bytes < 512 * MEBIBYTE
    assert second.measured.seconds < 3 * bare.seconds
