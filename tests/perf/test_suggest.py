"""What the next point costs after ten thousand trials, beside what it costs after five hundred.

The operator asks for points on its event loop, so a long search must not make them dearer.
"""

from __future__ import annotations

import random
import statistics
import time
from typing import Any

import pytest

from keelway.api.search import Search
from keelway.search import Space, Tried, suggest
from keelway.search.window import history, may_begin
from tests.perf.conftest import Note
from tests.unit.search.spaces import space

TRIALS = 10_000
DIMENSIONS = 10
FEW, MANY = 500, (5_000, 9_900)
LOOKS = 15
AT_MOST = 4
"""Times what a point costs after a few hundred trials. All results of 20 times as many would be above 10."""


def wide_space() -> Space:
    """Numbers on logarithmic scales and whole ones."""
    rates = [{"name": f"rate{n}", "float": {"min": 1e-5, "max": 1, "scale": "Log"}} for n in range(DIMENSIONS // 2)]
    sizes = [{"name": f"size{n}", "int": {"min": 1, "max": 512}} for n in range(DIMENSIONS // 2)]
    return space(*rates, *sizes, max_trials=TRIALS)


def results(of: Space, trials: int) -> list[Tried]:
    """A search that found this and that."""
    value = random.Random(trials).random
    return [Tried(number, point, value()) for number, point in suggest("Random", of, [], range(trials)).items()]


def milliseconds(search: Search, of: Space, tried: list[Tried]) -> tuple[float, float]:
    """Processor time of the first point, as after a restart, and the median of those that follow it."""
    finished, took = {trial.number for trial in tried}, []
    for number in range(len(tried), len(tried) + LOOKS):
        begin = time.process_time()
        assert may_begin(search, of, number, finished)
        point = suggest(search.algorithm, of, history(search, number, tried), [number])[number]
        took.append((time.process_time() - begin) * 1000)
        tried, finished = [*tried, Tried(number, point, 0.5)], finished | {number}
    return took[0], statistics.median(took[1:])


@pytest.mark.parametrize("algorithm", ["TPE", "CMAES"])
def test_a_point_late_in_a_search(algorithm: Any, note: Note) -> None:
    of, search = wide_space(), Search(algorithm=algorithm, max_trials=TRIALS, parallel_trials=8)
    imported, few = milliseconds(search, of, results(of, FEW))
    figures = {"first_ms": round(imported), f"ms_after_{FEW}": round(few, 1)}
    for trials in MANY:
        first, many = milliseconds(search, of, results(of, trials))
        figures |= {f"ms_after_{trials}": round(many, 1), f"ms_first_after_{trials}": round(first, 1)}
    note(algorithm=algorithm, parameters=DIMENSIONS, ratio=round(many / few, 2), **figures)
    assert many < AT_MOST * max(few, 1.0)
