"""How one Dataset is made of others."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from keelway.api.base import Model, ObjectName, ShortText, Uri, cel, pattern, rules
from keelway.api.pod_template import PodTemplate
from keelway.api.resource import WRITABLE_URI, Access

InputName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=40),
    pattern(
        "^[a-z_][a-z0-9_]*$",
        "must begin with a lower-case letter and consist of lower-case letters, digits and '_', for example raw",
    ),
]


class DeriveInput(Model):
    """A Dataset that is read, under the name that SQL or the Job knows it by."""

    name: InputName
    dataset: ObjectName
    version: ShortText = ""
    """A number or a digest; empty follows what consumers get."""


class DeriveJob(Model):
    """Any image: it reads `KEELWAY_DATA_<NAME>` and writes files to `KEELWAY_OUTPUT_DIR`."""

    template: PodTemplate
    """The first container is the one that derives."""


class DeriveOutput(Model):
    """Where the derived files go: each derivation into a directory of its own below `uri`."""

    uri: Annotated[Uri, WRITABLE_URI]
    format: Literal["Parquet", "CSV", "JSONLines", "Images", "Files"] = "Parquet"
    """Of the files that a Job writes; SQL writes Parquet."""
    access: Access = Access()


DERIVE_RULES = rules(
    cel("(size(self.sql) > 0) != has(self.job)", "derive must have exactly one of sql and job"),
    cel("size(self.sql) == 0 || self.output.format == 'Parquet'", "derive.output.format: SQL writes Parquet"),
)


class Derive(Model):
    """Clean, refine, join, prepare: the rows that a query or a Job makes of other Datasets."""

    inputs: Annotated[
        tuple[DeriveInput, ...],
        Field(
            min_length=1,
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ]
    sql: Annotated[str, Field(max_length=16384)] = ""
    """One SELECT in DuckDB's SQL over the inputs by name."""
    job: DeriveJob | None = None
    output: DeriveOutput
