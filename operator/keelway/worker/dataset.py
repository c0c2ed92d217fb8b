"""Many files as one table: every column once, with one type that all files agree on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import duckdb

from keelway.api.columns import folded
from keelway.api.jobs import Column, FileFormat
from keelway.worker import partitions
from keelway.worker.errors import WorkerError
from keelway.worker.formats import MOST_COLUMNS, FileSchema, Format, StagedFile
from keelway.worker.formats.csv import CSV
from keelway.worker.formats.json_lines import JSONLines
from keelway.worker.formats.naming import type_name
from keelway.worker.formats.parquet import Parquet
from keelway.worker.sql import identifier
from keelway.worker.tables import Database, query

READERS: Mapping[FileFormat, Format] = {"CSV": CSV(), "Parquet": Parquet(), "JSONLines": JSONLines()}

LONGEST_NAME = 256
"""As in the API's ColumnName."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A data set's files and the columns they have together."""

    format: Format
    files: tuple[FileSchema, ...]
    partitions: tuple[Column, ...]
    columns: tuple[Column, ...]

    def select(self, *, strict: bool) -> str:
        """SQL of all rows; `strict` as in Format.scan."""
        return f"SELECT {', '.join(map(_cell, self.columns))} FROM ({self._scan(self.files, strict=strict)})"

    def rows_of(self, file: FileSchema, *, strict: bool) -> str:
        """SQL of the rows of one of the files, with all columns of the table and `row_column`: 1, 2, 3 … (BIGINT).

        The numbers stream past: numbering needs no memory, and one thread reads the file in its order.
        """
        own = {folded(column.name) for column in (*file.columns, *self.partitions)}
        cells = [_cell(column, is_there=folded(column.name) in own) for column in self.columns]
        number = f"row_number() OVER () AS {identifier(self.row_column)}"
        return f"SELECT {', '.join(cells)}, {number} FROM ({self._scan([file], strict=strict)})"

    @property
    def row_column(self) -> str:
        """What `rows_of` calls the number of a row."""
        return self.free_name("keelway_row")

    def free_name(self, name: str) -> str:
        """This name, or one that begins with it, which no column has."""
        taken = {folded(column.name) for column in self.columns}
        return next(free for free in (name + "_" * length for length in range(len(taken) + 1)) if free not in taken)

    def _scan(self, files: Sequence[FileSchema], *, strict: bool) -> str:
        types = {folded(column.name): column.type for column in self.columns}
        named = {
            column.name: types[folded(column.name)]
            for schema in files
            for column in schema.columns
            if folded(column.name) in types
        }
        return self.format.scan(files, named, partitions.options(self.partitions), strict=strict)


def _cell(column: Column, *, is_there: bool = True) -> str:
    name = identifier(column.name)
    return f"CAST({name if is_there else 'NULL'} AS {column.type}) AS {name}"


def open_table(
    database: Database, files: Sequence[StagedFile], format_name: FileFormat, recorded: Sequence[Column] = ()
) -> Table:
    """Describe each file and unite their columns, or take the `recorded` ones, which may be those of some files alone.

    Raises WorkerError SourceInvalid or SchemaMismatch.
    """
    reader = READERS[format_name]
    schemas = tuple(reader.describe(database, file) for file in files)
    from_directories = partitions.columns([file.path for file in files])
    union = _Union(database, reader, schemas)
    if recorded:
        union.refuse_other_types(recorded)
    columns = tuple(recorded) or union.columns(from_directories)
    _refuse_beyond_records(columns)
    return Table(format=reader, files=schemas, partitions=from_directories, columns=columns)


def _refuse_beyond_records(columns: Sequence[Column]) -> None:
    if len(columns) > MOST_COLUMNS:
        raise WorkerError(
            "SourceInvalid",
            f"the files have {len(columns)} columns, at most {MOST_COLUMNS} are possible: put some of them into lists",
        )
    longest = max((len(column.name) for column in columns), default=0)
    if longest > LONGEST_NAME:
        raise WorkerError(
            "SourceInvalid",
            f"the name of a column has {longest} characters, at most {LONGEST_NAME} are possible: is the header there?",
        )


@dataclass
class _Agreed:
    """What the files seen so far say of one column."""

    name: str
    type: str
    nullable: bool
    holders: list[FileSchema] = field(default_factory=list)


@dataclass
class _Union:
    """Unites columns by name.

    Types may widen (integer to double). A file where a column has no value has no say in its type.
    """

    database: Database
    format: Format
    schemas: tuple[FileSchema, ...]

    def columns(self, from_directories: Sequence[Column]) -> tuple[Column, ...]:
        """The columns in the order in which they appear, those of directories last."""
        agreed: dict[str, _Agreed] = {}
        for schema in self.schemas:
            for column in schema.columns:
                self._take(agreed, schema, column)
        for column in from_directories:
            agreed[folded(column.name)] = _Agreed(column.name, column.type, column.nullable)
        return tuple(Column(name=one.name, type=one.type, nullable=one.nullable) for one in agreed.values())

    def refuse_other_types(self, recorded: Sequence[Column]) -> None:
        """Raise WorkerError SchemaMismatch for a file whose values a recorded type does not hold as they are."""
        types = {folded(column.name): column.type for column in recorded}
        for schema in self.schemas:
            for column in schema.columns:
                wanted = types.get(folded(column.name), column.type)
                fits = column.type == wanted or self._wider(wanted, column.type) == wanted
                if not fits and self._has_values(schema, column.name):
                    raise WorkerError(
                        "SchemaMismatch",
                        f"column {column.name!r} is {column.type} in {schema.file.path} but was recorded as {wanted}, "
                        "since this file was not read for the record: raise spec.profile.maxBytes",
                    )

    def _take(self, agreed: dict[str, _Agreed], schema: FileSchema, column: Column) -> None:
        known = agreed.setdefault(folded(column.name), _Agreed(column.name, column.type, column.nullable))
        known.nullable |= column.nullable
        if column.type != known.type and not self._settle(known, schema, column):
            return
        known.holders.append(schema)

    def _settle(self, known: _Agreed, schema: FileSchema, column: Column) -> bool:
        """Find the type that both agree on; False when this file has no say."""
        wider = self._wider(known.type, column.type)
        if wider:
            known.type = wider
        elif not self._has_values(schema, column.name):
            return False
        elif not any(self._has_values(holder, column.name) for holder in known.holders):
            known.type, known.holders = column.type, []
        else:
            raise _mismatch(known, schema, column)
        return True

    def _wider(self, one: str, other: str) -> str:
        """The type that holds the values of both; empty when there is none (`true` is no number, a number no text)."""
        if {one, other} & {"boolean"}:
            return ""
        try:
            [(both,)] = query(self.database, f"SELECT typeof([NULL::{one}, NULL::{other}])")
        except duckdb.BinderException:
            return ""
        return type_name(str(both).removesuffix("[]"))

    def _has_values(self, schema: FileSchema, name: str) -> bool:
        scan = self.format.scan([schema], {}, partitions.options(()), strict=True)
        return bool(query(self.database, f"SELECT 1 FROM ({scan}) WHERE {identifier(name)} IS NOT NULL LIMIT 1"))


def _mismatch(known: _Agreed, schema: FileSchema, column: Column) -> WorkerError:
    return WorkerError(
        "SchemaMismatch",
        f"column {column.name!r} is {column.type} in {schema.file.path} but {known.type} in "
        f"{known.holders[0].file.path}: write it with one type, or exclude one of the files",
    )


def broken_file(database: Database, table: Table) -> WorkerError:
    """The failure of a table that cannot be read to its end: reads file by file to name the one."""
    for schema in table.files:
        scan = table.format.scan([schema], {}, partitions.options(()), strict=True)
        cells = ", ".join(identifier(column.name) for column in schema.columns)
        try:
            query(database, f"SELECT count(*) FILTER (hash({cells}) = 0) FROM ({scan})")
        except duckdb.Error:
            return table.format.unreadable(database, schema)
    return WorkerError("SourceInvalid", "the files can be read one by one, but not as one table")
