"""The content digest of 5 GiB on a volume, beside `sha256sum` on the same files, both on the same one processor."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keelway.api.checks import ProfileSettings
from keelway.api.digests import content_digest
from keelway.api.jobs import Checks, KnownVersion, Location, ObserveOrder, ObserveReport, Source
from tests.perf.conftest import Note
from tests.perf.running import Measured, Runner, measure
from tests.unit.worker.builders import mount_manifest

FILES, FILE_BYTES = 40, 128 * 2**20
AT_MOST = 1.3
HASHLIB = "import hashlib, sys; [hashlib.file_digest(open(name, 'rb'), 'sha256') for name in sys.argv[1:]]"
"""Python's own, told beside the others: a processor's instructions for SHA are used by it, and not by all sha256sum."""


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """Different files of zeros, sparse: every program reads them from the page cache."""
    directory = tmp_path / "data"
    directory.mkdir()
    for number in range(FILES):
        with (directory / f"{number:03}.bin").open("wb") as out:
            out.write(number.to_bytes(8, "big"))
            out.truncate(FILE_BYTES)
    yield directory
    shutil.rmtree(directory)


def sums(directory: Path, output: Path, cpus: set[int]) -> Measured:
    """One command over all files."""
    return measure(["sha256sum", *map(str, sorted(directory.iterdir()))], output, cpus=cpus)


@pytest.mark.timeout(1800)
def test_the_content_digest_of_five_gibibytes(data: Path, runner: Runner, note: Note, tmp_path: Path) -> None:
    cpus = {min(os.sched_getaffinity(0))}
    # As little as possible is stored: a description is not what is measured here.
    checks = Checks(profile=ProfileSettings(max_bytes="1"))
    order = ObserveOrder(source=Source(location=Location(mount=str(data)), format="Files"), checks=checks)
    first = runner("observe", order)
    report = ObserveReport.model_validate_json(first.report)
    manifest = mount_manifest(tmp_path / "known", [base64.b64decode(part) for part in report.manifest])
    known = KnownVersion(digest=str(first.verdict["digest"]), listing="another", manifest=manifest)
    subprocess.run(
        ["touch", *data.iterdir()], check=True
    )  # so that every byte has to be read to tell that none changed

    before = sums(data, tmp_path / "sums", cpus)
    second = runner("observe", order.model_copy(update={"known": known}), cpus=cpus)
    after = sums(data, tmp_path / "sums", cpus)
    hashlib = measure([sys.executable, "-c", HASHLIB, *map(str, data.iterdir())], tmp_path / "hashlib", cpus=cpus)

    seconds = (before.seconds + after.seconds) / 2
    ratio = second.measured.seconds / seconds
    note(
        bytes=FILES * FILE_BYTES,
        seconds=round(second.measured.seconds, 2),
        sha256sum_seconds=round(seconds, 2),
        ratio=round(ratio, 2),
        hashlib_seconds=round(hashlib.seconds, 2),
        peak_mib=round(second.measured.peak_bytes / 2**20),
    )
    lines = [line.split("  ") for line in after.output.splitlines()]
    expected = content_digest((Path(path).name, FILE_BYTES, checksum) for checksum, path in lines)
    assert (second.verdict["outcome"], second.verdict["digest"]) == ("Unchanged", expected)
    assert ratio < AT_MOST
