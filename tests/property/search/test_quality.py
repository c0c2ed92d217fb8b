"""A search that learns finds more than Random does, also with few trials of which several run at once."""

from __future__ import annotations

import random
from statistics import median
from typing import Any

import pytest

from keelway.api.search import Search
from tests.property.search.objectives import OBJECTIVES
from tests.property.search.schedules import Schedule, succeeds
from tests.unit.search.spaces import space

SEEDS = (1, 2, 3, 4, 5)


def median_best(algorithm: Any, name: str, trials: int) -> float:
    """Of five searches, four trials at a time that come back in any order."""
    search = Search(algorithm=algorithm, max_trials=trials, parallel_trials=4)
    objective, found = OBJECTIVES[name], []
    for seed in SEEDS:
        of = space(*objective.parameters, seed=seed, maximize=False, max_trials=trials)
        run = Schedule(search, of, objective.value, random.Random(seed), succeeds)
        run.play()
        found.append(run.best)
    return median(found)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize(("algorithm", "trials"), [("TPE", 20), ("CMAES", 60)])
def test_median_of_five_seeds(algorithm: str, trials: int, name: str) -> None:
    learned, drawn = (median_best(one, name, trials) for one in (algorithm, "Random"))
    assert learned < drawn, f"{algorithm} found {learned}, Random {drawn}"
