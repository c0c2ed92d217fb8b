"""What a pydantic model becomes in a CRD."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from keelway.api.base import Model, OpenObject, cel, pattern, rules
from keelway.crdgen.schema import NotStructuralError, fill, structural_schema

POSITIVE = cel("self > 0", "must be above 0")
ORDERED = cel("self.low <= self.high", "low must not be above high")


class Inner(Model):
    """Something inside."""

    size: int = 3
    name: str = "a"


class Bounds(Model):
    low: int = 1
    high: int = 2


class Needy(Model):
    name: str


def schema_of(annotation: Any, default: Any = ...) -> dict[str, Any]:
    """The schema of one field with this annotation."""

    class Sample(Model):
        field: annotation = Field(default)

    found: dict[str, Any] = structural_schema(Sample)["properties"]["field"]
    return found


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        pytest.param(int, {"type": "integer"}, id="whole number"),
        pytest.param(float, {"type": "number"}, id="number"),
        pytest.param(int | None, {"type": "integer"}, id="optional number is a number"),
        pytest.param(Literal["A"], {"type": "string", "enum": ["A"]}, id="one literal is an enum of one"),
        pytest.param(Literal["A", "B"], {"type": "string", "enum": ["A", "B"]}, id="literals are an enum"),
        pytest.param(
            Annotated[float, Field(gt=0, lt=9)],
            {"type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": 9, "exclusiveMaximum": True},
            id="exclusive bounds are booleans beside the bound",
        ),
        pytest.param(
            Annotated[float, Field(gt=0)] | None,
            {"type": "number", "minimum": 0, "exclusiveMinimum": True},
            id="bounds of an optional number stay",
        ),
        pytest.param(
            Annotated[tuple[str, ...], Field(min_length=1, max_length=4)],
            {"type": "array", "minItems": 1, "maxItems": 4, "items": {"type": "string"}},
            id="tuple of any length is a list",
        ),
        pytest.param(
            Annotated[dict[str, float], Field(max_length=8)],
            {"type": "object", "maxProperties": 8, "additionalProperties": {"type": "number"}},
            id="dict is a map",
        ),
        pytest.param(
            dict[str, Any],
            {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            id="dict of anything keeps what it does not know",
        ),
        pytest.param(
            OpenObject,
            {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            id="somebody else's object keeps what it does not know",
        ),
        pytest.param(
            Annotated[Annotated[int, rules(POSITIVE)], rules(cel("self < 9", "must be below 9"))],
            {
                "type": "integer",
                "x-kubernetes-validations": [POSITIVE, cel("self < 9", "must be below 9")],
            },
            id="rules of nested annotations all hold",
        ),
        pytest.param(
            Annotated[str, pattern("^a$", "must be a")],
            {"type": "string", "x-kubernetes-validations": [cel("self.matches(r'^a$')", "must be a")]},
            id="a pattern is a rule with words",
        ),
        pytest.param(
            Annotated[Needy, rules(cel("self.name != ''", "name it"))] | None,
            {
                "type": "object",
                "required": ["name"],
                "x-kubernetes-validations": [cel("self.name != ''", "name it")],
                "properties": {"name": {"type": "string"}},
            },
            id="a model stands where it is used, with the rules of that place",
        ),
    ],
)
def test_field_becomes_a_structural_node(annotation: Any, expected: dict[str, Any]) -> None:
    assert schema_of(annotation) == expected


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        pytest.param(int | str, r"Sample\.field: a field has one type; this one chooses from 2", id="union"),
        pytest.param(tuple[int, str], r"Sample\.field: a CRD has no keyword prefixItems", id="tuple of fixed length"),
        pytest.param(Any, r"Sample\.field: no type", id="anything"),
        pytest.param(
            Annotated[float, Field(multiple_of=2)], r"Sample\.field: a CRD has no keyword multipleOf", id="multiple"
        ),
    ],
)
def test_what_a_crd_cannot_say_is_refused_with_the_path(annotation: Any, message: str) -> None:
    with pytest.raises(NotStructuralError, match=message):
        schema_of(annotation)


@pytest.mark.parametrize(
    ("annotation", "default", "stored"),
    [
        pytest.param(int, 3, 3, id="number"),
        pytest.param(str, "", "", id="empty text"),
        pytest.param(tuple[str, ...], (), [], id="empty list"),
        pytest.param(Inner, Inner(), {}, id="object whose defaults add up is filled from inside"),
        pytest.param(Inner, Inner(size=5), {"size": 5, "name": "a"}, id="object with another value stays whole"),
        pytest.param(
            Annotated[Bounds, rules(ORDERED)], Bounds(), {"low": 1, "high": 2}, id="object with rules stays whole"
        ),
    ],
)
def test_default_is_as_small_as_the_api_server_allows(annotation: Any, default: Any, stored: Any) -> None:
    assert schema_of(annotation, default)["default"] == stored


def test_optional_field_has_no_default() -> None:
    assert "default" not in schema_of(Inner | None, None)


def test_fill_adds_defaults_from_the_outside_in() -> None:
    class Outer(Model):
        inner: Inner = Inner()
        several: tuple[Inner, ...] = ()

    filled = fill(structural_schema(Outer), {"several": [{"size": 1}]})
    assert filled == {"inner": {"size": 3, "name": "a"}, "several": [{"size": 1, "name": "a"}]}


def test_schema_without_defaults_has_none() -> None:
    assert structural_schema(Inner, defaults=False)["properties"] == {
        "size": {"type": "integer"},
        "name": {"type": "string"},
    }


class Told(Model):
    """A model."""

    plain: Inner = Inner()
    told: Inner = Inner()
    """What is
    told here."""
    camel_case: int = 0
    """A number."""


def test_docstring_below_a_field_describes_it_and_else_that_of_its_model() -> None:
    schema = structural_schema(Told)
    described = {name: field.get("description") for name, field in schema["properties"].items()}
    assert schema["description"] == "A model."
    assert described == {"plain": "Something inside.", "told": "What is told here.", "camelCase": "A number."}
