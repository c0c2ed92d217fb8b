"""Which parameters are tried next: within the space, and the same again for the same seed, however one asks."""

from __future__ import annotations

import math
from statistics import mean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.api.search import Search
from keelway.search import Point, Space, Tried, suggest, trial_total
from tests.unit.search.spaces import BOOSTER, DEPTH, LEARNING_RATE, assert_inside, space

ALGORITHMS = ["TPE", "Random", "CMAES", "Grid"]
MIXED = space(LEARNING_RATE, DEPTH, BOOSTER)


def history(of: Space, count: int) -> list[Tried]:
    """Trials that ended, the deeper the better; one failed, one still runs."""
    points = suggest("Random", of, [], range(count))
    done = [Tried(number, point, float(point["depth"])) for number, point in points.items()]
    return [*done[:-2], Tried(count - 2, points[count - 2]), Tried(count - 1, points[count - 1], running=True)]


@pytest.mark.parametrize("algorithm", ALGORITHMS[:3])
@pytest.mark.parametrize("tried", [0, 4, 15])
def test_the_same_seed_and_history_give_the_same_points(algorithm: str, tried: int) -> None:
    known = history(MIXED, tried) if tried else []
    numbers = range(tried, tried + 4)
    assert suggest(algorithm, MIXED, known, numbers) == suggest(algorithm, MIXED, known, numbers)
    assert suggest(algorithm, MIXED, known, numbers) == suggest(algorithm, MIXED, known[::-1], numbers)
    other = space(LEARNING_RATE, DEPTH, BOOSTER, seed=7)
    assert suggest(algorithm, other, known, numbers) != suggest(algorithm, MIXED, known, numbers)


@pytest.mark.parametrize("algorithm", ALGORITHMS[:3])
@pytest.mark.parametrize("tried", [0, 4, 15])
def test_points_do_not_depend_on_how_many_are_asked_for_at_once(algorithm: str, tried: int) -> None:
    known: list[Tried] = history(MIXED, tried) if tried else []
    at_once = suggest(algorithm, MIXED, known, range(tried, tried + 5))
    for number in range(tried, tried + 5):
        assert suggest(algorithm, MIXED, known, [number])[number] == at_once[number]
        known.append(Tried(number, at_once[number], running=True))


def test_a_random_point_depends_on_seed_and_number_alone() -> None:
    alone = suggest("Random", MIXED, [], [17])
    assert suggest("Random", MIXED, history(MIXED, 12), [12, 17])[17] == alone[17]


def test_points_are_stable() -> None:
    """Golden values: another point for a number would make a second Job for a trial that is under way."""
    (point,) = suggest("Random", space(DEPTH, BOOSTER), [], [0]).values()
    assert point == {"depth": 7, "booster": 3}


def test_choices_keep_their_type() -> None:
    points = suggest("Random", space(BOOSTER), [], range(40)).values()
    assert {repr(point["booster"]) for point in points} == {"'gbtree'", "'dart'", "3"}


def search_with(algorithm: str, of: Space, value: Any, trials: int) -> list[Point]:
    tried: list[Tried] = []
    for number in range(trials):
        point = suggest(algorithm, of, tried, [number])[number]
        tried.append(Tried(number, point, value(point)))
    return [one.point for one in tried]


@pytest.mark.parametrize("maximize", [True, False])
def test_tpe_learns_where_the_good_points_are(maximize: bool) -> None:
    of = space(
        {"name": "x", "float": {"min": 0, "max": 1}}, {"name": "y", "float": {"min": 0, "max": 1}}, maximize=maximize
    )

    def distance(point: Point) -> float:
        return abs(float(point["x"]) - 0.3) + abs(float(point["y"]) - 0.8)

    sign = -1 if maximize else 1
    found = {a: search_with(a, of, lambda point: sign * distance(point), 40) for a in ("TPE", "Random")}
    last = {algorithm: mean(distance(point) for point in points[-15:]) for algorithm, points in found.items()}
    assert last["TPE"] < 0.6 * last["Random"]


def test_tpe_does_not_ask_for_points_that_are_under_way() -> None:
    of = space({"name": "x", "int": {"min": 0, "max": 1000}})
    points = suggest("Random", of, [], range(12))
    tried = [Tried(number, point, -abs(float(point["x"]) - 500)) for number, point in points.items()]
    asked = [point["x"] for point in suggest("TPE", of, tried, range(12, 20)).values()]
    assert len(set(asked)) > 4, "parallel trials spread out"


GRID = space(
    {"name": "a", "choice": {"values": ["x", "y"]}},
    {"name": "b", "int": {"min": 1, "max": 6, "step": 2}},
    {"name": "c", "float": {"min": 0.1, "max": 0.3, "step": 0.1}},
)


def test_a_grid_has_every_point_once_and_the_last_parameter_moves_fastest() -> None:
    points = list(suggest("Grid", GRID, [], range(18)).values())
    assert points[:4] == [
        {"a": "x", "b": 1, "c": 0.1},
        {"a": "x", "b": 1, "c": 0.2},
        {"a": "x", "b": 1, "c": 0.3},
        {"a": "x", "b": 3, "c": 0.1},
    ]
    assert points[-1] == {"a": "y", "b": 5, "c": 0.3}
    assert len({tuple(point.items()) for point in points}) == 18


def test_a_grid_of_a_thousand_million_points_costs_nothing_to_hold() -> None:
    axes = [{"name": f"p{n}", "int": {"min": 0, "max": 999}} for n in range(3)]
    huge = space(*axes)
    assert trial_total(Search(algorithm="Grid", max_trials=10_000), huge) == 10_000
    assert suggest("Grid", huge, [], [10**9 - 1])[10**9 - 1] == {"p0": 999, "p1": 999, "p2": 999}
    assert len(suggest("Grid", huge, [], range(500))) == 500


@settings(deadline=None)
@given(st.floats(1e-15, 1e9), st.integers(1, 50), st.integers(0, 49))
def test_a_grid_of_floats_ends_at_its_bounds(low: float, steps: int, position: int) -> None:
    high = low * 2
    axis = {"name": "x", "float": {"min": low, "max": high, "step": (high - low) / steps}}
    of = space(axis)
    assert trial_total(Search(algorithm="Grid", max_trials=1000), of) == steps + 1
    values = [float(suggest("Grid", of, [], [n])[n]["x"]) for n in (0, min(position, steps), steps)]
    assert values == sorted(values)
    assert math.isclose(values[0], low, rel_tol=1e-9)
    assert math.isclose(values[-1], high, rel_tol=1e-9)
    assert low * (1 - 1e-9) <= values[1] <= high * (1 + 1e-9)


@pytest.mark.parametrize(
    "axis", [{"name": "x", "int": {"min": 3, "max": 3}}, {"name": "x", "float": {"min": 3, "max": 3, "step": 1}}]
)
def test_a_grid_of_one_point(axis: dict[str, Any]) -> None:
    assert trial_total(Search(algorithm="Grid"), space(axis)) == 1
    assert suggest("Grid", space(axis), [], [0]) == {0: {"x": 3}}


@pytest.mark.parametrize(
    ("algorithm", "parameters", "wanted", "total"),
    [
        ("TPE", [DEPTH], 20, 20),
        ("Random", [DEPTH], 20, 20),
        ("Grid", [DEPTH], 20, 7),
        ("Grid", [DEPTH], 5, 5),
        ("TPE", [], 20, 1),
        ("Grid", [], 20, 1),
    ],
)
def test_how_many_trials_a_run_has(algorithm: Any, parameters: list[dict[str, Any]], wanted: int, total: int) -> None:
    assert trial_total(Search(algorithm=algorithm, max_trials=wanted), space(*parameters)) == total


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_without_parameters_there_is_the_empty_point(algorithm: str) -> None:
    assert suggest(algorithm, space(), [], [0]) == {0: {}}


@pytest.mark.parametrize("algorithm", ["TPE", "Random"])
@pytest.mark.parametrize(("low", "high", "steps"), [(524288.0, 524288.0078125, 3), (100000.3203125, 100000.3203135, 1)])
def test_fine_steps_far_from_zero_are_searched_to_the_end(algorithm: str, low: float, high: float, steps: int) -> None:
    of = space({"name": "p", "float": {"min": low, "max": high, "step": (high - low) / steps}})
    tried: list[Tried] = []
    for number in range(30):
        point = suggest(algorithm, of, tried, [number])[number]
        assert_inside(of.parameters[0], point["p"])
        tried.append(Tried(number, point, float(number)))
    assert len({one.point["p"] for one in tried}) == steps + 1


LINE = space({"name": "x", "float": {"min": 0, "max": 1}}, max_trials=20)


def line(pruned: bool, step: int) -> list[Tried]:
    """Good results on the left, and ten on the right that told a better value before they were ended."""
    left = [Tried(number, {"x": 0.1 + number / 100}, 1.0 - number / 100) for number in range(10)]
    values = [2.0 if pruned else None] * 10
    right = [
        Tried(number + 10, {"x": 0.8 + number / 100}, value, pruned=pruned, step=step)
        for number, value in enumerate(values)
    ]
    return [*left, *right]


@pytest.mark.parametrize("pruned", [True, False], ids=["ended early", "failed"])
def test_tpe_stays_near_what_was_completed(pruned: bool) -> None:
    points = [suggest("TPE", LINE, line(pruned, 3), [number])[number] for number in range(20, 60)]
    assert sum(float(point["x"]) < 0.5 for point in points) > 30


def test_tpe_prefers_what_came_further_where_nothing_was_completed() -> None:
    tried = [
        Tried(
            number, {"x": 0.1 + number / 50 if number < 10 else 0.7 + (number - 10) / 50}, 0.5, pruned=True, step=step
        )
        for number, step in enumerate([1] * 10 + [9] * 10)
    ]
    points = [suggest("TPE", LINE, tried, [number])[number] for number in range(20, 60)]
    assert sum(float(point["x"]) > 0.5 for point in points) > 30


@pytest.mark.parametrize("pruned", [True, False], ids=["ended early", "failed"])
def test_cma_es_takes_the_last_value_of_a_trial_that_was_ended_early(pruned: bool) -> None:
    of = space(*({"name": name, "float": {"min": 0, "max": 1}} for name in "xy"), max_trials=60)
    tried: list[Tried] = []
    for number in range(48):
        point = suggest("CMAES", of, tried, [number])[number]
        right = float(point["x"]) > 0.5
        value = (float(point["x"]) if pruned else None) if right else float(point["x"])
        tried.append(Tried(number, point, value, pruned=pruned and right))
    last = mean(float(trial.point["x"]) for trial in tried[-12:])
    assert last > 0.7 if pruned else last < 0.5


def test_cma_es_draws_choices_at_random() -> None:
    of = space(LEARNING_RATE, BOOSTER)
    tried = [
        Tried(number, point, float(point["booster"] == "dart"))
        for number, point in suggest("Random", of, [], range(60)).items()
    ]
    found = [suggest("CMAES", of, tried, [number])[number]["booster"] for number in range(60, 150)]
    assert all(15 < found.count(value) < 45 for value in ("gbtree", "dart", 3))


def test_cma_es_begins_anew_around_the_best_point() -> None:
    size, of = 6, space(*({"name": name, "float": {"min": 0, "max": 1}} for name in "xy"))
    points = suggest("Random", of, [], range(60 * size))
    tried = [Tried(number, point, 0.0) for number, point in points.items()]
    tried[17] = Tried(17, {"x": 0.15, "y": 0.9}, 1.0)
    again = suggest("CMAES", of, tried, range(60 * size, 60 * size + 40)).values()
    assert mean(float(point["x"]) for point in again) < 0.35
    assert mean(float(point["y"]) for point in again) > 0.65
