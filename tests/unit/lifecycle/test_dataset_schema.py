"""Which changes of columns each policy lets through."""

from __future__ import annotations

import pytest

from keelway.api.checks import DeclaredColumn, SchemaSettings
from keelway.api.jobs import Column
from keelway.lifecycle.dataset import schema


def columns(**types: str) -> tuple[Column, ...]:
    return tuple(Column(name=name, type=type_) for name, type_ in types.items())


BEFORE = columns(id="integer", age="bigint", name="varchar")
AFTER = {
    "the same": (BEFORE, "None", []),
    "in another order": (BEFORE[::-1], "Compatible", []),
    "a new one": ((*BEFORE, *columns(city="varchar")), "Compatible", []),
    "wider integer": (columns(id="bigint", age="bigint", name="varchar"), "Compatible", []),
    "integer to double": (columns(id="integer", age="double", name="varchar"), "Compatible", []),
    "other case": (columns(ID="integer", Age="bigint", name="varchar"), "Compatible", []),
    "narrower integer": (columns(id="integer", age="integer", name="varchar"), "Breaking", ["schema.type age"]),
    "number to text": (columns(id="integer", age="varchar", name="varchar"), "Breaking", ["schema.type age"]),
    "one is gone": (columns(id="integer", age="bigint"), "Breaking", ["schema.missing name"]),
    "a new name": (
        columns(id="integer", years="bigint", name="varchar"),
        "Breaking",
        ["schema.missing age"],
    ),
}


def broken(settings: SchemaSettings, after: tuple[Column, ...], before: tuple[Column, ...] = BEFORE) -> list[str]:
    found = schema.violations(settings, before, after, total=len(after))
    assert all(one.severity == "Fail" and one.message for one in found)
    return [f"{one.check} {one.column}" for one in found]


@pytest.mark.parametrize("name", AFTER)
def test_additive_takes_what_adds_and_refuses_what_breaks(name: str) -> None:
    after, kind, refused = AFTER[name]
    assert schema.change(BEFORE, after) == kind
    assert broken(SchemaSettings(), after) == refused


@pytest.mark.parametrize("name", AFTER)
def test_infer_takes_anything(name: str) -> None:
    assert broken(SchemaSettings(policy="Infer"), AFTER[name][0]) == []


def test_the_first_version_breaks_nothing() -> None:
    assert broken(SchemaSettings(), BEFORE, before=()) == []


def test_declared_columns_count_instead_of_what_was_there() -> None:
    settings = SchemaSettings(columns=(DeclaredColumn(name="id", type="int32"),))
    assert broken(settings, columns(id="integer")) == [], "an intended break is accepted by declaring what is new"
    assert broken(settings, columns(id="varchar")) == ["schema.type id"]
    assert broken(settings, columns(age="bigint")) == ["schema.missing id"]


def test_strict_refuses_what_is_not_declared() -> None:
    settings = SchemaSettings(policy="Strict", columns=(DeclaredColumn(name="id", type="int32"),))
    assert broken(settings, columns(id="integer")) == []
    assert broken(settings, columns(id="integer", a="varchar", b="varchar")) == ["schema.undeclared a"]
    (found,) = schema.violations(settings, (), columns(id="integer", a="varchar", b="varchar"), total=3)
    assert found.violations == 2


def test_a_column_that_may_not_be_null_must_have_all_values() -> None:
    settings = SchemaSettings(columns=(DeclaredColumn(name="id", type="integer", nullable=False),))
    assert broken(settings, (Column(name="id", type="integer", nullable=True),)) == ["schema.nullable id"]
    assert broken(settings, (Column(name="id", type="integer", nullable=False),)) == []


@pytest.mark.parametrize(
    ("wanted", "have", "holds"),
    [
        ("decimal(10,2)", "decimal(12,2)", True),
        ("decimal(10,2)", "decimal(10,4)", False),
        ("decimal(10,2)", "double", True),
        ("double", "decimal(10,2)", False),
        ("date", "timestamp", True),
        ("timestamp", "date", False),
        ("boolean", "bigint", False),
        ("bigint", "ubigint", False),
    ],
)
def test_which_type_holds_another(wanted: str, have: str, holds: bool) -> None:
    assert schema.holds(wanted, have) is holds


@pytest.mark.parametrize(
    ("said", "meant"),
    [("int64", "bigint"), ("String", "varchar"), ("FLOAT64", "double"), ("struct(a int)", "struct(a int)")],
)
def test_usual_names_of_types_are_known(said: str, meant: str) -> None:
    assert schema.normal(said) == meant
