"""When a trial is ended early: the two rules, on curves that a person can follow."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.api.curves import Curve
from keelway.api.search import EarlyStopping
from keelway.search.stopping import should_stop


def curve(*values: float, start: int = 1, stride: int = 1) -> Curve:
    return tuple((start + stride * index, value) for index, value in enumerate(values))


def flat(value: float, steps: int = 10) -> Curve:
    return curve(*[value] * steps)


def negative(line: Curve) -> Curve:
    return tuple((step, -value) for step, value in line)


def median(**fields: Any) -> EarlyStopping:
    return EarlyStopping(**{"min_trials": 3, "start_step": 4, **fields})


def halving(**fields: Any) -> EarlyStopping:
    return EarlyStopping(
        **{"algorithm": "SuccessiveHalving", "min_trials": 3, "start_step": 4, "reduction_factor": 2, **fields}
    )


def stops(settings: EarlyStopping, line: Curve, others: list[Curve]) -> bool:
    """The answer, which is the same for a loss as for the score that is its negative, in whatever order."""
    answer = should_stop(settings, line, others, maximize=True)
    mirrored = [negative(other) for other in reversed(others)]
    assert should_stop(settings, negative(line), mirrored, maximize=False) == answer
    return answer


@pytest.fixture(params=[median, halving], ids=["Median", "SuccessiveHalving"])
def settings(request: pytest.FixtureRequest) -> EarlyStopping:
    made: EarlyStopping = request.param()
    return made


# both rules


def test_the_worst_ends_and_the_best_goes_on(settings: EarlyStopping) -> None:
    others = [flat(0.5), flat(0.6), flat(0.7)]
    assert stops(settings, flat(0.4, 4), others)
    assert not stops(settings, flat(0.8, 4), others)


def test_nobody_is_judged_before_the_first_step(settings: EarlyStopping) -> None:
    others = [flat(0.5), flat(0.6), flat(0.7)]
    assert not stops(settings, flat(0.4, 3), others)
    assert not stops(settings, (), others)


def test_nobody_is_judged_beside_too_few(settings: EarlyStopping) -> None:
    assert not stops(settings, flat(0.4, 4), [flat(0.6), flat(0.7)])
    assert not stops(settings, flat(0.4, 4), [flat(0.6), flat(0.7), ()])


def test_who_has_not_come_as_far_does_not_count(settings: EarlyStopping) -> None:
    others = [flat(0.6), flat(0.7)]
    assert not stops(settings, flat(0.4, 4), [*others, flat(0.8, 3)])
    assert not stops(settings, flat(0.4, 4), [*others, curve(0.8, 0.8, start=5)]), "it has no value there yet"
    assert stops(settings, flat(0.4, 4), [*others, flat(0.8, 4)])


def test_equals_go_on_together(settings: EarlyStopping) -> None:
    assert not stops(settings, flat(0.5), [flat(0.5)] * 9)


def test_between_two_reports_the_earlier_one_holds(settings: EarlyStopping) -> None:
    sparse = [curve(value, 1.0, stride=9) for value in (0.5, 0.6, 0.7)]
    assert stops(settings, flat(0.4, 4), sparse)
    assert not stops(settings, flat(0.8, 4), sparse)


def test_one_other_is_enough_where_a_user_says_so(settings: EarlyStopping) -> None:
    brave = settings.model_copy(update={"min_trials": 1, "start_step": 0})
    assert stops(brave, ((0, 0.4),), [((0, 0.5),)])
    assert not stops(brave, ((0, 0.4),), [((0, 0.3),)])


# median


def test_the_median_of_averages_decides() -> None:
    others = [flat(0.1), flat(0.5), flat(0.9)]
    assert stops(median(), flat(0.49, 4), others)
    assert not stops(median(), flat(0.5, 4), others)


def test_an_even_number_of_others_meets_in_the_middle() -> None:
    others = [flat(0.1), flat(0.4), flat(0.6), flat(0.9)]
    assert stops(median(), flat(0.49, 4), others)
    assert not stops(median(), flat(0.51, 4), others)


def test_averages_are_of_the_steps_so_far() -> None:
    rising = [curve(0, 2, 4, 6, 90, 90)] * 3
    assert not stops(median(), curve(1, 1, 2, 3), rising), "3 is the mean of their first four values"
    assert stops(median(), curve(1, 1, 2, 2.9), rising)


def test_the_best_value_so_far_speaks_for_a_trial() -> None:
    others = [flat(0.5)] * 3
    assert not stops(median(), curve(0.1, 0.6, 0.1, 0.1), others)


def test_a_thinned_curve_has_the_average_of_the_whole_one() -> None:
    whole = curve(0.2, 0.2, 0.2, 0.8, 0.8, 0.8)
    thin = ((1, 0.2), (4, 0.8), (6, 0.8))
    for value in (0.49, 0.51):
        line = flat(value, 6)
        assert stops(median(), line, [thin] * 3) == stops(median(), line, [whole] * 3) == (value < 0.5)


# successive halving


def test_one_in_so_many_goes_on() -> None:
    lines = [flat(value / 10) for value in range(8)]
    kept = {factor: going_on(halving(reduction_factor=factor), lines) for factor in (2, 3, 4, 8)}
    assert kept == {2: [4, 5, 6, 7], 3: [5, 6, 7], 4: [6, 7], 8: [7]}


def going_on(settings: EarlyStopping, lines: list[Curve]) -> list[int]:
    return [
        number
        for number, line in enumerate(lines)
        if not stops(settings, line, [other for other in lines if other is not line])
    ]


def test_a_trial_is_judged_at_the_last_rung_that_it_has_come_to() -> None:
    late = curve(*[0.1] * 7, *[0.9] * 9)
    others = [flat(0.5, 16)] * 3
    assert stops(halving(), late[:4], others)
    assert stops(halving(), late[:7], others), "step 7 is beyond the rung at 4, and not at the one at 8"
    assert not stops(halving(), late[:8], others)
    fading = curve(*[0.9] * 7, *[0.1] * 9)
    assert not stops(halving(), fading[:7], others)
    assert stops(halving(), fading[:8], others)


@pytest.mark.parametrize(
    ("start", "factor", "rungs"), [(4, 2, [4, 8, 16]), (3, 4, [3, 12]), (0, 2, [0, 1, 2, 4, 8, 16])]
)
def test_rungs_grow_by_the_factor(start: int, factor: int, rungs: list[int]) -> None:
    settings = halving(start_step=start, reduction_factor=factor)
    others = [curve(*[0.5] * 18, start=0)] * 20
    base = [0.9] * 18
    felt = []
    for dip in range(18):
        line = curve(*[0.1 if step == dip else value for step, value in enumerate(base)], start=0)
        if any(stops(settings, line[: upto + 1], others) for upto in range(18)):
            felt.append(dip)
    assert felt == rungs


def test_a_trial_ends_when_others_overtake_it_at_its_rung() -> None:
    line = flat(0.5, 6)
    worse = [flat(0.1), flat(0.2), flat(0.3)]
    assert not stops(halving(), line, worse)
    assert stops(halving(), line, [*worse, *[flat(0.6, 4)] * 4])
