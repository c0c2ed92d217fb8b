"""Where bins lie, and how a profile is made to fit, for any values."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.api.digests import canonical_json
from keelway.api.profile import PROFILE_BYTES, ColumnProfile, Profile, TopValue
from keelway.worker.profiling.bins import counts_between, counts_in_bins, quantile_edges, value_edges
from keelway.worker.profiling.measures import kind_of
from keelway.worker.profiling.size import fit

NUMBERS = st.floats(-1e150, 1e150) | st.integers(-20, 20).map(float)
COUNTS = st.dictionaries(NUMBERS, st.integers(1, 1000), min_size=1, max_size=40)


def check_edges(edges: tuple[float, ...], smallest: float, largest: float) -> None:
    assert 2 <= len(edges) <= 11
    assert all(low < high for low, high in pairwise(edges))
    assert edges[0] == smallest
    assert edges[-1] >= largest


@given(st.lists(NUMBERS, min_size=1, max_size=60), NUMBERS, NUMBERS)
def test_edges_by_a_sample_ascend_and_hold_all_values(sample: list[float], one: float, other: float) -> None:
    smallest, largest = min(*sample, one, other), max(*sample, one, other)
    check_edges(quantile_edges(sample, smallest, largest), smallest, largest)


@given(COUNTS)
def test_edges_by_all_values_ascend_and_every_value_is_in_one_bin(counts: dict[float, int]) -> None:
    edges = value_edges(counts)
    check_edges(edges, min(counts), max(counts))
    found = counts_in_bins(counts, edges)
    assert sum(found) == sum(counts.values())
    last = len(found) - 1
    for index, (low, high) in enumerate(pairwise(edges)):
        inside = (n for value, n in counts.items() if low <= value and (value < high or index == last))
        assert found[index] == sum(inside)


@given(st.lists(NUMBERS, min_size=1, max_size=10, unique=True))
def test_few_values_have_a_bin_each(values: list[float]) -> None:
    assert counts_in_bins(dict.fromkeys(values, 3), value_edges(dict.fromkeys(values, 3))) == [3] * len(values)


@given(st.lists(NUMBERS, min_size=1, max_size=60), COUNTS)
def test_both_ways_of_counting_agree(sample: list[float], counts: dict[float, int]) -> None:
    edges = quantile_edges(sample, min(*sample, *counts, 0.0), max(*sample, *counts, 0.0))
    at_least = [sum(n for value, n in counts.items() if value >= edge) for edge in edges[1:-1]]
    assert counts_between(sum(counts.values()), at_least) == counts_in_bins(counts, edges)


@pytest.mark.parametrize(
    ("type_name", "kind"),
    [
        ("bigint", "Number"),
        ("decimal(18,3)", "Number"),
        ("decimal(18,3)[]", "Other"),
        ("timestamp with time zone", "Time"),
        ("timestamp_ns", "Time"),
        ("time", "Text"),
        ("enum('a', 'b')", "Text"),
        ("varchar[3]", "Other"),
        ("struct(a integer)", "Other"),
        ("blob", "Other"),
        ("json", "Other"),
        ("boolean", "Boolean"),
    ],
)
def test_kinds_of_types(type_name: str, kind: str) -> None:
    assert kind_of(type_name) == kind


def wide(columns: int, tops: int, length: int) -> Profile:
    """A profile whose texts have many different values, each one row of `tops` ones."""
    values = tuple(TopValue(value=f"{number:03}".ljust(length, "ü"), count=1) for number in range(tops))
    one = ColumnProfile(name="", type="varchar", kind="Text", count=tops, top=values)
    return Profile(rows=tops, columns=tuple(one.model_copy(update={"name": f"c{n}"}) for n in range(columns)))


def size(profile: Profile) -> int:
    return len(canonical_json(profile.to_json()))


def test_a_profile_that_fits_stays_as_it_is() -> None:
    assert fit(wide(20, 100, 128)) == wide(20, 100, 128)


def test_top_values_are_cut_first_and_their_rows_are_other_ones() -> None:
    cut = fit(wide(100, 40, 128))
    assert PROFILE_BYTES / 3 < size(cut) <= PROFILE_BYTES
    assert (len(cut.columns), cut.omitted_columns) == (100, 0)
    for column in cut.columns:
        assert [one.value[:3] for one in column.top] == [f"{number:03}" for number in range(20)]
        assert column.other_share == 0.5


def test_then_columns_are_cut_from_the_last_one_on() -> None:
    profile = wide(500, 1, 128)
    cut = fit(profile, limit=20_000)
    assert 18_000 < size(cut) <= 20_000
    assert [column.name for column in cut.columns] == [f"c{number}" for number in range(len(cut.columns))]
    assert len(cut.columns) + cut.omitted_columns == 500
