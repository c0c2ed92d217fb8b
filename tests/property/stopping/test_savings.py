"""Early stopping on learning curves of real trainings: how much time it saves, and what it costs in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import mean, median

import pytest

from keelway.api.search import EarlyStopping
from keelway.lifecycle.experiment.pruning import LOOK_SECONDS
from keelway.lifecycle.jobs import DELETE_GRACE_SECONDS
from tests.property.stopping.searching import Searching
from tests.property.stopping.training import FAMILIES, Family, Training, configurations, recorded, train

ORDERS = range(20)
TRIAL_SECONDS = 100.0
"""On the mean: the recorded times are stretched to it, so that a look every LOOK_SECONDS is a twentieth of a trial."""
LEAST_SAVED = 0.3
RULES = [EarlyStopping(), EarlyStopping(algorithm="SuccessiveHalving")]
"""As they are when a user says no more than the algorithm."""

families = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def stretched(family: Family) -> list[Training]:
    """The family's trainings, slowed down so that one takes TRIAL_SECONDS on the mean."""
    trainings = recorded()[family.name]
    factor = TRIAL_SECONDS / mean(one.seconds * len(one.values) for one in trainings)
    return [Training(one.parameters, one.seconds * factor, one.values) for one in trainings]


def ranked(family: Family, results: Sequence[float]) -> list[float]:
    """Results, the best one first."""
    return sorted(results, reverse=family.maximize)


@dataclass(frozen=True)
class Savings:
    """What early stopping did in several orders of the same trials."""

    shares: list[float]
    """Saved part of the seconds of all trials together."""
    ranks: list[int]
    """Which of all results the best one found is: 1 is the best of all."""
    pruned: float

    def __str__(self) -> str:
        return (
            f"saves {median(self.shares):.0%} of the seconds ({min(self.shares):.0%} to {max(self.shares):.0%}),"
            f" finds the best result in {self.ranks.count(1)} of {len(self.ranks)} orders, at worst number"
            f" {max(self.ranks)}; ends {self.pruned:.0f} of 48 trials"
        )


def savings(
    family: Family, settings: EarlyStopping | None, *, orders: Sequence[int] = ORDERS, misled: bool = False
) -> Savings:
    """Search in several orders; `misled`: the rule takes good for bad."""
    trainings = stretched(family)
    all_results = ranked(family, [one.values[-1] for one in trainings])
    whole = sum(one.seconds * len(one.values) for one in trainings)
    searches = []
    for order in orders:
        search = Searching(settings, family.maximize != misled, LOOK_SECONDS, DELETE_GRACE_SECONDS)
        search.run(trainings, order=order)
        searches.append(search)
    return Savings(
        shares=[1 - search.seconds / whole for search in searches],
        ranks=[all_results.index(ranked(family, search.results)[0]) + 1 for search in searches],
        pruned=mean(search.pruned for search in searches),
    )


@cache
def told(family: Family, settings: EarlyStopping) -> Savings:
    """The savings of a rule, also printed."""
    found = savings(family, settings)
    print(f"{settings.algorithm} on {family.name}: {found}")
    return found


@families
@pytest.mark.parametrize("settings", RULES, ids=lambda settings: settings.algorithm)
def test_it_saves_thirty_percent_of_the_time(family: Family, settings: EarlyStopping) -> None:
    assert median(told(family, settings).shares) >= LEAST_SAVED


@families
def test_median_finds_the_same_best_result_in_every_order(family: Family) -> None:
    assert set(told(family, RULES[0]).ranks) == {1}


@pytest.mark.parametrize(("family", "worst"), [(FAMILIES[0], 1), (FAMILIES[1], 2)], ids=lambda value: str(value)[:20])
def test_successive_halving_finds_the_best_or_the_next_best(family: Family, worst: int) -> None:
    """It is quicker, and not as patient: the best boosting is a late riser, 17th of 48 at the first rung."""
    assert max(told(family, RULES[1]).ranks) <= worst


@families
def test_without_a_rule_nothing_is_saved_and_nothing_lost(family: Family) -> None:
    found = savings(family, None, orders=ORDERS[:3])
    assert found.shares == pytest.approx([0.0] * 3)
    assert (set(found.ranks), found.pruned) == ({1}, 0)


@families
def test_a_rule_that_is_misled_loses_the_best(family: Family) -> None:
    """So the tests above can fail: trials differ, and which of them end matters."""
    assert median(savings(family, RULES[0], orders=ORDERS[:7], misled=True).ranks) >= 3


# the recorded curves


@families
def test_the_recorded_trainings_can_be_done_again(family: Family) -> None:
    trainings = recorded()[family.name]
    assert [one.parameters for one in trainings] == configurations(family)
    quick = min(trainings, key=lambda one: one.seconds)
    again = train(family, quick.parameters)
    assert again.values == pytest.approx(quick.values, abs=0.02), "processors may round otherwise"
