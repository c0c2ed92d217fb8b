"""CMA-ES by the library `cmaes`: all that knows it is here."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
from cmaes import CMA

from keelway.search.generation import Generation, Place

SIGMA = 0.2
"""Of the first generation, in sides of the cube."""
MOST_DRAWS = 10
"""A place outside of the cube is drawn again so often; then it is moved to the side."""
MOST_KEPT = 256


@dataclass(frozen=True)
class Begin:
    """Where a search begins, and how many trials a generation has."""

    middle: Place
    size: int


@dataclass(frozen=True, eq=False)
class _State:
    """A distribution; nobody tells it anything any more."""

    distribution: CMA


def next_place(begin: Begin, told: Sequence[Generation], *, seed: int) -> Place:
    """A place drawn from what has been told."""
    distribution = reduce(_step, told, _first(begin)).distribution
    distribution.reseed_rng(seed)
    return tuple(float(one) for one in distribution.ask())


@lru_cache(maxsize=MOST_KEPT)
def _first(begin: Begin) -> _State:
    dimensions = len(begin.middle)
    return _State(
        CMA(
            mean=np.array(begin.middle),
            sigma=SIGMA,
            bounds=np.array([[0.0, 1.0]] * dimensions),
            n_max_resampling=MOST_DRAWS,
            seed=0,
            population_size=begin.size,
        )
    )


@lru_cache(maxsize=MOST_KEPT)
def _step(state: _State, generation: Generation) -> _State:
    distribution = copy.deepcopy(state.distribution)
    distribution.tell([(np.array(place), loss) for place, loss in generation])
    return _State(distribution)
