"""Puts together what a look found: the description of the data, and the list of its files."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keelway.api.digests import canonical_json, sha256
from keelway.api.findings import FileChanges
from keelway.api.jobs import File, ObserveOrder, ObserveReport
from keelway.worker import identity, manifest
from keelway.worker.reading import Reading, recorded

if TYPE_CHECKING:
    from keelway.worker.describing import Description


def report(
    order: ObserveOrder, reading: Reading, files: Sequence[File], *, kept: Sequence[File], revision: str
) -> tuple[ObserveReport, int]:
    """The report, and the number of rows; `kept` are the files as the manifest lists them. Raises WorkerError."""
    parts = manifest.pack(kept)  # before the description, which takes longer
    found = _describe(order, reading)
    answer = ObserveReport(
        format=reading.format,
        columns=found.columns,
        splits=found.splits,
        manifest=tuple(base64.b64encode(part).decode() for part in parts),
        manifest_sha256=sha256(b"".join(parts)),
        revision=revision,
        profile=canonical_json(found.profile.to_json()).decode(),
        coverage=reading.coverage,
        violations=found.violations,
        drift=found.drift,
        file_changes=_file_changes(order, files),
    )
    return answer, found.rows


def _describe(order: ObserveOrder, reading: Reading) -> Description:
    from keelway.worker.describing import describe  # DuckDB takes a while to load, and most looks find nothing new

    return describe(
        reading.staged,
        format_name=reading.format,
        rules=order.splits,
        key=order.split_key,
        checks=order.checks,
        coverage=reading.coverage,
        memory_limit=order.memory_limit,
        scratch=reading.scratch,
    )


def _file_changes(order: ObserveOrder, files: Sequence[File]) -> FileChanges | None:
    """Against the baseline; None without one, or when its list of files is lost."""
    before = recorded(order.checks.baseline.manifest) if order.checks.baseline else []
    return identity.changes(files, before) if before else None
