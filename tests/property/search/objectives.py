"""Deterministic objectives to search, each to be minimized, and the spaces that they are searched in."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keelway.search import Point

HARTMANN = (
    (1.0, (10, 3, 17, 3.5, 1.7, 8), (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886)),
    (1.2, (0.05, 10, 17, 0.1, 8, 14), (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991)),
    (3.0, (3, 3.5, 1.7, 10, 17, 8), (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650)),
    (3.2, (17, 8, 0.05, 10, 0.1, 14), (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381)),
)
"""Weight, widths and place of each hollow of the six-dimensional Hartmann function."""


@dataclass(frozen=True)
class Objective:
    """What a trial measures."""

    value: Callable[[Point], float]
    parameters: tuple[dict[str, Any], ...]


def _numbers(point: Point) -> list[float]:
    return [float(value) for value in point.values()]


def hartmann(point: Point) -> float:
    """Six dimensions, a few hollows."""
    place = _numbers(point)
    return -sum(
        weight * math.exp(-sum(width * (x - at) ** 2 for width, x, at in zip(widths, place, center, strict=True)))
        for weight, widths, center in HARTMANN
    )


def boosted_trees(point: Point) -> float:
    """As the loss of a boosted tree moves with its usual parameters."""
    rate, sample = math.log10(float(point["rate"])) + 1.6, float(point["sample"]) - 0.7
    kind = {"depthwise": 0.6, "lossguide": 0.0, "oblivious": 0.3}[str(point["kind"])]
    return rate**2 + 0.05 * (float(point["depth"]) - 5) ** 2 + kind + sample**2 + 0.3 * abs(rate * sample)


def steps(point: Point) -> float:
    """A hollow in whole numbers."""
    center, widths = (3, 17, 60, 7), (8, 20, 90, 9)
    return sum(((x - at) / width) ** 2 for x, at, width in zip(_numbers(point), center, widths, strict=True))


OBJECTIVES = {
    "hartmann": Objective(hartmann, tuple({"name": f"x{index}", "float": {"min": 0, "max": 1}} for index in range(6))),
    "boosted trees": Objective(
        boosted_trees,
        (
            {"name": "rate", "float": {"min": 1e-4, "max": 1, "scale": "Log"}},
            {"name": "depth", "int": {"min": 2, "max": 12}},
            {"name": "kind", "choice": {"values": ["depthwise", "lossguide", "oblivious"]}},
            {"name": "sample", "float": {"min": 0.3, "max": 1, "step": 0.05}},
        ),
    ),
    "steps": Objective(
        steps,
        tuple({"name": f"n{most}", "int": {"min": 0, "max": most}} for most in (8, 20, 100, 10)),
    ),
}
