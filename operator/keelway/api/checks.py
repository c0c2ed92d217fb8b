"""What a team promises of its data: columns, expectations, how far distributions may move. Part of a Dataset's spec.

The same values go into the order of the Job that looks at the data, so what was asked is what is checked.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from keelway.api.base import Duration, LabelName, Model, ShortText, cel, rules

ColumnName = Annotated[str, Field(min_length=1, max_length=256)]
Severity = Literal["Fail", "Warn"]
"""Fail makes a version Invalid; Warn is said and lets it pass."""
Count = Annotated[int, Field(ge=0)]
Percent = Annotated[float, Field(ge=0, le=100)]


def _keyed_by(name: str) -> dict[str, Any]:
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [name]}


class DeclaredColumn(Model):
    """A column that the data must have."""

    name: ColumnName
    type: Annotated[str, Field(min_length=1, max_length=256)]
    """DuckDB's name of a type, or a usual other name of it: bigint or int64, double or float64, varchar or string."""
    nullable: bool = True


class SchemaSettings(Model):
    """Which changes of the columns are let through."""

    policy: Literal["Infer", "Additive", "Strict"] = "Additive"
    """Infer takes any columns. Additive takes new ones and wider types. Strict takes the declared columns alone."""
    columns: Annotated[tuple[DeclaredColumn, ...], Field(max_length=500, json_schema_extra=_keyed_by("name"))] = ()
    """What must be there; without any, what the last good version had."""


class RowsExpectation(Model):
    """How many rows there must be."""

    min: Count | None = None
    max: Count | None = None
    max_drop_percent: Percent | None = None
    """At most this much less than in the last good version."""
    severity: Severity = "Fail"


class ColumnExpectation(Model):
    """What must hold of every value of a column; NULL is judged by maxNullPercent alone."""

    name: ColumnName
    min: float | None = None
    max: float | None = None
    max_null_percent: Percent | None = None
    unique: bool = False
    allowed: Annotated[tuple[ShortText, ...], Field(max_length=256)] = ()
    """The only texts that may occur; numbers are written as in the data."""
    pattern: Annotated[str, Field(max_length=1024)] = ""
    """RE2 that the whole text of a value must match."""
    severity: Severity = "Fail"


class Rule(Model):
    """A condition that no row may meet."""

    name: LabelName
    violation: Annotated[str, Field(min_length=1, max_length=4096)]
    """A condition in DuckDB's SQL that is true of a row that is wrong: `signup > now()`, `"end" < "begin"`."""
    severity: Severity = "Fail"
    max_violations: Count = 0


class Freshness(Model):
    """How old the newest file may be."""

    max_age: Duration


class ImagesExpectation(Model):
    """What must hold of a directory of images, one sub-directory a class."""

    formats: Annotated[tuple[LabelName, ...], Field(max_length=16)] = ()
    """png, jpeg, gif, bmp, tiff, webp; none means any of them."""
    min_width: Count = 0
    min_height: Count = 0
    max_corrupt_percent: Percent = 0
    min_per_class: Count = 0
    severity: Severity = "Fail"


class Expectations(Model):
    """What must hold of a version for consumers to get it."""

    rows: RowsExpectation = RowsExpectation()
    columns: Annotated[tuple[ColumnExpectation, ...], Field(max_length=200, json_schema_extra=_keyed_by("name"))] = ()
    rules: Annotated[tuple[Rule, ...], Field(max_length=50, json_schema_extra=_keyed_by("name"))] = ()
    freshness: Freshness | None = None
    images: ImagesExpectation | None = None


class DriftSettings(Model):
    """How far the distribution of a column may move."""

    compare_to: Annotated[str, Field(max_length=256)] = "Previous"
    """`Previous` (the last good version), or a version's number."""
    statistic: Literal["PSI", "JensenShannon", "KolmogorovSmirnov"] = "PSI"
    warn: Annotated[float, Field(ge=0)] = 0.1
    fail: Annotated[float, Field(ge=0)] = 0.25
    ignore: Annotated[tuple[ColumnName, ...], Field(max_length=500)] = ()
    """Columns that move by their nature: keys, dates."""
    on_fail: Literal["Block", "Warn"] = "Warn"
    """Block makes a version Invalid whose drift reaches `fail`."""


DRIFT_RULES = rules(cel("self.warn <= self.fail", "drift.warn must not be larger than drift.fail"))


class ProfileSettings(Model):
    """How much is read and kept for the profile."""

    max_bytes: Annotated[str, Field(max_length=32)] = "10Gi"
    """Beyond this a subset of the files is read, the same one each time, and `coverage` says how much it is."""
    top_k: Annotated[int, Field(ge=0, le=100)] = 20
    """How many of a column's most frequent values are kept."""


class SampleSettings(Model):
    """Rows to keep with the profile. Data can be personal: nothing is kept unless rows and columns are named."""

    rows: Annotated[int, Field(ge=0, le=50)] = 0
    columns: Annotated[tuple[ColumnName, ...], Field(max_length=100)] = ()
