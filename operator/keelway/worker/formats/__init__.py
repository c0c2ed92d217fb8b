"""Formats of data files, one module each.

A new format of rows is a module with a Format, its suffixes here, and its line in `dataset.READERS`. This module itself
stays light: choosing files must not wait for DuckDB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from keelway.api.jobs import Column, FileFormat

if TYPE_CHECKING:
    from keelway.worker.errors import WorkerError
    from keelway.worker.tables import Database

SUFFIXES: Mapping[FileFormat, tuple[str, ...]] = {
    "CSV": (".csv", ".tsv", ".csv.gz", ".tsv.gz"),
    "Parquet": (".parquet", ".pq"),
    "JSONLines": (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz"),
    "Images": (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"),
}
"""What tells a format by itself; `Files`, and `.json` as JSONLines, have to be asked for."""
ENDINGS: Mapping[FileFormat, str] = {"CSV": ".csv", "Parquet": ".parquet", "JSONLines": ".jsonl"}
"""By which DuckDB knows a format; formats of rows alone."""

MOST_COLUMNS = 5000
"""As many as 512 MiB are enough for, with a profile of each; half a minute of work."""


@dataclass(frozen=True)
class StagedFile:
    """A data file on local disk."""

    path: str
    """Relative to the source's location; what messages call it."""
    local: Path


@dataclass(frozen=True)
class FileSchema:
    """One file's own columns, and the layout that its format found (a delimiter, whether there is a header)."""

    file: StagedFile
    columns: tuple[Column, ...]
    layout: tuple[str, ...] = ()


class Format(Protocol):
    """How to read files of one format with DuckDB."""

    def describe(self, database: Database, file: StagedFile) -> FileSchema:
        """Columns of one file. Raises WorkerError SourceInvalid that names the file and where it is broken."""

    def scan(self, files: Sequence[FileSchema], types: Mapping[str, str], partitions: str, *, strict: bool) -> str:
        """SQL that selects all rows of the files by column name, those of one file in its order.

        `types` says which type to read a column as, for formats that do not carry types. `partitions` holds the options
        of the scan that make columns of `key=value` directories. Unless `strict`, lines that do not read are left out
        and noted, for `broken`, by formats that can.
        """

    def broken(self, database: Database, files: Sequence[FileSchema]) -> str:
        """What the last scan that was not strict noted: the first broken place, in words; empty when there is none."""

    def unreadable(self, database: Database, schema: FileSchema) -> WorkerError:
        """The failure of a file that was described and yet cannot be read to its end: where it is broken."""


def suffix(path: str) -> str:
    """A path's suffix as people say it: `.csv.gz`, `.parquet`, empty when it has none."""
    parts = Path(path.lower()).suffixes
    return "".join(parts[-2:]) if parts[-1:] == [".gz"] else "".join(parts[-1:])


def local_name(path: str, format_name: FileFormat, number: int) -> str:
    """What to call a file on local disk: nothing of its own name, which may hold what DuckDB takes for a wildcard."""
    ending = ENDINGS.get(format_name, "")
    packed = ".gz" if ending and format_name != "Parquet" and path.lower().endswith(".gz") else ""
    return f"{number:06}{ending}{packed}"
