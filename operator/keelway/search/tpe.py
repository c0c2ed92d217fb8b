"""TPE: after a few trials at random, where good results are denser than bad ones.

What it looks at is bounded, so that the ten thousandth point costs no more than the five hundredth.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence

from keelway.search.algorithm import Algorithm
from keelway.search.axes import Axis, axis
from keelway.search.random_search import random_point, seed_of
from keelway.search.result import Result
from keelway.search.space import Point, Space, Tried

STARTUP_TRIALS = 10
"""At most so many trials are drawn at random first, and at most a quarter of all."""
LEAST_STARTUP_TRIALS = 3
MOST_GOOD = 25
NEWEST_SEEN = 100
"""A point depends on the results that count as good, and on the newest others: TPE weighs old ones less anyway."""
LEAST_NEWEST_SEEN = 40
MOST_PLACES_SEEN = 2000
"""With many parameters fewer results are seen."""


def startup_trials(space: Space) -> int:
    """How many trials are drawn at random first."""
    return max(LEAST_STARTUP_TRIALS, min(STARTUP_TRIALS, space.max_trials // 4))


def _needs(space: Space, number: int, known: int) -> int:
    return 0 if number < startup_trials(space) else known


def _ask(space: Space, tried: Sequence[Tried], number: int) -> Point:
    axes = {parameter.name: axis(parameter) for parameter in space.parameters}
    free = {name: one for name, one in axes.items() if one.positions != 1}
    seen, good = _seen(space, tried)
    if number < startup_trials(space) or not free or not good:
        return random_point(space, tried, number)
    from keelway.search.parzen import next_places

    results = [result for trial in seen if (result := _result(free, trial))]
    seed = seed_of(space, number)
    places = next_places(tuple(free.values()), results, good=good, maximize=space.maximize, seed=seed)
    point = {name: one.value(place) for (name, one), place in zip(free.items(), places, strict=True)}
    return {name: point[name] if name in point else one.value(0) for name, one in axes.items()}


def good_results(results: int) -> int:
    """How many of these results count as good: more of few than Optuna's tenth, for one alone shows no direction."""
    return min(math.ceil(0.6 * math.sqrt(results)), MOST_GOOD)


def _seen(space: Space, tried: Sequence[Tried]) -> tuple[list[Tried], int]:
    """The best results and the newest, in the order of their numbers, and how many of them are good."""
    ended = [trial for trial in tried if not trial.running]
    complete = [trial for trial in ended if trial.value is not None and not trial.pruned]
    good = good_results(sum(trial.value is not None for trial in ended))
    newest = max(LEAST_NEWEST_SEEN, min(NEWEST_SEEN, MOST_PLACES_SEEN // len(space.parameters)))
    running = [trial for trial in tried if trial.running]
    best = heapq.nsmallest(good, complete, key=space.loss)
    seen = {trial.number: trial for trial in (*best, *ended[-newest:], *running[-newest:])}
    return [seen[number] for number in sorted(seen)], good


def _result(axes: Mapping[str, Axis], trial: Tried) -> Result | None:
    """None where the trial's point is none of this space."""
    places = [one.place(trial.point[name]) if name in trial.point else None for name, one in axes.items()]
    known = tuple(place for place in places if place is not None)
    if len(known) < len(places):
        return None
    if trial.running or trial.value is None:
        return Result(known, "Bad")
    return Result(known, "Pruned" if trial.pruned else "Complete", trial.value, trial.step)


TPE = Algorithm(_ask, _needs)
