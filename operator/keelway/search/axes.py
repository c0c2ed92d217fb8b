"""A parameter as an axis: its values by their place on it, so that no algorithm sees scales, steps or names.

An axis has either positions, counted from 0, or none: then its places are the real numbers from 0 to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from keelway.api.search import FloatRange, IntRange, Parameter, ParameterValue

MOST_POSITIONS = 2**53
"""A float tells so many whole numbers apart."""


@dataclass(frozen=True)
class ChoiceAxis:
    """Values without an order."""

    values: tuple[int | str, ...]

    @property
    def positions(self) -> int:
        """How many there are."""
        return len(self.values)

    def value(self, place: float) -> ParameterValue:
        """The value at a position."""
        return self.values[int(place)]

    def place(self, value: ParameterValue) -> float | None:
        """Where a value is; None for one that is none of them."""
        return self.values.index(value) if value in self.values and not isinstance(value, float) else None


@dataclass(frozen=True)
class StepAxis:
    """Numbers with a step between one and the next."""

    low: float
    high: float
    step: float
    positions: int
    """How many there are."""

    def value(self, place: float) -> ParameterValue:
        """The number at a position."""
        exact = self.low + int(place) * self.step
        if isinstance(exact, int):
            return exact
        # To a billionth of the step: 0.1 + 2 * 0.1 is written 0.3, and a grid of fine steps stays what it is.
        return _within(round(exact, _digits(self.step)), self.low, self.high)

    def place(self, value: ParameterValue) -> float | None:
        """The position next to a number."""
        if isinstance(value, str):
            return None
        return _within(round((value - self.low) / self.step), 0, self.positions - 1) if self.step else 0


@dataclass(frozen=True)
class RealAxis:
    """Numbers between two others. Whole ones are those next to the place; each has the same room."""

    low: float
    high: float
    log: bool
    step: int = 0
    """Between whole numbers; 0 where all numbers are meant."""

    positions = 0

    def value(self, place: float) -> ParameterValue:
        """The number at a place between 0 and 1, to a billionth of the range."""
        low, high = self._ends
        exact = low * (1 - place) + high * place
        exact = math.exp(exact) if self.log else exact
        if self.step:
            # In whole numbers: a float would miss large ones.
            low, high = int(self.low), int(self.high)
            return low + self.step * _within(round((round(exact) - low) / self.step), 0, (high - low) // self.step)
        fine = self.high / 2 - self.low / 2
        return _within(round(exact, _digits(min(fine, exact) if self.log else fine)), self.low, self.high)

    def place(self, value: ParameterValue) -> float | None:
        """Where a number is between 0 and 1; one outside of the range is at its end."""
        if isinstance(value, str):
            return None
        low, high = self._ends
        value = _within(value, self.low, self.high)
        value = math.log(value) if self.log else value
        return _within((value / 2 - low / 2) / (high / 2 - low / 2), 0.0, 1.0)

    @property
    def _ends(self) -> tuple[float, float]:
        room = 0.5 if self.step and self.log else 0.0
        return (
            (math.log(self.low - room), math.log(self.high + room)) if self.log else (float(self.low), float(self.high))
        )


Axis: TypeAlias = ChoiceAxis | StepAxis | RealAxis


def axis(parameter: Parameter) -> Axis:
    """The axis on which an algorithm that learns moves."""
    if span := parameter.float:
        many = span.step is None or _float_positions(span) >= MOST_POSITIONS
        return RealAxis(span.min, span.max, span.scale == "Log") if many and span.min < span.max else _stepped(span)
    if (whole := parameter.int) and whole.min < whole.max:
        log = whole.scale == "Log"
        if log or _int_positions(whole) >= MOST_POSITIONS:
            return RealAxis(whole.min, whole.max, log, whole.step)
    return grid_axis(parameter)


def grid_axis(parameter: Parameter) -> ChoiceAxis | StepAxis:
    """The axis of a grid: every value has a position. A range of all numbers has its least alone."""
    if parameter.choice:
        return ChoiceAxis(parameter.choice.values)
    if whole := parameter.int:
        return StepAxis(whole.min, whole.max, whole.step, _int_positions(whole))
    if parameter.float:
        return _stepped(parameter.float)
    raise ValueError(f"parameter {parameter.name!r} has no range")


def _stepped(span: FloatRange) -> StepAxis:
    return StepAxis(span.min, span.max, span.step or 0.0, _float_positions(span) if span.step else 1)


def _int_positions(span: IntRange) -> int:
    return (span.max - span.min) // span.step + 1


def _float_positions(span: FloatRange) -> int:
    # By halves, because the widest range is wider than a float; and a step that divides the range must reach its end
    # although binary fractions miss it by a hair.
    steps = (span.max / 2 - span.min / 2) / (span.step or math.inf) * 2
    return int(min(steps + 1e-9, MOST_POSITIONS)) + 1


def _digits(unit: float) -> int:
    """How many digits behind the point tell a billionth of this unit."""
    return 9 - math.floor(math.log10(unit)) if unit else 0


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
