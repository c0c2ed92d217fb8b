"""The one door to search: which points to try next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keelway.api.search import Search
from keelway.search.algorithm import Algorithm
from keelway.search.evolution import CMAES
from keelway.search.grid import grid_point, grid_size
from keelway.search.random_search import random_point
from keelway.search.space import Point, Space, Tried
from keelway.search.tpe import TPE

ALGORITHMS: Mapping[str, Algorithm] = {
    "TPE": TPE,
    "Random": Algorithm(random_point),
    "Grid": Algorithm(grid_point),
    "CMAES": CMAES,
}


def suggest(algorithm: str, space: Space, tried: Sequence[Tried], numbers: Sequence[int]) -> dict[int, Point]:
    """Points for the trials with these numbers, each asked for with those before it counted as running.

    Pure: the same space, history and numbers give the same points.
    """
    ask, history = ALGORITHMS[algorithm].ask, sorted(tried, key=lambda trial: trial.number)
    points: dict[int, Point] = {}
    for number in numbers:
        points[number] = ask(space, history, number) if space.parameters else {}
        history = [*history, Tried(number, points[number], running=True)]
    return points


def trial_total(search: Search, space: Space) -> int:
    """How many trials a run has: one without parameters, never more than the grid has points."""
    if not space.parameters:
        return 1
    if search.algorithm == "Grid":
        return min(search.max_trials, grid_size(space.parameters))
    return search.max_trials
