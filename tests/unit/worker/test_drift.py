"""Distances between distributions: known values, laws that hold for any shares, and what is compared at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite, log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.api.checks import DriftSettings
from keelway.api.findings import ColumnDrift
from keelway.api.profile import ColumnProfile, Profile, TopValue
from keelway.worker.drift import drift, jensen_shannon, kolmogorov_smirnov, psi, total_variation

Statistic = Callable[[Sequence[float], Sequence[float]], float]

EVERY: list[Statistic] = [psi, jensen_shannon, kolmogorov_smirnov, total_variation]
TINY = 1e-7
"""The root of a rounding error in the 16th digit is one in the 8th."""
each_statistic = pytest.mark.parametrize("statistic", EVERY)


def normalised(weights: Sequence[int]) -> list[float]:
    return [weight / sum(weights) for weight in weights]


def tuples_of_shares(number: int) -> st.SearchStrategy[tuple[list[float], ...]]:
    """So many distributions over the same bins."""
    bins = st.lists(st.tuples(*[st.integers(0, 10**4)] * number), min_size=1, max_size=10)
    columns = bins.map(lambda rows: [list(column) for column in zip(*rows, strict=True)])
    return columns.filter(lambda found: all(map(sum, found))).map(lambda found: tuple(map(normalised, found)))


def mixed(one: Sequence[float], other: Sequence[float], part: float) -> list[float]:
    return [(1 - part) * a + part * b for a, b in zip(one, other, strict=True)]


@pytest.mark.parametrize(
    ("statistic", "one", "other", "value"),
    [
        pytest.param(psi, [0.9, 0.1], [0.5, 0.5], 0.4 * log(9), id="PSI by hand"),
        pytest.param(psi, [0.1, 0.9], [0.0, 1.0], 0.0999 * log(1000) - 0.1 * log(0.9), id="PSI fills an empty bin"),
        pytest.param(jensen_shannon, [1, 0], [0.5, 0.5], 0.5579, id="Jensen-Shannon by hand"),
        pytest.param(jensen_shannon, [1, 0], [0, 1], 1, id="Jensen-Shannon of disjoint ones"),
        pytest.param(kolmogorov_smirnov, [0.2, 0.3, 0.5], [0.5, 0.3, 0.2], 0.3, id="Kolmogorov-Smirnov by hand"),
        pytest.param(kolmogorov_smirnov, [1, 0, 0], [0, 0, 1], 1, id="Kolmogorov-Smirnov of disjoint ones"),
        pytest.param(total_variation, [0.5, 0, 0.5], [0, 0.5, 0.5], 0.5, id="total variation by hand"),
    ],
)
def test_known_values(statistic: Statistic, one: list[float], other: list[float], value: float) -> None:
    assert statistic(one, other) == pytest.approx(value, abs=5e-5)


@each_statistic
@given(tuples_of_shares(1))
def test_equal_distributions_have_no_distance(statistic: Statistic, given: tuple[list[float], ...]) -> None:
    assert statistic(given[0], given[0]) == pytest.approx(0, abs=TINY)


@each_statistic
@given(tuples_of_shares(2))
def test_every_statistic_is_symmetric(statistic: Statistic, given: tuple[list[float], ...]) -> None:
    one, other = given
    assert statistic(one, other) == pytest.approx(statistic(other, one), abs=TINY)


@each_statistic
@given(tuples_of_shares(2))
def test_values_are_finite_and_in_bounds(statistic: Statistic, given: tuple[list[float], ...]) -> None:
    value = statistic(*given)
    assert isfinite(value)
    assert 0 <= value <= (20 if statistic is psi else 1)


@each_statistic
@given(tuples_of_shares(2), st.floats(0, 1), st.floats(0, 1))
def test_the_more_is_mixed_in_the_larger_the_distance(
    statistic: Statistic, given: tuple[list[float], ...], part: float, other_part: float
) -> None:
    base, foreign = given
    less, more = sorted([part, other_part])
    assert statistic(mixed(base, foreign, less), base) <= statistic(mixed(base, foreign, more), base) + TINY


@given(tuples_of_shares(3))
def test_distances_of_jensen_and_shannon_obey_the_triangle(given: tuple[list[float], ...]) -> None:
    one, two, three = given
    assert jensen_shannon(one, three) <= jensen_shannon(one, two) + jensen_shannon(two, three) + TINY


@given(tuples_of_shares(2), st.randoms())
def test_the_order_of_bins_matters_to_one_statistic_alone(given: tuple[list[float], ...], random: Random) -> None:
    pairs = list(zip(*given, strict=True))
    shuffled = list(pairs)
    random.shuffle(shuffled)
    one, other = ([pair[side] for pair in shuffled] for side in (0, 1))
    for statistic in (psi, jensen_shannon, total_variation):
        assert statistic(one, other) == pytest.approx(statistic(*given), abs=TINY)
    assert kolmogorov_smirnov(one, other) <= total_variation(*given) + TINY


ROWS = 1000


def number(name: str = "x", shares: Sequence[float] = (0.5, 0.5), **changes: object) -> ColumnProfile:
    edges = tuple(float(edge) for edge in range(len(shares) + 1))
    fields = {"type": "double", "kind": "Number", "count": ROWS, "edges": edges, "shares": tuple(shares)}
    return ColumnProfile(**{"name": name, **fields, **changes})


def text(name: str = "city", **counts: int) -> ColumnProfile:
    top = tuple(TopValue(value=value, count=count) for value, count in counts.items())
    other = 1 - sum(counts.values()) / ROWS
    return ColumnProfile(name=name, type="varchar", kind="Text", count=ROWS, top=top, other_share=other)


def profile(*columns: ColumnProfile, rows: int = ROWS) -> Profile:
    return Profile(rows=rows, columns=columns)


def test_the_worst_five_come_first_and_all_that_reach_the_limit_are_counted() -> None:
    moved = {f"c{index}": 0.5 + index / 20 for index in range(7)}
    new = profile(*(number(name, (share, 1 - share)) for name, share in moved.items()))
    found = drift(new, profile(*map(number, moved)), DriftSettings(warn=0.04, fail=1.0), against=3)
    assert (found.against, found.statistic, found.level) == (3, "PSI", "Warn")
    assert [one.column for one in found.worst] == ["c6", "c5", "c4", "c3", "c2"]
    assert found.worst[0].value == round(0.3 * log(0.8 / 0.2), 4)
    assert found.drifted_columns == 5  # from c2 on, 0.1 ln(0.6 / 0.4) = 0.0405


@pytest.mark.parametrize(
    ("share", "level"), [(0.5, "None"), (0.55, "None"), (0.6, "Warn"), (0.65, "Fail"), (0.9, "Fail")]
)
def test_the_worst_column_gives_the_level(share: float, level: str) -> None:
    new = profile(number("a"), number("b", (share, 1 - share)))
    settings = DriftSettings(statistic="KolmogorovSmirnov", warn=0.1, fail=0.15)
    assert drift(new, profile(number("a"), number("b")), settings, against=1).level == level


def test_a_column_that_becomes_null_has_moved() -> None:
    new = number(shares=(0.25, 0.25), count=500, nulls=500, null_share=0.5)
    found = drift(profile(new), profile(number()), DriftSettings(statistic="KolmogorovSmirnov"), against=1)
    assert found.worst == (ColumnDrift(column="x", value=0.5),)


@pytest.mark.parametrize("statistic", ["PSI", "JensenShannon", "KolmogorovSmirnov"])
def test_unseen_texts_have_moved_a_column(statistic: str) -> None:
    settings = DriftSettings.model_validate({"statistic": statistic})
    found = drift(profile(text(a=300, b=300)), profile(text(a=500, b=500)), settings, against=1)
    assert found.level == "Fail"


def test_texts_have_no_order_to_cumulate_in() -> None:
    new, old = text(a=200, b=400, c=0, d=400), text(a=300, b=200, c=300, d=200)
    settings = DriftSettings(statistic="KolmogorovSmirnov")
    assert drift(profile(new), profile(old), settings, against=1).worst[0].value == 0.4  # cumulated in order it is 0.2


@pytest.mark.parametrize(
    ("new", "reference", "ignore"),
    [
        pytest.param([number("a")], [number("b")], [], id="no such column on either side"),
        pytest.param([number(shares=(1, 0))], [number()], ["x"], id="ignored"),
        pytest.param([text("x", a=1)], [number("x")], [], id="another kind"),
        pytest.param([number(kind="Other")], [number(kind="Other")], [], id="nested"),
    ],
)
def test_what_is_not_compared(new: list[ColumnProfile], reference: list[ColumnProfile], ignore: list[str]) -> None:
    settings = DriftSettings(ignore=tuple(ignore))
    found = drift(profile(*new), profile(*reference), settings, against=1)
    assert (found.worst, found.drifted_columns, found.level) == ((), 0, "None")


@pytest.mark.parametrize("rows", [(0, ROWS), (ROWS, 0)])
def test_without_rows_there_is_nothing_to_compare(rows: tuple[int, int]) -> None:
    new, reference = profile(number(), rows=rows[0]), profile(number(shares=(1, 0)), rows=rows[1])
    assert drift(new, reference, DriftSettings(), against=1).worst == ()


def test_other_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="bins"):
        drift(profile(number(edges=(0.0, 5.0, 9.0))), profile(number()), DriftSettings(), against=1)
