"""What the worker's tests are made of: a bucket, files of data, orders."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import obstore
import pytest
from obstore.store import S3Store

from keelway.api.digests import sha256
from keelway.api.jobs import (
    REPORT_MARK,
    Baseline,
    File,
    KnownVersion,
    Location,
    ManifestOf,
    ObserveOrder,
    ObserveReport,
    ObserveVerdict,
    Source,
    StageInput,
)
from keelway.worker import observe
from keelway.worker.errors import WorkerError

ACCESS, SECRET = "keelway-test", "keelway-test-secret"
PEOPLE = "id,name,age,score,joined\n1,Ann,30,0.5,2024-01-02\n2,Bob,,1.5,2024-02-03\n3,Eve,50,2,2024-03-04\n"


@dataclass(frozen=True)
class Server:
    """A running S3 server; a directory below `root` is a bucket."""

    endpoint: str
    root: Path
    log: Path
    """What was asked of it, one line a request."""


@dataclass(frozen=True)
class Bucket:
    """One test's own bucket."""

    server: Server
    name: str
    secret_dir: Path

    @property
    def store(self) -> S3Store:
        return S3Store(
            self.name,
            endpoint=self.server.endpoint,
            region="us-east-1",
            access_key_id=ACCESS,
            secret_access_key=SECRET,
            client_options={"allow_http": True},
        )

    def put(self, path: str, data: str | bytes, *, parts_of: int = 0) -> None:
        """Upload an object, in parts of so many bytes where that is asked for: then it gets another kind of ETag."""
        content = data.encode() if isinstance(data, str) else data
        parts: dict[str, Any] = {"chunk_size": parts_of} if parts_of else {}
        obstore.put(self.store, path, content, use_multipart=bool(parts_of), **parts)

    def put_without_etag(self, path: str, data: str) -> None:
        """An object that somebody copied into the server's directory: the server has no ETag for it."""
        file = self.server.root / self.name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(data)

    def rot(self, path: str, data: bytes) -> None:
        """Other bytes under the same ETag and size, as from a bad disk."""
        file = self.server.root / self.name / path
        assert len(data) == file.stat().st_size
        with file.open("r+b") as out:
            out.write(data)

    @property
    def reads(self) -> list[str]:
        """The keys of the objects that were sent, in their order, one for each time."""
        line = re.compile(rf"^\S+ {self.name} .* s3_GetObject (.*) /{self.name}/\S* 20\d ", re.MULTILINE)
        return line.findall(self.server.log.read_text())

    def read(self, path: str) -> bytes:
        return bytes(obstore.get(self.store, path).bytes())

    def modified(self) -> dict[str, str]:
        return {meta["path"]: str(meta["last_modified"]) for meta in obstore.list(self.store).collect()}

    def location(self, prefix: str = "data/", **changes: str) -> Location:
        fields = {
            "uri": f"s3://{self.name}/{prefix}",
            "endpoint": self.server.endpoint,
            "secret_dir": str(self.secret_dir),
            "secret_name": "lake",
        }
        return Location(**{**fields, **changes})


@dataclass(frozen=True)
class Seen:
    """What `observe` answered."""

    verdict: ObserveVerdict
    report: ObserveReport | None

    @property
    def columns(self) -> dict[str, str]:
        assert self.report, self.verdict
        return {column.name: column.type for column in self.report.columns}

    @property
    def nullable(self) -> set[str]:
        assert self.report, self.verdict
        return {column.name for column in self.report.columns if column.nullable}

    @property
    def rows(self) -> dict[str, int]:
        assert self.report, self.verdict
        return {split.name: split.rows for split in self.report.splits}

    @property
    def files(self) -> dict[str, File]:
        """The manifest, by path."""
        packed = b"".join(self.parts)
        files = [File.model_validate_json(line) for line in gzip.decompress(packed).splitlines()]
        return {file.path: file for file in files}

    @property
    def parts(self) -> list[bytes]:
        assert self.report, self.verdict
        return [base64.b64decode(part) for part in self.report.manifest]

    def known(self, directory: Path) -> KnownVersion:
        """What the operator says of this version in the next order."""
        manifest = mount_manifest(directory / self.verdict.digest[-12:], self.parts)
        return KnownVersion(digest=self.verdict.digest, listing=self.verdict.listing, manifest=manifest)

    def baseline(self, directory: Path) -> Baseline:
        """The same, as what a new version is measured against."""
        return Baseline(version=1, rows=self.verdict.rows, manifest=self.known(directory).manifest)


def seen(verdict: ObserveVerdict, printed: str) -> Seen:
    """A verdict with the report that was printed for it."""
    lines = [line for line in printed.splitlines() if line.startswith(REPORT_MARK)]
    if not lines:
        return Seen(verdict, None)
    text = lines[0].removeprefix(REPORT_MARK)
    assert sha256(text.encode()) == verdict.report_sha256
    return Seen(verdict, ObserveReport.model_validate_json(text))


class Observer:
    """Runs `observe` on a location and reads what it prints."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, location: Location | Path, *, order: Mapping[str, Any] | None = None, **source: Any) -> Seen:
        if isinstance(location, Path):
            location = Location(mount=str(location))
        self._capsys.readouterr()
        verdict = observe.run(ObserveOrder(source=Source(location=location, **source), **(order or {})))
        return seen(verdict, self._capsys.readouterr().out)

    def refused(self, location: Location | Path, **given: Any) -> WorkerError:
        """The error that observing ends with; its message must say something and hold no secret."""
        with pytest.raises(WorkerError) as caught:
            self(location, **given)
        assert caught.value.message
        assert SECRET not in caught.value.message
        return caught.value


def stage_input(seen: Seen, location: Location | Path, directory: Path, **changes: Any) -> StageInput:
    """An order to stage what was observed, with its manifest written below `directory`."""
    assert seen.report
    if isinstance(location, Path):
        location = Location(mount=str(location))
    fields = {
        "name": "training",
        "source": Source(location=location),
        "format": seen.report.format,
        "digest": seen.verdict.digest,
        "manifest": mount_manifest(directory / "manifest", seen.parts),
        "columns": seen.report.columns,
        "target": str(directory / "target"),
    }
    return StageInput(**{**fields, **changes})


def mount_manifest(directory: Path, parts: Sequence[bytes]) -> ManifestOf:
    """The parts as the kubelet mounts them: links to a hidden directory that it can replace at once."""
    hidden = directory / "..2026_11_24"
    hidden.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(parts):
        (hidden / f"part-{number:03}").write_bytes(part)
        link = directory / f"part-{number:03}"
        link.unlink(missing_ok=True)
        link.symlink_to(Path("..data") / link.name)
    (directory / "..data").unlink(missing_ok=True)
    (directory / "..data").symlink_to(hidden.name)
    return ManifestOf(directory=str(directory), sha256=sha256(b"".join(parts)))


def write_parquet(path: Path, select: str) -> Path:
    """A Parquet file with the rows of a query."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as database:
        database.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    return path


def write_csv(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    """A CSV file; None becomes an empty field."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join("" if cell is None else str(cell) for cell in row) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def read_parquet(pattern: Path, columns: str = "*") -> list[tuple[Any, ...]]:
    """All rows of the Parquet files that a pattern names."""
    with duckdb.connect() as database:
        return database.execute(f"SELECT {columns} FROM read_parquet('{pattern}')").fetchall()


def write_secret(directory: Path, **values: str) -> Path:
    directory.mkdir(exist_ok=True)
    for name, value in values.items():
        (directory / name).write_text(value)
    return directory


def write_metrics(path: Path, *lines: object) -> Path:
    """A metrics file with one JSON object a line; strings are written as they are."""
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


@contextmanager
def another_user() -> Iterator[None]:
    """Without root's right to read everything, as in a Job's container."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


class ListingServer:
    """An object store that says what a test wants it to say, for answers that a real one never gives."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.answer = (500, b"")
        self.headers: Mapping[str, str] = {}

    def list_keys(self, keys: Mapping[str, int]) -> None:
        contents = "".join(
            f"<Contents><Key>{key}</Key><Size>{size}</Size><ETag>e</ETag>"
            "<LastModified>2024-01-02T03:04:05.000Z</LastModified></Contents>"
            for key, size in keys.items()
        )
        self.answer = (200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>".encode())
