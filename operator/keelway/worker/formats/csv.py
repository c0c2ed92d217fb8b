"""CSV files, plain or gzip.

Only what could be read in two ways is settled here; the rest is DuckDB's reader. The delimiter is the one of
`, ; tab |` that the first line has most of. Quotes are `"`, doubled inside. Types are sniffed from all lines, so they
do not hang on a sample. Dates and timestamps are ISO 8601; others stay text, since 01/02 could be either.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from itertools import groupby

import duckdb

from keelway.api.jobs import Column
from keelway.worker.errors import WorkerError
from keelway.worker.formats import FileSchema, StagedFile
from keelway.worker.formats.gzipped import open_text, refuse_bomb
from keelway.worker.sql import identifier, literal
from keelway.worker.tables import Database, query

DELIMITERS = ",;\t|"
LONGEST_HEADER = 1024 * 1024
LONGEST_LINE = 2_000_000
DIALECT = f"""quote = '"', escape = '"', comment = '', skip = 0, strict_mode = true, max_line_size = {LONGEST_LINE}"""
PROBLEMS = {
    "TOO MANY COLUMNS": "has more fields than the first line",
    "MISSING COLUMNS": "has fewer fields than the first line",
    "UNQUOTED VALUE": "has a quote that is not closed, or not doubled",
    "INVALID ENCODING": "is not UTF-8",
    "LINE SIZE OVER MAXIMUM": "is longer than 2 MB",
}


class CSV:
    """Separated values."""

    def describe(self, database: Database, file: StagedFile) -> FileSchema:
        """Columns and layout: delimiter, and whether the first line is a header."""
        refuse_bomb(file)
        first = _first_line(file)
        delimiter = "\t" if ".tsv" in file.path.lower() else max(DELIMITERS, key=_unquoted(first).count)
        names = _fields(first, delimiter)
        sniffed = _sniff(database, file, delimiter)
        if sniffed is None or len(sniffed[1]) != len(names):
            raise _unreadable(database, file, delimiter, names)
        header, columns = sniffed
        return FileSchema(file, columns, (delimiter, str(header).lower()))

    def scan(self, files: Sequence[FileSchema], types: Mapping[str, str], partitions: str, *, strict: bool) -> str:
        """One scan for each set of files that have the same columns in the same order."""
        return " UNION ALL BY NAME ".join(
            _scan(list(group), types, partitions, strict=strict)
            for _, group in groupby(sorted(files, key=_shape), key=_shape)
        )

    def broken(self, database: Database, files: Sequence[FileSchema]) -> str:
        """The first line that was left out."""
        found = query(
            database,
            "SELECT file_path, line, error_type, column_name "
            "FROM reject_errors JOIN reject_scans USING (scan_id, file_id)",
        )
        names = {str(schema.file.local): schema.file.path for schema in files}
        places = sorted((names[path], line, kind, column or "") for path, line, kind, column in found)
        return _in_words(*places[0]) if places else ""

    def unreadable(self, database: Database, schema: FileSchema) -> WorkerError:
        """Names the line, when there is one that breaks the file."""
        return _unreadable(database, schema.file, schema.layout[0], [column.name for column in schema.columns])


def _shape(schema: FileSchema) -> tuple[tuple[str, ...], list[str]]:
    return schema.layout, [column.name for column in schema.columns]


def _in_words(path: str, line: int, kind: str, column: str) -> str:
    problem = PROBLEMS.get(kind, f"has a value in column {column!r} that is not of the column's type")
    return f"{path} line {line} {problem}"


def _scan(files: list[FileSchema], types: Mapping[str, str], partitions: str, *, strict: bool) -> str:
    delimiter, header = files[0].layout
    columns = ", ".join(
        f"{literal(column.name)}: {literal(types.get(column.name, column.type))}" for column in files[0].columns
    )
    paths = ", ".join(literal(str(schema.file.local)) for schema in files)
    return (
        f"SELECT * FROM read_csv([{paths}], auto_detect = false, columns = {{{columns}}}, header = {header}, "
        f"delim = {literal(delimiter)}, {DIALECT}, {partitions}{'' if strict else ', store_rejects = true'})"
    )


def _sniff(database: Database, file: StagedFile, delimiter: str) -> tuple[bool, tuple[Column, ...]] | None:
    """Whether there is a header, and the columns; None when DuckDB sees no regular file with this delimiter."""
    sql = (
        f"SELECT HasHeader, Columns, TimestampFormat FROM sniff_csv({literal(str(file.local))}, sample_size = -1, "
        f"delim = {literal(delimiter)}, dateformat = '%Y-%m-%d', {DIALECT})"
    )
    try:
        [(header, columns, timestamps)] = query(database, sql)
    except duckdb.Error:
        return None
    ambiguous = {"timestamp"} if timestamps and not timestamps.startswith("%Y-%m-%d") else set()
    kinds = ((column["name"], column["type"].lower()) for column in columns)
    return header, tuple(
        Column(name=name, type="varchar" if kind in ambiguous else kind, nullable=False) for name, kind in kinds
    )


def _unreadable(database: Database, file: StagedFile, delimiter: str, names: list[str]) -> WorkerError:
    """Reads the file again as text, strictly by its first line, to say which line breaks it."""
    columns = tuple(Column(name=f"{index}", type="varchar") for index in range(len(names)))
    schema = FileSchema(file, columns, (delimiter, "true"))
    sql = CSV().scan([schema], {}, "hive_partitioning = false", strict=False)
    try:
        query(database, f"SELECT {', '.join(f'count({identifier(column.name)})' for column in columns)} FROM ({sql})")
        where = CSV().broken(database, [schema])
    except duckdb.Error:
        where = ""
    where = _too_long(file) or where or f"{file.path} is not a readable CSV file"
    return WorkerError("SourceInvalid", f"{where}: mend it, or exclude the file")


def _too_long(file: StagedFile) -> str:
    """The first line that is too long: DuckDB passes over one that fills its buffers without a word."""
    with open_text(file) as source:
        for number, line in enumerate(iter(lambda: source.readline(LONGEST_LINE), b""), start=1):
            if len(line) == LONGEST_LINE:
                return _in_words(file.path, number, "LINE SIZE OVER MAXIMUM", "")
    return ""


def _first_line(file: StagedFile) -> str:
    """The first line's text; a quoted field may hold line ends."""
    with open_text(file) as source:
        text = source.read(LONGEST_HEADER).decode("utf-8-sig", errors="replace")
    match = re.search(r'(?:"[^"]*"|[^"\r\n])+', text)
    return match[0] if match else ""


def _fields(line: str, delimiter: str) -> list[str]:
    """The fields of a line; none when one of them is longer than 128 KiB."""
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _unquoted(line: str) -> str:
    return re.sub(r'"[^"]*"', "", line)
