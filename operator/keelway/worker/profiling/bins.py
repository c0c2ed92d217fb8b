"""Where the bins of a column lie, and how many values are in each."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise

BINS = 10


def quantile_edges(sample: Sequence[float], smallest: float, largest: float) -> tuple[float, ...]:
    """Edges of at most BINS bins that hold about equally much of the sample; where a value is frequent, fewer.

    `edges[i] <= value < edges[i + 1]`, so that the last edge lies above a largest value that has a bin of its own.
    """
    ordered = sorted(sample)
    inner = {ordered[index * len(ordered) // BINS] for index in range(1, BINS)} if ordered else set()
    return _closed(sorted(edge for edge in inner if edge > smallest), smallest, largest)


def value_edges(counts: Mapping[float, int]) -> tuple[float, ...]:
    """Edges for a column whose values are all known: one bin a value when there are few, else as `quantile_edges`."""
    values = sorted(counts)
    if not values:
        return ()
    if len(values) <= BINS:
        return _closed(values[1:], values[0], values[-1])
    below = list(accumulate(counts[value] for value in values))
    inner = {values[bisect_right(below, index * below[-1] // BINS)] for index in range(1, BINS)}
    return _closed(sorted(edge for edge in inner if edge > values[0]), values[0], values[-1])


def inner_edges(edges: Sequence[float]) -> tuple[float, ...]:
    """The edges that separate values: the first bin has no lower end and the last one no upper."""
    return tuple(edges[1:-1])


def counts_in_bins(counts: Mapping[float, int], edges: Sequence[float]) -> list[int]:
    """How many values are in each bin."""
    found = [0] * max(0, len(edges) - 1)
    if found:
        inner = inner_edges(edges)
        for value, count in counts.items():
            found[bisect_right(inner, value)] += count
    return found


def counts_between(values: int, at_least: Sequence[int]) -> list[int]:
    """How many values are in each bin, from how many there are and how many are at or above each inner edge."""
    bounds = [values, *at_least, 0]
    return [upper - lower for upper, lower in pairwise(bounds)]


def _closed(inner: Sequence[float], smallest: float, largest: float) -> tuple[float, ...]:
    """With outer edges."""
    lower = inner[-1] if inner else smallest
    if largest > lower:
        return (smallest, *inner, largest)
    below = inner[-2] if len(inner) > 1 else smallest
    return (smallest, *inner, largest + max((lower - below) or 1.0, math.ulp(largest)))
