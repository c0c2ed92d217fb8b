"""Which earlier results a point depends on, and when its trial may begin."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.api.search import Search
from keelway.search import Tried
from keelway.search.window import history, lag, may_begin
from tests.unit.search.spaces import BOOSTER, DEPTH, LEARNING_RATE, space

MIXED = space(LEARNING_RATE, DEPTH, BOOSTER)


@pytest.mark.parametrize(
    ("trials", "parallel", "expected"),
    [
        pytest.param(20, 1, 1, id="one at a time"),
        pytest.param(20, 4, 4, id="a short search knows all that it can know with so many at once"),
        pytest.param(60, 4, 7, id="a longer one waits less"),
        pytest.param(1000, 4, 13, id="at most about four times as many as run at once"),
        pytest.param(400, 16, 50, id="an eighth of the trials"),
        pytest.param(5, 8, 8, id="all at once"),
    ],
)
def test_lag(trials: int, parallel: int, expected: int) -> None:
    assert lag(Search(max_trials=trials, parallel_trials=parallel)) == expected


@pytest.mark.parametrize(
    ("algorithm", "number", "unfinished", "expected"),
    [
        pytest.param("Random", 19, 0, True, id="Random waits for nothing"),
        pytest.param("Grid", 19, 0, True, id="Grid waits for nothing"),
        pytest.param("TPE", 4, 0, True, id="TPE begins with trials at random"),
        pytest.param("TPE", 5, 0, False, id="TPE waits for a trial that is far behind"),
        pytest.param("TPE", 5, 1, False, id="TPE waits for the last one that it depends on"),
        pytest.param("TPE", 5, 2, True, id="TPE does not wait for one that is close"),
        pytest.param("CMAES", 5, 0, True, id="CMA-ES begins with a generation that knows nothing"),
        pytest.param("CMAES", 8, 0, True, id="CMA-ES does not wait for a part of a generation"),
        pytest.param("CMAES", 9, 5, False, id="CMA-ES waits for a generation"),
        pytest.param("CMAES", 14, 6, True, id="CMA-ES does not wait for the second generation before it is far behind"),
        pytest.param("CMAES", 15, 6, False, id="CMA-ES waits for the second generation"),
    ],
)
def test_may_begin(algorithm: Any, number: int, unfinished: int, expected: bool) -> None:
    search = Search(algorithm=algorithm, max_trials=20, parallel_trials=4)
    finished = set(range(number)) - {unfinished}
    assert may_begin(search, MIXED, number, finished) is expected


@pytest.mark.parametrize("algorithm", ["TPE", "CMAES"])
def test_a_later_trial_never_depends_on_less(algorithm: Any) -> None:
    search = Search(algorithm=algorithm, max_trials=40, parallel_trials=3)
    for unfinished in range(40):
        finished = set(range(40)) - {unfinished}
        answers = [may_begin(search, MIXED, number, finished) for number in range(40)]
        assert answers == sorted(answers, reverse=True)


def test_results_that_are_close_count_as_running() -> None:
    search = Search(max_trials=20, parallel_trials=4)
    tried = [
        Tried(0, {"x": 1}, 0.5),
        Tried(1, {"x": 2}),
        Tried(2, {"x": 3}, 0.7, pruned=True, step=3),
        Tried(3, {"x": 4}, 0.9, pruned=True, step=3),
        Tried(4, {"x": 5}, 0.9),
        Tried(5, {"x": 6}, running=True),
        Tried(6, {"x": 7}, 0.9),
    ]
    assert history(search, 6, tried) == [
        *tried[:3],
        Tried(3, {"x": 4}, running=True),
        Tried(4, {"x": 5}, running=True),
        tried[5],
    ]
