"""How far the distributions of a version's columns have moved from those of another version.

Distances between two histograms over the same bins, never p-values: with many rows every difference is significant.
A column's bins are those of the reference: for numbers and times its edges, for texts and booleans its most frequent
values; then what is in none of them (values that the reference has not seen among them), then NULL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from math import log, log2, sqrt

from keelway.api.checks import DriftSettings
from keelway.api.findings import ColumnDrift, Drift
from keelway.api.profile import ColumnProfile, Profile

DIGITS = 4
WORST = 5
SHARE_FLOOR = 1e-4
"""Smallest share that PSI sees: an empty bin would make it infinite. One row in ten thousand is less than what a bin
of a decile loses by chance in 100 000 rows, and a bin that fills from nothing to a tenth still counts 0.69."""

Shares = Sequence[float]


def drift(profile: Profile, reference: Profile, settings: DriftSettings, *, against: int) -> Drift:
    """How far `profile`, counted in the bins of `reference` (version `against`), is from it.

    Not compared: ignored columns, columns that one of the two lacks or has as another kind, nested and binary ones,
    and anything when one of the two has no rows. Raises ValueError when a column has other bins than the reference.
    """
    values = {name: _distance(settings, one, other) for name, one, other in _pairs(profile, reference, settings)}
    ordered = sorted(values.items(), key=lambda item: (-item[1], item[0]))
    largest = ordered[0][1] if ordered else None
    return Drift(
        against=against,
        statistic=settings.statistic,
        worst=tuple(ColumnDrift(column=name, value=value) for name, value in ordered[:WORST]),
        drifted_columns=sum(value >= settings.warn for value in values.values()),
        level="None" if largest is None or largest < settings.warn else "Warn" if largest < settings.fail else "Fail",
    )


def psi(shares: Shares, reference: Shares) -> float:
    """Population stability index, `sum((a - e) * ln(a / e))`, from 0; shares below SHARE_FLOOR count as that.

    Siddiqi, Credit Risk Scorecards (2006), ch. 6; by its usual bands 0.1 is a small and 0.25 a large move. It is
    Jeffreys' symmetric form of the divergence of Kullback and Leibler (1951). By hand: (0.9, 0.1) against (0.5, 0.5)
    is 0.4 ln 1.8 - 0.4 ln 0.2 = 0.4 ln 9 = 0.8789.
    """
    floored = [(max(a, SHARE_FLOOR), max(e, SHARE_FLOOR)) for a, e in zip(shares, reference, strict=True)]
    return sum((a - e) * log(a / e) for a, e in floored)


def jensen_shannon(shares: Shares, reference: Shares) -> float:
    """Jensen-Shannon distance, base 2: 0 for equal, 1 for disjoint distributions.

    The root of the divergence of Lin (1991), a metric by Endres and Schindelin (2003). By hand: (1, 0) against
    (0.5, 0.5) has the mean m = (0.75, 0.25), so the divergence is log2(1 / 0.75) / 2 + (log2(0.5 / 0.75) / 2 +
    log2(0.5 / 0.25) / 2) / 2 = 0.3113, and the distance 0.5579.
    """
    halves = [_towards_mean(a, e) + _towards_mean(e, a) for a, e in zip(shares, reference, strict=True)]
    return sqrt(min(1.0, max(0.0, sum(halves) / 2)))


def kolmogorov_smirnov(shares: Shares, reference: Shares) -> float:
    """Largest difference of the cumulative shares of ordered bins, from 0 to 1.

    Smirnov (1948) for two samples; between bins the distance can be larger than seen from their edges. By hand:
    (0.2, 0.3, 0.5) against (0.5, 0.3, 0.2) cumulates to (0.2, 0.5, 1) and (0.5, 0.8, 1), so 0.3.
    """
    differences = accumulate(a - e for a, e in zip(shares, reference, strict=True))
    return min(1.0, max(map(abs, differences), default=0.0))


def total_variation(shares: Shares, reference: Shares) -> float:
    """Half the sum of the differences, from 0 to 1: what `kolmogorov_smirnov` is at most, over all orders of the bins.

    It stands for it where bins have no order. By hand: (0.2, 0.3, 0.5) against (0.5, 0.3, 0.2) is (0.3 + 0 + 0.3) / 2
    = 0.3.
    """
    return min(1.0, sum(abs(a - e) for a, e in zip(shares, reference, strict=True)) / 2)


STATISTICS: Mapping[str, Callable[[Shares, Shares], float]] = {
    "PSI": psi,
    "JensenShannon": jensen_shannon,
    "KolmogorovSmirnov": kolmogorov_smirnov,
}


def _towards_mean(one: float, other: float) -> float:
    return one * log2(2 * one / (one + other)) if one > 0 else 0.0


def _pairs(
    profile: Profile, reference: Profile, settings: DriftSettings
) -> Iterator[tuple[str, ColumnProfile, ColumnProfile]]:
    known = {column.name: column for column in reference.columns}
    if not profile.rows or not reference.rows:
        return
    for column in profile.columns:
        other = known.get(column.name)
        if other and other.kind == column.kind != "Other" and column.name not in settings.ignore:
            yield column.name, column, other


def _distance(settings: DriftSettings, column: ColumnProfile, reference: ColumnProfile) -> float:
    if _bins(column) != _bins(reference):
        raise ValueError(f"column {column.name!r} is not counted in the bins of the reference")
    statistic = STATISTICS[settings.statistic]
    if settings.statistic == "KolmogorovSmirnov" and not _is_ordered(reference):
        statistic = total_variation
    return round(statistic(_shares(column), _shares(reference)), DIGITS)


def _is_ordered(column: ColumnProfile) -> bool:
    return column.kind in ("Number", "Time")


def _bins(column: ColumnProfile) -> object:
    return column.edges if _is_ordered(column) else [one.value for one in column.top]


def _shares(column: ColumnProfile) -> list[float]:
    """The share of each bin, then of other values, then of NULL."""
    if _is_ordered(column):
        counted = list(column.shares)
    else:
        rows = column.count + column.nulls
        counted = [one.count / rows for one in column.top]
    return [*counted, column.other_share, column.null_share]
