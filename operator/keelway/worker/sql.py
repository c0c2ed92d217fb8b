"""How SQL writes names, texts and values; apart from DuckDB, so that it costs nothing to load."""

from __future__ import annotations

from keelway.api.jobs import Column

ROW_GROUP_CELLS = 4 * 1024 * 1024
"""A row group is held in memory whole, so the more columns, the fewer rows."""
ROW_GROUP_ROWS = (2048, 122_880)


def literal(text: str) -> str:
    """A string as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A column's name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def value_text(column: Column) -> str:
    """SQL of a value's text, which stays when the column widens: 1.0 is `1`, a timestamp at midnight its date."""
    name = identifier(column.name)
    text = f"CAST({name} AS VARCHAR)"
    if column.type in ("double", "float"):
        whole = f"{name} = trunc({name}) AND abs({name}) < 1e18"
        return f"CASE WHEN {whole} THEN CAST(CAST({name} AS BIGINT) AS VARCHAR) ELSE {text} END"
    if column.type.startswith("decimal"):
        return rf"regexp_replace(regexp_replace({text}, '(\.\d*?)0+$', '\1'), '\.$', '')"
    if column.type.startswith("timestamp"):
        return f"regexp_replace({text}, ' 00:00:00(\\+00)?$', '')"
    return text


def parquet_options(columns: int) -> str:
    """How to write a table with so many columns."""
    fewest, most = ROW_GROUP_ROWS
    rows = max(fewest, min(most, ROW_GROUP_CELLS // columns))
    return f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {rows}"
