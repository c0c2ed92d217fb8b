"""The search space and what was tried in it, in the words that every algorithm here understands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from keelway.api.search import Parameter, ParameterValue

Point: TypeAlias = dict[str, ParameterValue]


@dataclass(frozen=True)
class Space:
    """What is searched, and towards what."""

    parameters: tuple[Parameter, ...]
    maximize: bool
    seed: int
    max_trials: int = 20
    """How many trials the search has: with few of them an algorithm begins to learn earlier."""

    def loss(self, trial: Tried) -> float:
        """What is to become small; infinite for a trial without a value."""
        if trial.value is None:
            return math.inf
        return -trial.value if self.maximize else trial.value


@dataclass(frozen=True)
class Tried:
    """One trial so far: its number, its point, and its objective value; None while it runs or when it failed.

    The value of a pruned one is the last that it told, at `step`.
    """

    number: int
    point: Point
    value: float | None = None
    running: bool = False
    pruned: bool = False
    step: int = 0
