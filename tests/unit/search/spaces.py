"""Spaces to search in: some that everybody knows, and any valid one."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from keelway.api.search import FloatRange, Parameter, ParameterValue
from keelway.search import Point, Space

LEARNING_RATE = {"name": "learning_rate", "float": {"min": 0.001, "max": 0.3, "scale": "Log"}}
DEPTH = {"name": "depth", "int": {"min": 2, "max": 8}}
BOOSTER = {"name": "booster", "choice": {"values": ["gbtree", "dart", 3]}}


def space(*parameters: dict[str, Any], seed: int = 42, maximize: bool = True, **settings: int) -> Space:
    """A space of parameters as a manifest writes them."""
    return Space(tuple(Parameter.model_validate(parameter) for parameter in parameters), maximize, seed, **settings)


def parameters() -> st.SearchStrategy[dict[str, Any]]:
    """One valid parameter of any shape: narrow and wide ranges, far from zero, of one value, of more than can count."""
    return st.one_of(reals(), log_reals(), stepped_reals(), whole(), log_whole(), choices())


def spaces() -> st.SearchStrategy[Space]:
    """A space of a few parameters."""
    named = st.lists(parameters(), min_size=1, max_size=4).map(
        lambda shapes: [{"name": f"p{index}", **shape} for index, shape in enumerate(shapes)]
    )
    return st.builds(
        lambda shapes, seed, maximize, trials: space(*shapes, seed=seed, maximize=maximize, max_trials=trials),
        named,
        st.integers(0, 2**31 - 1),
        st.booleans(),
        st.sampled_from([1, 5, 20, 60, 10_000]),
    )


@st.composite
def reals(draw: st.DrawFn) -> dict[str, Any]:
    """Any two numbers."""
    low, high = sorted(draw(st.tuples(ANY_FLOAT, ANY_FLOAT)))
    return {"float": {"min": low, "max": high}}


@st.composite
def log_reals(draw: st.DrawFn) -> dict[str, Any]:
    """Any two numbers above 0."""
    low, high = sorted(draw(st.tuples(POSITIVE, POSITIVE)))
    return {"float": {"min": low, "max": high, "scale": "Log"}}


@st.composite
def stepped_reals(draw: st.DrawFn) -> dict[str, Any]:
    """Usual ranges with steps that fit, or with any step at all."""
    low, width = draw(USUAL), draw(USUAL)
    step = draw(st.integers(1, 9).map(lambda count: width / count) | POSITIVE)
    return {"float": {"min": low, "max": low + width, "step": step}}


@st.composite
def whole(draw: st.DrawFn) -> dict[str, Any]:
    """Whole numbers of 64 bits, with any step."""
    low, high = sorted(draw(st.tuples(ANY_INT, ANY_INT)))
    return {"int": {"min": low, "max": high, "step": draw(st.integers(1, 9) | st.integers(1, 2**62))}}


@st.composite
def log_whole(draw: st.DrawFn) -> dict[str, Any]:
    """Whole numbers above 0."""
    low, high = sorted(draw(st.tuples(COUNT, COUNT)))
    return {"int": {"min": low, "max": high, "scale": "Log"}}


def choices() -> st.SearchStrategy[dict[str, Any]]:
    """One value or more; a number and its digits are two."""
    value = st.integers(-5, 5) | st.text("ab1", max_size=3)
    return st.lists(value, min_size=1, max_size=6, unique=True).map(lambda values: {"choice": {"values": values}})


ANY_FLOAT = st.floats(allow_nan=False, allow_infinity=False)
POSITIVE = st.floats(min_value=5e-324, max_value=1.7e308)
USUAL = st.floats(1e-6, 1e6)
ANY_INT = st.integers(-50, 50) | st.integers(-(2**63), 2**63 - 1)
COUNT = st.integers(1, 50) | st.integers(1, 2**63 - 1)


def assert_valid(of: Space, point: Point) -> None:
    """A value for each parameter and nothing else; one of its choices, or in its range and on a step."""
    assert list(point) == [parameter.name for parameter in of.parameters]
    for parameter in of.parameters:
        assert_inside(parameter, point[parameter.name])


def assert_inside(parameter: Parameter, value: ParameterValue) -> None:
    """One of the choices, or in the range, on a step, of the right type."""
    if parameter.choice:
        assert any(value == one and type(value) is type(one) for one in parameter.choice.values)
    elif span := parameter.int:
        assert type(value) is int
        assert span.min <= value <= span.max
        assert (value - span.min) % span.step == 0
    elif real := parameter.float:
        assert type(value) is float
        assert real.min <= value <= real.max
        assert_on_step(real, value)


def assert_on_step(real: FloatRange, value: float) -> None:
    """Not for a step that is finer than what floats of this size tell apart."""
    if real.step and real.step > 1e-9 * max(abs(real.min), abs(real.max)):
        steps = (value - real.min) / real.step
        assert math.isclose(steps, round(steps), abs_tol=1e-3)
