"""A run as the operator plays it: trials take their time, come back in any order, and are lost now and then."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from keelway.api.search import Search
from keelway.search import Point, Space, Tried, suggest
from keelway.search.window import history, may_begin

Value = Callable[[Point], float]
Fate = Callable[[int, Point, Value], Tried]


@dataclass
class Schedule:
    """One run. `chance` decides which trial comes back next, and which of those under way are begun anew."""

    search: Search
    space: Space
    value: Value
    chance: random.Random
    fate: Fate
    losses: float = 0.0
    """How likely a trial is lost before it ends, at each look."""
    running: dict[int, Point] = field(default_factory=dict)
    ended: dict[int, Tried] = field(default_factory=dict)
    asked: dict[int, list[Point]] = field(default_factory=dict)
    """Every point that was ever given to a trial."""

    def play(self) -> dict[int, list[Point]]:
        """Until all trials have ended."""
        while len(self.ended) < self.search.max_trials:
            self._begin()
            assert self.running, "a run never waits for nothing"
            self._end(self.chance.choice(list(self.running)))
            for number in [one for one in self.running if self.chance.random() < self.losses]:
                del self.running[number]
        return self.asked

    def _begin(self) -> None:
        for number in (n for n in range(self.search.max_trials) if n not in self.ended and n not in self.running):
            full = len(self.running) >= self.search.parallel_trials
            if full or not may_begin(self.search, self.space, number, self.ended.keys()):
                return
            known = history(self.search, number, self._tried())
            self.running[number] = suggest(self.search.algorithm, self.space, known, [number])[number]
            self.asked.setdefault(number, []).append(self.running[number])

    def _tried(self) -> list[Tried]:
        running = [Tried(number, point, running=True) for number, point in self.running.items()]
        return [*self.ended.values(), *running]

    def _end(self, number: int) -> None:
        point = self.running.pop(number)
        self.ended[number] = self.fate(number, point, self.value)

    @property
    def best(self) -> float:
        """The least value that was found."""
        return min(trial.value for trial in self.ended.values() if trial.value is not None)


def succeeds(number: int, point: Point, value: Value) -> Tried:
    """Every trial tells its value."""
    return Tried(number, point, value(point))


def differs(number: int, point: Point, value: Value) -> Tried:
    """One trial in nine fails, one in eleven is ended early."""
    if number % 9 == 4:
        return Tried(number, point)
    if number % 11 == 7:
        return Tried(number, point, value(point) + 1, pruned=True, step=number % 5)
    return Tried(number, point, value(point))
