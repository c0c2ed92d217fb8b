"""Random search, and what is drawn at random elsewhere: a point depends on the seed and the trial's number alone."""

from __future__ import annotations

import random
from collections.abc import Sequence

from keelway.search.axes import Axis, axis
from keelway.search.space import Point, Space, Tried


def random_point(space: Space, _tried: Sequence[Tried], number: int) -> Point:
    """Every value is as likely as any other; on a logarithmic scale, every order of magnitude."""
    draw = random.Random(seed_of(space, number)).random
    axes = ((parameter.name, axis(parameter)) for parameter in space.parameters)
    return {name: one.value(_spread(one, draw())) for name, one in axes}


def seed_of(space: Space, number: int) -> int:
    """The seed of one trial, so that a point does not depend on how many were asked for in one go or before a restart.

    Below 2 ** 32.
    """
    return (space.seed * 1_000_003 + number) % (2**32)


def _spread(axis: Axis, draw: float) -> float:
    return int(draw * axis.positions) if axis.positions else draw
