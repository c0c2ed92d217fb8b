"""From pydantic's JSON Schema to what the API server calls a structural schema.

Structural means: every node has one type, nothing is referred to, and no keyword chooses between shapes
(https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema).
What a model says beyond that is an error here, with the path of the field, rather than a surprise in a cluster.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from keelway.api.base import VALIDATIONS

Schema: TypeAlias = dict[str, Any]

REFERENCE = "#/$defs/"
SAME = (
    "description",
    "type",
    "format",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-preserve-unknown-fields",
    VALIDATIONS,
)
"""Keywords that mean the same to pydantic and to the API server."""
TRANSLATED = (
    "default",
    "const",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "additionalProperties",
    "properties",
    "items",
    "title",
)
"""Keywords of pydantic's that are said otherwise, or left out."""
TYPED_BY = ("type", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields")


class NotStructuralError(ValueError):
    """A model says something that a CRD cannot; the message has the field's path."""


def structural_schema(model: type[BaseModel], *, defaults: bool = True) -> Schema:
    """The schema of one model. Without defaults a stored object holds what its writer wrote and nothing else."""
    document = model.model_json_schema(by_alias=True, schema_generator=_Documented)
    return _Translation(document.pop("$defs", {}), defaults=defaults).node(document, model.__name__)


def fill(schema: Schema, value: Any) -> Any:
    """`value` with the defaults of `schema` as the API server adds them, from the outside in."""
    if isinstance(value, dict) and "properties" in schema:
        filled = dict(value)
        for name, inner in schema["properties"].items():
            if name not in filled and "default" in inner:
                filled[name] = inner["default"]
            if name in filled:
                filled[name] = fill(inner, filled[name])
        return filled
    if isinstance(value, list) and "items" in schema:
        return [fill(schema["items"], item) for item in value]
    return value


class _Documented(GenerateJsonSchema):
    """JSON Schema in which the docstring below a field describes it."""

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        json_schema = super().model_schema(schema)
        cls = schema["cls"]
        for name, text in field_docs(cls).items():
            properties = json_schema.get("properties", {})
            alias = cls.model_fields[name].alias or name
            if alias in properties:
                properties[alias]["description"] = text
        return json_schema


def field_docs(cls: type[BaseModel]) -> dict[str, str]:
    """The docstrings below the fields of a class, by field name, each as one line."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    return dict(_documented_fields(definition.body)) if isinstance(definition, ast.ClassDef) else {}


def _documented_fields(statements: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, below in pairwise(statements):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, " ".join(text.split())


class _Translation:
    """One pass over a document of pydantic's, with its definitions at hand."""

    def __init__(self, definitions: Mapping[str, Schema], *, defaults: bool) -> None:
        self._definitions = definitions
        self._defaults = defaults

    def node(self, given: Schema, path: str) -> Schema:
        """The structural form of one node."""
        plain = self._resolved(given, path)
        _check(plain, path)
        schema = {key: plain[key] for key in SAME if key in plain}
        schema.update(_bounds(plain))
        schema.update(self._children(plain, path))
        if self._defaults and plain.get("default") is not None:
            schema["default"] = smallest_default(schema, plain["default"])
        return schema

    def _resolved(self, given: Schema, path: str) -> Schema:
        """The node without references and without the choice of null: what stands beside a reference wins over it."""
        node = dict(given)
        if choices := [choice for choice in node.pop("anyOf", ()) if choice != {"type": "null"}]:
            if len(choices) > 1:
                raise NotStructuralError(f"{path}: a field has one type; this one chooses from {len(choices)}")
            node = _beside(choices[0], node)
        if "$ref" in node:
            reference = node.pop("$ref").removeprefix(REFERENCE)
            node = _beside(self._resolved(self._definitions[reference], path), node)
        return node

    def _children(self, plain: Schema, path: str) -> Schema:
        """What a node consists of: fields, items, values."""
        children: Schema = {}
        if properties := plain.get("properties"):
            children["properties"] = {name: self.node(inner, f"{path}.{name}") for name, inner in properties.items()}
        if "items" in plain:
            children["items"] = self.node(plain["items"], f"{path}[]")
        match plain.get("additionalProperties"):
            case True:
                children["x-kubernetes-preserve-unknown-fields"] = True
            case dict(values):
                children["additionalProperties"] = self.node(values, f"{path}{{}}")
        return children


def _check(plain: Schema, path: str) -> None:
    if unknown := plain.keys() - {*SAME, *TRANSLATED}:
        raise NotStructuralError(f"{path}: a CRD has no keyword {', '.join(sorted(unknown))}")
    if not any(plain.get(keyword) for keyword in TYPED_BY):
        raise NotStructuralError(f"{path}: no type; give one, or x-kubernetes-preserve-unknown-fields")


def _bounds(plain: Schema) -> Schema:
    """`const` is an enum of one; OpenAPI v3 says exclusive bounds by a boolean."""
    bounds: Schema = {"enum": [plain["const"]]} if "const" in plain else {}
    for bound in ("Minimum", "Maximum"):
        if (limit := plain.get(f"exclusive{bound}")) is not None:
            bounds |= {bound.lower(): limit, f"exclusive{bound}": True}
    return bounds


def _beside(inner: Schema, outer: Schema) -> Schema:
    """A node with what is said about it where it is used. Rules of both places hold."""
    both = {**inner, **outer}
    if rules := [*inner.get(VALIDATIONS, ()), *outer.get(VALIDATIONS, ())]:
        both[VALIDATIONS] = rules
    return both


def smallest_default(schema: Schema, default: Any) -> Any:
    """`{}` for an object whose own fields' defaults make up the rest, else the default as it is.

    The API server tries an object's rules on its default before it adds the defaults inside: with rules it stays whole.
    """
    wanted = _without_none(default)
    adds_up = isinstance(wanted, dict) and VALIDATIONS not in schema and fill(schema, {}) == wanted
    return {} if adds_up else wanted


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
