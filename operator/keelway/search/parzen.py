"""TPE (Bergstra et al., NeurIPS 2011) by Optuna, replayed from the history: all that knows Optuna is here.

Imported at the first search by TPE, which takes half a second.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from keelway.search.axes import Axis, ChoiceAxis
from keelway.search.result import Result

optuna.logging.set_verbosity(optuna.logging.WARNING)

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
MANY_POSITIONS = 64
"""More than so many are sampled as real numbers, which costs a third of the time."""
STATES = {"Complete": TrialState.COMPLETE, "Pruned": TrialState.PRUNED, "Bad": TrialState.RUNNING}


def next_places(
    axes: tuple[Axis, ...], results: Sequence[Result], *, good: int, maximize: bool, seed: int
) -> tuple[float, ...]:
    """Where TPE looks next, near the best `good` results and far from others.

    Each axis has more than one position; results are ordered by number.
    """
    space = _space(axes)
    study = optuna.create_study(sampler=_Sampler(space, good, seed), direction="maximize" if maximize else "minimize")
    study.add_trials([_past(space, result) for result in results])
    asked = study.ask(dict(space)).params
    return tuple(_place(axis, asked[name]) for name, axis in zip(space, axes, strict=True))


class _Sampler(optuna.samplers.TPESampler):
    """TPE in a space that is known beforehand: to find what all trials have in common costs more than to sample."""

    def __init__(self, space: Mapping[str, BaseDistribution], good: int, seed: int) -> None:
        with warnings.catch_warnings():
            # Optuna 6 will have another way to say how many results are good.
            warnings.simplefilter("ignore", FutureWarning)
            super().__init__(seed=seed, n_startup_trials=1, gamma=lambda _: good, constant_liar=True)
        self._known_space = dict(space)

    def infer_relative_search_space(self, _study: Any, _trial: Any) -> dict[str, BaseDistribution]:
        return self._known_space


class _Past(FrozenTrial):
    """A trial that nobody changes any more, so that a study's own copy of it may share what it consists of."""

    def __deepcopy__(self, _memo: Any) -> FrozenTrial:
        return copy.copy(self)


@lru_cache(maxsize=64)
def _space(axes: tuple[Axis, ...]) -> Mapping[str, BaseDistribution]:
    return {str(index): _distribution(axis) for index, axis in enumerate(axes)}


def _distribution(axis: Axis) -> BaseDistribution:
    if isinstance(axis, ChoiceAxis):
        return CategoricalDistribution(tuple(range(axis.positions)))
    if axis.positions > MANY_POSITIONS:
        return FloatDistribution(-0.5, axis.positions - 0.5)
    return IntDistribution(0, axis.positions - 1) if axis.positions else FloatDistribution(0.0, 1.0)


def _place(axis: Axis, asked: float) -> float:
    return min(max(round(asked), 0), axis.positions - 1) if axis.positions else asked


def _past(space: Mapping[str, BaseDistribution], result: Result) -> FrozenTrial:
    return _Past(
        number=0,
        trial_id=0,
        state=STATES[result.state],
        value=result.value if result.state == "Complete" else None,
        intermediate_values={result.step: result.value} if result.state == "Pruned" else {},
        params=dict(zip(space, result.places, strict=True)),
        distributions=dict(space),
        datetime_start=LONG_AGO,
        datetime_complete=None if result.state == "Bad" else LONG_AGO,
        user_attrs={},
        system_attrs={},
    )
