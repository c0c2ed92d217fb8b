"""Which results a point depends on, so that it does not matter which of several parallel trials comes back first.

A point depends on its number and on the results of a fixed set of earlier trials: those that are far enough behind it.
Trials in between count as running, whether or not they have ended. So the same seed gives the same points in every run,
with every speed of trials, and after a restart in the middle.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from keelway.api.search import Search
from keelway.search.space import Space, Tried
from keelway.search.suggest import ALGORITHMS

SHARE_OF_TRIALS = 8
MOST_AHEAD = 4
"""Measured in docs/decisions/0012: a short search needs its results at once, a long one none to wait for."""


def lag(search: Search) -> int:
    """How far behind a point its newest result is: an eighth of all trials, but at least as many as run at once, and
    at most about four times as many. One at a time, each knows all before it."""
    parallel = search.parallel_trials
    return 1 + min(max(search.max_trials // SHARE_OF_TRIALS, parallel) - 1, MOST_AHEAD * (parallel - 1))


def may_begin(search: Search, space: Space, number: int, finished: Collection[int]) -> bool:
    """Whether all trials are finished that the point of trial `number` depends on."""
    needed = ALGORITHMS[search.algorithm].needs(space, number, _known(search, number))
    return len(finished) >= needed and all(earlier in finished for earlier in range(needed))


def history(search: Search, number: int, tried: Sequence[Tried]) -> list[Tried]:
    """What the point of trial `number` may depend on: earlier trials alone, those close to it as running ones."""
    known = _known(search, number)
    return [trial if trial.number < known else _unknown(trial) for trial in tried if trial.number < number]


def _known(search: Search, number: int) -> int:
    """How many trials, from the first one on, are far enough behind."""
    return max(0, number + 1 - lag(search))


def _unknown(trial: Tried) -> Tried:
    return replace(trial, value=None, running=True, pruned=False, step=0)
