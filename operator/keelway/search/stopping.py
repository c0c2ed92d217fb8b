"""Early stopping: whether a trial that runs does so badly, beside the others, that it should end.

Pure: what a curve says at a step is its last value at or before that step. A curve has come as far as a step when it
has a value there and goes on to that step or beyond.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from keelway.api.curves import Curve
from keelway.api.search import EarlyStopping


def should_stop(settings: EarlyStopping, curve: Curve, others: Sequence[Curve], *, maximize: bool) -> bool:
    """Whether the trial with this curve should end now; `others` are the curves of all other trials.

    Never before settings.start_step, nor when fewer than settings.min_trials others have come as far.
    """
    if not curve or curve[-1][0] < settings.start_step:
        return False
    rule = _halved if settings.algorithm == "SuccessiveHalving" else _below_median
    return rule(settings, curve, others, 1 if maximize else -1)


def _below_median(settings: EarlyStopping, curve: Curve, others: Sequence[Curve], sign: int) -> bool:
    """The median rule of Golovin et al., "Google Vizier", KDD 2017, section 3.2.2.

    A trial ends when its best value so far is worse than the median of the others' running averages up to its step.
    Averages lag behind a curve that rises, so one that rises late is given time: against the median of the others' best
    values, which is the other rule in use, late risers are lost (tests/property/stopping).
    """
    step = curve[-1][0]
    averages = [sign * _running_average(other, step) for other in _as_far(others, step)]
    if len(averages) < settings.min_trials:
        return False
    return max(sign * value for _, value in curve) < median(averages)


def _halved(settings: EarlyStopping, curve: Curve, others: Sequence[Curve], sign: int) -> bool:
    """Successive halving without waiting, after Li et al., "A System for Massively Parallel Hyperparameter Tuning"
    (ASHA), MLSys 2020.

    Rungs are the steps start_step, start_step * reduction_factor, ... At the last rung that a trial has come to, one in
    reduction_factor (rounded up) of all that have come there goes on, the best ones. Nobody waits for the others: a
    trial ends when it is known that it is not among those, be it by trials that come there after it.
    """
    rung = _last_rung(settings, curve[-1][0])
    rivals = [sign * _at(other, rung) for other in _as_far(others, rung)]
    if len(rivals) < settings.min_trials:
        return False
    own = sign * _at(curve, rung)
    kept = math.ceil((len(rivals) + 1) / settings.reduction_factor)
    return sum(rival > own for rival in rivals) >= kept


def _last_rung(settings: EarlyStopping, step: int) -> int:
    """The last rung at or before a step that is not before start_step; the first one is 0 where that is 0."""
    rung = max(1, settings.start_step)
    while rung * settings.reduction_factor <= step:
        rung *= settings.reduction_factor
    return min(rung, step)


def _as_far(curves: Sequence[Curve], step: int) -> list[Curve]:
    return [curve for curve in curves if curve and curve[0][0] <= step <= curve[-1][0]]


def _at(curve: Curve, step: int) -> float:
    """The last value at or before a step; the first one where a curve begins later."""
    return next((value for at, value in reversed(curve) if at <= step), curve[0][1])


def _running_average(curve: Curve, step: int) -> float:
    """Mean of the values from the curve's first step up to `step`, each counted for as many steps as it holds."""
    total, (since, holding) = 0.0, curve[0]
    for at, value in curve:
        if at > step:
            break
        total += holding * (at - since)
        since, holding = at, value
    return (total + holding * (step + 1 - since)) / (step + 1 - curve[0][0])
