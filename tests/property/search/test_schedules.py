"""Which trial comes back first, how long one takes and how often it is begun anew: no point depends on any of these."""

from __future__ import annotations

import random
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.api.search import Search
from tests.property.search.objectives import OBJECTIVES
from tests.property.search.schedules import Schedule, differs
from tests.unit.search.spaces import space

OBJECTIVE = OBJECTIVES["boosted trees"]
GRID = tuple({"name": f"n{most}", "int": {"min": 0, "max": most}} for most in (3, 4, 5))


def schedule(search: Search, seed: int, losses: float = 0.0) -> Schedule:
    """A run of which chance has another seed."""
    shapes = GRID if search.algorithm == "Grid" else OBJECTIVE.parameters
    of = space(*shapes, maximize=False, max_trials=search.max_trials)
    value = (lambda point: float(sum(point.values()))) if search.algorithm == "Grid" else OBJECTIVE.value
    return Schedule(search, of, cast(Any, value), random.Random(seed), differs, losses)


@settings(deadline=None, max_examples=12)
@given(st.integers(1, 9), st.integers(1, 45), st.integers(), st.sampled_from([0.0, 0.1, 0.4]))
@pytest.mark.parametrize("algorithm", ["TPE", "CMAES", "Random", "Grid"])
def test_points_do_not_depend_on_the_order_in_which_trials_end(
    algorithm: Any, parallel: int, trials: int, seed: int, losses: float
) -> None:
    search = Search(algorithm=algorithm, parallel_trials=parallel, max_trials=trials)
    one, other = schedule(search, 1).play(), schedule(search, seed, losses).play()
    assert {number: [points[0]] * len(other[number]) for number, points in one.items()} == other


@pytest.mark.parametrize("algorithm", ["Random", "Grid"])
def test_points_that_depend_on_nothing_wait_for_nothing(algorithm: Any) -> None:
    run = schedule(Search(algorithm=algorithm, parallel_trials=8, max_trials=100), 1)
    while len(run.ended) < 92:
        run._begin()
        assert len(run.running) == 8
        run._end(max(run.running))
    assert 0 in run.running
