"""Where a value is on its axis, and which value is at a place."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.api.search import Parameter, ParameterValue
from keelway.search.axes import axis, grid_axis


@pytest.mark.parametrize(
    ("shape", "place", "value"),
    [
        pytest.param({"choice": {"values": ["a", 3, "3"]}}, 2, "3", id="a choice keeps its type"),
        pytest.param({"int": {"min": 2, "max": 8, "step": 3}}, 2, 8, id="whole numbers by their step"),
        pytest.param({"int": {"min": 5, "max": 5}}, 0, 5, id="one whole number"),
        pytest.param({"int": {"min": 1, "max": 1, "scale": "Log"}}, 0, 1, id="one whole number on a logarithmic scale"),
        pytest.param({"int": {"min": 1, "max": 999, "scale": "Log"}}, 1.0, 999, id="whole numbers reach their end"),
        pytest.param({"int": {"min": -(2**63), "max": 2**63 - 1}}, 1.0, 2**63 - 1, id="more than a float can count"),
        pytest.param({"float": {"min": 0.1, "max": 0.7, "step": 0.1}}, 2, 0.3, id="steps without the dust of floats"),
        pytest.param({"float": {"min": 1 / 3, "max": 2, "step": 1.5}}, 0, 1 / 3, id="a step never leaves the range"),
        pytest.param({"float": {"min": 3, "max": 3}}, 0, 3.0, id="one number"),
        pytest.param({"float": {"min": 1e-4, "max": 1, "scale": "Log"}}, 0.5, 0.01, id="orders of magnitude"),
        pytest.param({"float": {"min": -1.7e308, "max": 1.7e308}}, 1.0, 1.7e308, id="wider than a float"),
        pytest.param({"float": {"min": 5, "max": 5 + 1e-12}}, 1.0, 5 + 1e-12, id="narrower than a billionth"),
    ],
)
def test_value(shape: dict[str, Any], place: float, value: ParameterValue) -> None:
    one = axis(Parameter.model_validate({"name": "p", **shape}))
    assert one.value(place) == value
    assert type(one.value(place)) is type(value)
    assert one.place(value) == pytest.approx(place, abs=1e-3)


@pytest.mark.parametrize(
    ("shape", "value", "place"),
    [
        pytest.param({"choice": {"values": ["a", "b"]}}, "c", None, id="another choice"),
        pytest.param({"choice": {"values": [1, 2]}}, 1.0, None, id="a number that is not the choice"),
        pytest.param({"float": {"min": 0, "max": 1}}, "a", None, id="a text among numbers"),
        pytest.param({"float": {"min": 0, "max": 1}}, 7.0, 1.0, id="a number outside"),
        pytest.param({"int": {"min": 0, "max": 9}}, -3, 0, id="a whole number outside"),
    ],
)
def test_place_of_another_spaces_value(shape: dict[str, Any], value: ParameterValue, place: float | None) -> None:
    assert axis(Parameter.model_validate({"name": "p", **shape})).place(value) == place


def test_a_grid_counts_whole_numbers_on_any_scale() -> None:
    one = grid_axis(Parameter.model_validate({"name": "p", "int": {"min": 1, "max": 9, "scale": "Log"}}))
    assert [one.value(position) for position in range(one.positions)] == list(range(1, 10))
