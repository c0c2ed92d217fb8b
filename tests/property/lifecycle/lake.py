"""Buckets as the worker programs see them: what lies where, and what each program says of it."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from keelway.api.digests import canonical_json, digest, listing_digest, sha256, short
from keelway.api.findings import FileChanges
from keelway.api.jobs import (
    MANIFEST_PART_BYTES,
    REPORT_MARK,
    Checks,
    CollectOrder,
    CollectVerdict,
    Column,
    FailureReason,
    File,
    FileFormat,
    Identity,
    Location,
    ManifestOf,
    ObserveOrder,
    ObserveReport,
    ObserveVerdict,
    RecordOrder,
    SplitRows,
    SplitRule,
    StagedModel,
    StageInput,
    StageOrder,
    StageVerdict,
    SweepOrder,
    SweepVerdict,
)
from tests.property.lifecycle.curves import curve
from tests.property.lifecycle.judging import Findings, drift_of, profile_of, violations_of

Mounted: TypeAlias = Mapping[str, bytes]
"""Files that a container sees, by their absolute path."""
Said: TypeAlias = tuple[ObserveVerdict, str]
"""The verdict and the log."""

COLUMNS = (Column(name="age", type="bigint"), Column(name="churned", type="boolean", nullable=False))


@dataclass(frozen=True)
class Content:
    """What lies at one URI."""

    files: tuple[File, ...]
    rows: int
    columns: tuple[Column, ...] = COLUMNS
    ages: tuple[int, int] = (18, 90)
    """The smallest and the largest number in any column of numbers."""
    breaks: frozenset[str] = frozenset()
    """Names of rules that a row meets."""
    newest: str = "2026-01-01T00:00:00Z"

    @property
    def digest(self) -> str:
        """Digest of the listing."""
        return listing_digest((file.path, file.size, file.etag) for file in self.files)

    def identity(self, asked: Identity) -> str:
        """What `observe` names it by."""
        if asked == "Content":
            return f"content:sha256:{digest([[file.path, file.sha256] for file in self.files])}"
        return self.digest

    @property
    def manifest(self) -> bytes:
        """The list of files as a DatasetVersion keeps it."""
        lines = b"".join(canonical_json(file.to_json()) + b"\n" for file in self.files)
        return gzip.compress(lines, mtime=0)

    @property
    def findings(self) -> Findings:
        """What checks can find in it."""
        return Findings(self.rows, self.columns, self.ages, self.breaks)


def content(edition: str, *, rows: int = 100, files: int = 2, upload: str = "", **facts: Any) -> Content:
    """Files whose bytes are named by `edition`; the same ones uploaded in another way have other ETags."""
    made = (
        File(
            path=f"part-{n}.parquet", size=rows, etag=f"{edition}-{n}{upload}", sha256=sha256(f"{edition}-{n}".encode())
        )
        for n in range(files)
    )
    return Content(tuple(made), rows, **facts)


@dataclass
class Lake:
    """All buckets. A URI that is missing cannot be reached."""

    contents: dict[str, Content] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    """URI of each model that was kept, to its digest."""
    lost: Callable[[str], None] = lambda _uri: None
    """Hears of each model that is deleted, before it is."""
    editions: dict[str, Content] = field(default_factory=dict)
    """What was ever described, by its digest."""
    part_bytes: int = MANIFEST_PART_BYTES

    def observe(self, order: ObserveOrder, mounted: Mounted | None = None) -> Said:
        """What `observe` says. Without `mounted` it believes what the order tells of other versions."""
        location = order.source.location
        found, known = self.contents.get(place(location)), order.known
        if found is None:
            return _failed("SourceUnreachable", f"cannot reach {place(location)}")
        before = listed(known.manifest, mounted) if known and mounted is not None else []
        if isinstance(before, str):
            return _failed("InternalError", f"known version: {before}")
        name = found.identity(order.identity)
        if known and _answers(known.digest, order.identity) and _is_known(found, known.listing, before):
            unchanged = ObserveVerdict(
                outcome="Unchanged", digest=known.digest, listing=found.digest, newest=found.newest
            )
            return unchanged, ""
        named: FileFormat = "Parquet" if order.source.format == "Auto" else order.source.format
        return self._described(found, name, _Asked(named, order.checks, order.splits), mounted)

    def stage(self, order: StageOrder, mounted: Mounted) -> StageVerdict:
        """What `stage` says."""
        if order.model and (said := self._other_model(order.model)):
            return said
        for given in order.inputs:
            if said := self._refused(given, mounted):
                return said
        return StageVerdict(outcome="Staged", files=2, bytes=1, rows=1)

    def _other_model(self, wanted: StagedModel) -> StageVerdict | None:
        there = self.models.get(place(wanted.location).rstrip("/"))
        if there == wanted.digest:
            return None
        reason: FailureReason = "ArtifactDigestMismatch" if there else "ArtifactMissing"
        return StageVerdict(outcome="Failed", reason=reason, message="its files are not those that were recorded")

    def _refused(self, given: StageInput, mounted: Mounted) -> StageVerdict | None:
        files = listed(given.manifest, mounted)
        if isinstance(files, str):
            return StageVerdict(outcome="Failed", reason="InternalError", message=files)
        now = self.contents.get(place(given.source.location))
        there = {file.path: file for file in now.files} if now else {}
        gone = [file.path for file in files if not _same_bytes(file, there.get(file.path))]
        if not gone:
            return None
        return StageVerdict(outcome="Failed", reason="DatasetVersionGone", message=f"{len(gone)} files are others now")

    def record(self, staged: StageOrder, code: str, order: RecordOrder, mounted: Mounted | None = None) -> Said:
        """What `record` says when `code` has made a data set of what was staged, which lies in the lake then."""
        first = self.editions[staged.inputs[0].digest]
        made = derived(first, code, [given.digest for given in staged.inputs])
        self.contents[place(order.destination)] = made
        return self._described(
            made, made.identity("Content"), _Asked(order.format, order.checks, order.splits), mounted
        )

    def collect(self, staged: StageOrder, order: CollectOrder, *, noise: str = "") -> CollectVerdict:
        """What `collect` says after a training whose value the parameters and the data decide, and nothing but `noise`
        besides."""
        facts = [staged.parameters, [given.digest for given in staged.inputs], *([noise] if noise else [])]
        value = value_of(*facts)
        model = f"sha256:{digest(['model', *facts])}"
        self.models[f"{order.destination.uri.rstrip('/')}/{short(model)}"] = model
        return CollectVerdict(
            outcome="Collected",
            metrics={order.objective: value},
            digest=model,
            directory=short(model),
            files=2,
            bytes=4096,
            curve=curve(value) if order.follow else (),
        )

    def sweep(self, order: SweepOrder) -> SweepVerdict:
        """What `sweep` says; what it was not told to keep is gone then."""
        root = place(order.location).rstrip("/")
        found = {uri: uri.removeprefix(root).strip("/") for uri in self.models if f"{uri}/".startswith(f"{root}/")}
        gone = [uri for uri, path in found.items() if not _is_kept(path, order.keep)]
        for uri in gone:
            self.lost(uri)
            del self.models[uri]
        return SweepVerdict(outcome="Swept", files=2 * len(gone))

    def _described(self, found: Content, name: str, asked: _Asked, mounted: Mounted | None) -> Said:
        self.editions[name] = found
        try:
            report = self._report(found, asked, mounted)
        except FileNotFoundError as missing:
            return _failed("InternalError", str(missing))
        line = canonical_json(report.to_json()).decode()
        verdict = ObserveVerdict(
            outcome="Observed",
            digest=name,
            listing=found.digest,
            newest=found.newest,
            files=len(found.files),
            bytes=sum(file.size for file in found.files),
            rows=found.rows,
            report_sha256=sha256(line.encode()),
        )
        return verdict, f"reading\n{REPORT_MARK}{line}\n"

    def _report(self, found: Content, asked: _Asked, mounted: Mounted | None) -> ObserveReport:
        checks, findings = asked.checks, found.findings
        return ObserveReport(
            format=asked.format,
            columns=found.columns,
            splits=tuple(SplitRows(name=rule.name, rows=int(found.rows * rule.percent / 100)) for rule in asked.splits),
            manifest=tuple(base64.b64encode(part).decode() for part in self._parts(found.manifest)),
            manifest_sha256=sha256(found.manifest),
            profile=canonical_json(profile_of(findings).to_json()).decode(),
            violations=tuple(violations_of(findings, checks)),
            drift=drift_of(findings, checks, mounted) if mounted is not None else None,
            file_changes=_changes(found, checks, mounted),
        )

    def _parts(self, manifest: bytes) -> Iterator[bytes]:
        for start in range(0, len(manifest), self.part_bytes):
            yield manifest[start : start + self.part_bytes]


@dataclass(frozen=True)
class _Asked:
    """What is to be found out about data, by a look or after a derivation."""

    format: FileFormat
    checks: Checks
    splits: tuple[SplitRule, ...]


def value_of(*facts: object) -> float:
    """The value that a training reaches with these parameters on these data: any number from 0 to 1."""
    return int(digest(list(facts))[:6], 16) / 0xFFFFFF


def _is_kept(path: str, keep: Iterable[str]) -> bool:
    return any(f"{path}/".startswith(f"{kept.rstrip('/')}/") for kept in keep)


def place(location: Location) -> str:
    """Where this is in the lake."""
    return location.uri or location.mount


def derived(first: Content, code: str, inputs: Iterable[str]) -> Content:
    """What `code` makes of these inputs: as many rows with the same values as the first one has, in one file."""
    made = content(digest([code, *inputs])[:12], rows=first.rows, files=1)
    return replace(made, columns=first.columns, ages=first.ages, breaks=first.breaks)


def listed(manifest: ManifestOf, mounted: Mounted) -> list[File] | str:
    """The files that a mounted manifest lists, or what is wrong with it."""
    parts = [mounted[path] for path in sorted(mounted) if path.startswith(f"{manifest.directory.rstrip('/')}/")]
    if not parts:
        return "the list of files is not mounted"
    if sha256(b"".join(parts)) != manifest.sha256:
        return "the list of files is damaged"
    return [File.model_validate(json.loads(line)) for line in gzip.decompress(b"".join(parts)).splitlines()]


def _answers(digest: str, asked: Identity) -> bool:
    return asked == "Auto" or digest.startswith(f"{asked.lower()}:")


def _is_known(found: Content, listing: str, before: list[File]) -> bool:
    """The listing shows it, or the bytes do."""
    there = {file.path: file.sha256 for file in before}
    return found.digest == listing or there == {file.path: file.sha256 for file in found.files}


def _same_bytes(wanted: File, there: File | None) -> bool:
    return there is not None and (wanted.etag == there.etag or wanted.sha256 == there.sha256 != "")


def _changes(found: Content, checks: Checks, mounted: Mounted | None) -> FileChanges | None:
    if checks.baseline is None:
        return None
    before = listed(checks.baseline.manifest, mounted) if mounted is not None else []
    if isinstance(before, str):
        raise FileNotFoundError(f"baseline: {before}")
    old, new = ({file.path: file.etag for file in files} for files in (before, found.files))
    return FileChanges(
        added=len(new.keys() - old.keys()),
        removed=len(old.keys() - new.keys()),
        modified=sum(old[path] != new[path] for path in old.keys() & new.keys()),
    )


def _failed(reason: str, message: str) -> Said:
    return ObserveVerdict(outcome="Failed", reason=reason, message=message), ""
