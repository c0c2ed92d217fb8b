"""CMA-ES (Hansen, arXiv:1604.00772) by the library `cmaes`, replayed by generations from the history.

A generation is so many trials in the order of their numbers. What a point is drawn from was told all generations that
are far enough behind it, and no other, so nothing has to be kept of a trial but its point and its value. After a number
of generations, when it has narrowed down, the search begins anew around the best point. Choices have no order: they
are drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from keelway.search.algorithm import Algorithm
from keelway.search.axes import Axis, ChoiceAxis, axis
from keelway.search.generation import Generation, Place
from keelway.search.random_search import random_point, seed_of
from keelway.search.space import Point, Space, Tried

GENERATIONS = 60
"""Before the search begins anew: a hundred evaluations a dimension and more, in spaces of usual size."""


def generation_size(space: Space) -> int:
    """How many trials a generation has: as Hansen advises, also where more run at once (measured in
    docs/decisions/0012)."""
    return 4 + math.floor(3 * math.log(max(1, len(_moving(space)))))


def _needs(space: Space, _number: int, known: int) -> int:
    size = generation_size(space)
    return known // size * size


def _ask(space: Space, tried: Sequence[Tried], number: int) -> Point:
    axes, point = _moving(space), random_point(space, tried, number)
    if not axes:
        return point
    from keelway.search.covariance import Begin, next_place

    size, ended = generation_size(space), _ended(tried)
    complete, first = len(ended) // size, number // (size * GENERATIONS) * GENERATIONS
    begin = Begin(_middle(space, axes, ended[: min(first, complete) * size]), size)
    told = (_told(space, axes, ended[at * size : (at + 1) * size]) for at in range(first, complete))
    place = next_place(begin, [one for one in told if one], seed=seed_of(space, number))
    return point | {name: one.value(_on_axis(one, at)) for (name, one), at in zip(axes.items(), place, strict=True)}


def _ended(tried: Sequence[Tried]) -> Sequence[Tried]:
    """The trials from the first one on up to one that runs or is not there."""
    until = next((at for at, trial in enumerate(tried) if trial.running or trial.number != at), len(tried))
    return tried[:until]


def _moving(space: Space) -> Mapping[str, Axis]:
    """The axes with an order and more than one value."""
    axes = ((parameter.name, axis(parameter)) for parameter in space.parameters)
    return {name: one for name, one in axes if not isinstance(one, ChoiceAxis) and one.positions != 1}


def _middle(space: Space, axes: Mapping[str, Axis], before: Sequence[Tried]) -> Place:
    """Around what a search begins: the best point so far, at first the middle of the space."""
    best = min(before, key=space.loss, default=None)
    return (best and _place(axes, best.point)) or (0.5,) * len(axes)


def _told(space: Space, axes: Mapping[str, Axis], members: Sequence[Tried]) -> Generation:
    """The places of a generation and their losses; empty where there is nothing to learn from them."""
    if not any(math.isfinite(space.loss(trial)) for trial in members):
        return ()
    places = [_place(axes, trial.point) for trial in members]
    return (
        tuple((place, space.loss(trial)) for place, trial in zip(places, members, strict=True)) if all(places) else ()
    )


def _place(axes: Mapping[str, Axis], point: Point) -> Place:
    """Where a point is in the unit cube; empty for a point of another space."""
    places = [one.place(point[name]) if name in point else None for name, one in axes.items()]
    cube = zip(axes.values(), places, strict=True)
    known = tuple(_in_cube(one, place) for one, place in cube if place is not None)
    return known if len(known) == len(places) else ()


def _in_cube(axis: Axis, place: float) -> float:
    return (place + 0.5) / axis.positions if axis.positions else place


def _on_axis(axis: Axis, at: float) -> float:
    return min(int(at * axis.positions), axis.positions - 1) if axis.positions else at


CMAES = Algorithm(_ask, _needs)
