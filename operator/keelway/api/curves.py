"""Curves: how the objective of a trial went while it ran."""

from __future__ import annotations

from typing import TypeAlias

from keelway.api.jobs import CURVE_POINTS

Curve: TypeAlias = tuple[tuple[int, float], ...]
"""(step, value) of intermediate reports, steps ascending, values finite. Between two of them the earlier one holds."""


def thinned(curve: Curve, most: int = CURVE_POINTS) -> Curve:
    """At most `most` (two or more) points, spread evenly over their order; the first and the last stay.

    Depends on the number of points alone: trials that reported the same steps keep the same ones.
    """
    if len(curve) <= most:
        return curve
    return tuple(curve[index * (len(curve) - 1) // (most - 1)] for index in range(most))
