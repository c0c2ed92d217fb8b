"""JSON Lines: one object a line, plain or gzip.

Types come from all lines. Objects inside become STRUCT, what has several types in several lines JSON. A text is a date
or a timestamp when all texts of its column are one in ISO 8601; others stay text, since 01/02 could be either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from keelway.api.columns import folded
from keelway.api.jobs import Column
from keelway.worker.errors import WorkerError
from keelway.worker.formats import MOST_COLUMNS, FileSchema, StagedFile
from keelway.worker.formats.gzipped import refuse_bomb
from keelway.worker.formats.json_trouble import LONGEST_LINE, broken_line
from keelway.worker.formats.naming import type_name
from keelway.worker.sql import identifier, literal
from keelway.worker.tables import Database, query

LINES = f"format = 'newline_delimited', maximum_object_size = {LONGEST_LINE}"
# No text looks like these formats of dates and times: DuckDB's own guess takes 13-02-24 for a day in 2013.
DETECTION = (
    "records = 'true', sample_size = -1, maximum_depth = -1, map_inference_threshold = -1, "
    "field_appearance_threshold = 0, convert_strings_to_integers = false, dateformat = '-', timestampformat = '-'"
)
DAY = r"\d{4}-\d{2}-\d{2}"
MOMENT = DAY + r"[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?"
TIMES = {
    "date": DAY,
    "timestamp": MOMENT,
    "timestamp with time zone": MOMENT + r"(Z|[+-]\d{2}(:?\d{2})?)",
}
PEEK_ROWS = 1000


class JSONLines:
    """Objects, one a line."""

    def describe(self, database: Database, file: StagedFile) -> FileSchema:
        """Columns from all lines; names that differ by case alone are refused, since SQL does not tell them apart."""
        refuse_bomb(file)
        try:
            _refuse_keys(file, _keys(database, file))
            return FileSchema(file, _with_times(database, file, _columns(database, file)))
        except duckdb.Error as error:
            raise broken_line(file) from error

    def scan(self, files: Sequence[FileSchema], types: Mapping[str, str], partitions: str, *, strict: bool) -> str:
        """One scan of all files. Broken lines do not come so far: to describe a file is to read all of it."""
        del strict
        _refuse_several_spellings(files)
        columns = {column.name: types.get(column.name, column.type) for schema in files for column in schema.columns}
        return _read([schema.file for schema in files], f"{_typed(columns)}, {partitions}")

    def broken(self, database: Database, files: Sequence[FileSchema]) -> str:
        """JSON Lines notes nothing."""
        del database, files
        return ""

    def unreadable(self, database: Database, schema: FileSchema) -> WorkerError:
        """Names the line."""
        del database
        return broken_line(schema.file)


def _read(files: Sequence[StagedFile], options: str) -> str:
    paths = ", ".join(literal(str(file.local)) for file in files)
    return f"SELECT * FROM read_json([{paths}], {LINES}, {options})"


def _typed(types: Mapping[str, str]) -> str:
    return f"columns = {{{', '.join(f'{literal(name)}: {literal(kind)}' for name, kind in types.items())}}}"


def _keys(database: Database, file: StagedFile) -> list[str]:
    """Every key of every line. DuckDB's own columns do not say: it calls the second of `a` and `A` `A_1`."""
    objects = f"read_json_objects({literal(str(file.local))}, {LINES})"
    sql = f"SELECT DISTINCT unnest(json_keys(json)) AS key FROM {objects} ORDER BY key LIMIT {MOST_COLUMNS + 1}"
    return [key for (key,) in query(database, sql)]


def _refuse_keys(file: StagedFile, keys: Sequence[str]) -> None:
    """Too many, which detection would take hours for, or two that are one to SQL."""
    if len(keys) > MOST_COLUMNS:
        raise WorkerError(
            "SourceInvalid",
            f"{file.path} has more than {MOST_COLUMNS} different keys: put what varies into one object or list",
        )
    seen: dict[str, str] = {}
    for key in keys:
        if seen.setdefault(folded(key), key) != key:
            raise _differ_by_case(seen[folded(key)], file.path, key, file.path)


def _columns(database: Database, file: StagedFile) -> tuple[Column, ...]:
    described = query(database, f"DESCRIBE {_read([file], f'{DETECTION}, hive_partitioning = false')}")
    return tuple(Column(name=name, type=_recorded(kind), nullable=False) for name, kind, *_ in described)


def _recorded(described: str) -> str:
    """A column of which no line has a value is an empty text, which any other file overrules."""
    return "varchar" if described == '"NULL"' else type_name(described)


def _refuse_several_spellings(files: Sequence[FileSchema]) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for schema in files:
        for column in schema.columns:
            name, path = seen.setdefault(folded(column.name), (column.name, schema.file.path))
            if name != column.name:
                raise _differ_by_case(name, path, column.name, schema.file.path)


def _differ_by_case(one: str, path: str, other: str, other_path: str) -> WorkerError:
    return WorkerError(
        "SchemaMismatch",
        f"{one!r} in {path} and {other!r} in {other_path} differ by case alone: give them one name, or two",
    )


def _with_times(database: Database, file: StagedFile, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """The columns, with those texts as dates and timestamps that are. Most fall out at a look at the first rows."""
    texts = [column.name for column in columns if column.type == "varchar"]
    likely = _times(database, file, texts, f"LIMIT {PEEK_ROWS}")
    kinds = _times(database, file, list(likely), "")
    return tuple(column.model_copy(update={"type": kinds.get(column.name, column.type)}) for column in columns)


def _times(database: Database, file: StagedFile, texts: Sequence[str], limit: str) -> dict[str, str]:
    """The type of each column whose texts are all dates, or all timestamps, that exist."""
    if not texts:
        return {}
    rows = f"{_read([file], _typed(dict.fromkeys(texts, 'varchar')) + ', hive_partitioning = false')} {limit}"
    wanted = [
        f"bool_and(regexp_full_match({cell}, {literal(pattern)}) AND TRY_CAST({cell} AS {kind}) IS NOT NULL) "
        f"FILTER ({cell} IS NOT NULL)"
        for cell in map(identifier, texts)
        for kind, pattern in TIMES.items()
    ]
    [answers] = query(database, f"SELECT {', '.join(wanted)} FROM ({rows})")
    fitting = zip(((name, kind) for name in texts for kind in TIMES), answers, strict=True)
    return {name: kind for (name, kind), fits in fitting if fits}
