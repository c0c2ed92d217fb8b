"""Every point is one of its space, and the same again for the same arguments: now, and in another process."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.search import Point, Space, Tried, suggest
from tests.unit.search.spaces import BOOSTER, DEPTH, LEARNING_RATE, assert_valid, space, spaces

LEARNING = ["TPE", "CMAES"]
ALGORITHMS = [*LEARNING, "Random", "Grid"]
VALUES = st.floats(allow_nan=False, allow_infinity=False)


def fates(number: int, point: Point) -> st.SearchStrategy[Tried]:
    """What may have become of a trial."""
    return st.one_of(
        VALUES.map(lambda value: Tried(number, point, value)),
        st.builds(lambda value, step: Tried(number, point, value, pruned=True, step=step), VALUES, st.integers(0, 99)),
        st.just(Tried(number, point)),
        st.just(Tried(number, point, running=True)),
    )


@settings(deadline=None, max_examples=60)
@given(spaces(), st.integers(0, 9999))
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_first_point_is_valid(algorithm: str, of: Space, number: int) -> None:
    assert_valid(of, suggest(algorithm, of, [], [number])[number])


@settings(deadline=None, max_examples=40)
@given(spaces(), st.integers(1, 30), st.data())
@pytest.mark.parametrize("algorithm", LEARNING)
def test_what_is_learned_is_valid_and_the_same_again(
    algorithm: str, of: Space, trials: int, data: st.DataObject
) -> None:
    points = suggest("Random", of, [], range(trials))
    tried = [data.draw(fates(number, point)) for number, point in points.items()]
    asked = suggest(algorithm, of, tried, range(trials, trials + 3))
    for point in asked.values():
        assert_valid(of, point)
    assert suggest(algorithm, of, list(reversed(tried)), range(trials, trials + 3)) == asked


@settings(deadline=None, max_examples=40)
@given(spaces(), spaces(), st.integers(1, 30))
@pytest.mark.parametrize("algorithm", LEARNING)
def test_results_of_another_space_do_no_harm(algorithm: str, of: Space, before: Space, trials: int) -> None:
    points = suggest("Random", before, [], range(trials))
    tried = [Tried(number, point, float(number)) for number, point in points.items()]
    assert_valid(of, suggest(algorithm, of, tried, [trials])[trials])


@settings(deadline=None, max_examples=20)
@given(spaces(), st.integers(1, 30))
@pytest.mark.parametrize("algorithm", LEARNING)
def test_a_history_of_failures_does_no_harm(algorithm: str, of: Space, trials: int) -> None:
    tried = [Tried(number, point) for number, point in suggest("Random", of, [], range(trials)).items()]
    assert_valid(of, suggest(algorithm, of, tried, [trials])[trials])


ANOTHER_PROCESS = """
import json, sys
from keelway.search import Tried, suggest
from tests.property.search.test_points import known_search
print(json.dumps([suggest(algorithm, *known_search(), range(40, 44)) for algorithm in sys.argv[1:]]))
"""


def known_search() -> tuple[Space, list[Tried]]:
    """Forty results."""
    of = space(LEARNING_RATE, DEPTH, BOOSTER)
    points = suggest("Random", of, [], range(40))
    return of, [Tried(number, point, float(point["learning_rate"])) for number, point in points.items()]


def test_points_are_the_same_in_another_process() -> None:
    command = [sys.executable, "-c", ANOTHER_PROCESS, *ALGORITHMS]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    here = [suggest(algorithm, *known_search(), range(40, 44)) for algorithm in ALGORITHMS]
    assert json.loads(output) == json.loads(json.dumps(here))
