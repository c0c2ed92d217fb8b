"""What a training reports on its way, and how `collect` relays it."""

from __future__ import annotations

import math
from collections.abc import Iterable

from keelway.api.curves import Curve
from keelway.api.digests import canonical_json
from keelway.api.jobs import STEP_MARK, StepReport

STEPS = 20


def curve(value: float, *, steps: int = STEPS) -> Curve:
    """A training that comes ever closer to `value`: at every step the order of two of them is that of their ends."""
    return tuple((step, round(value * (1 - math.exp(-4 * step / steps)), 6)) for step in range(1, steps + 1))


def relayed(points: Iterable[tuple[int, float]]) -> str:
    """The lines of `collect`'s log that tell these points."""
    reports = (StepReport(step=step, value=value) for step, value in points)
    return "".join(f"{STEP_MARK}{canonical_json(report.to_json()).decode()}\n" for report in reports)
