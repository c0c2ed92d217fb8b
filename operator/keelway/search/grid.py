"""Grid search: the points of a grid by their index, so that a grid of any size costs nothing to hold."""

from __future__ import annotations

import math
from collections.abc import Sequence

from keelway.api.search import Parameter
from keelway.search.axes import grid_axis
from keelway.search.space import Point, Space, Tried


def grid_size(parameters: Sequence[Parameter]) -> int:
    """How many points the grid has."""
    return math.prod(grid_axis(parameter).positions for parameter in parameters)


def grid_point(space: Space, _tried: Sequence[Tried], number: int) -> Point:
    """The point with this index, counted with the last parameter moving fastest."""
    point: Point = {}
    for parameter in reversed(space.parameters):
        axis = grid_axis(parameter)
        number, position = divmod(number, axis.positions)
        point[parameter.name] = axis.value(position)
    return {parameter.name: point[parameter.name] for parameter in space.parameters}
