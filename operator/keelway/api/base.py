"""What all models of the API share: camelCase on the wire, frozen in memory, tolerant of fields of a newer schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, StringConstraints
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

VALIDATIONS = "x-kubernetes-validations"

Manifest: TypeAlias = dict[str, Any]
"""One Kubernetes object as the API server speaks it: plain JSON."""


class Model(BaseModel):
    """A value of the API. Unknown fields are ignored, so an old operator survives a newer CRD."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    def to_json(self) -> dict[str, Any]:
        """The value as JSON for the wire: camelCase, without fields that are None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def cel(rule: str, message: str) -> dict[str, str]:
    """One validation rule in CEL as the CRD carries it; `message` says what to write instead."""
    return {"rule": rule, "message": message}


@dataclass(frozen=True, eq=False)
class Rules:
    """CEL rules of a field or model, put into `Annotated[...]`; those of several annotations all hold."""

    validations: tuple[dict[str, str], ...]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        return {**schema, VALIDATIONS: [*schema.get(VALIDATIONS, ()), *self.validations]}


def rules(*validations: dict[str, str]) -> Rules:
    """What to put into `Annotated[...]` so that the CRD carries these rules."""
    return Rules(validations)


def pattern(expression: str, message: str) -> Rules:
    """A text matches an RE2 expression. Said in CEL, because its refusal can say what to write instead."""
    return rules(cel(f"self.matches(r'{expression}')", message))


ObjectName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253),
    pattern(
        "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        "must be an object's name: lower-case letters, digits, '-' and '.', for example churn-2024",
    ),
]
LabelName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63),
    pattern(
        "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "must consist of lower-case letters, digits and '-', for example training-data",
    ),
]
Identifier = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63),
    pattern(
        "^[a-zA-Z_][a-zA-Z0-9_-]*$",
        "must begin with a letter and consist of letters, digits, '_' and '-', for example learning_rate",
    ),
]
DURATION_PATTERN = "^([0-9]+(ms|s|m|h))+$"
Duration = Annotated[
    str,
    StringConstraints(max_length=16),
    pattern(DURATION_PATTERN, "must be a duration, for example 30s, 10m or 1h30m"),
]
ShortText = Annotated[str, StringConstraints(max_length=256)]
Uri = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
OpenObject = Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
"""An object whose fields belong to somebody else (a PodTemplateSpec, a resource list)."""
