"""A search over recorded trainings: trials side by side, as long as they took, ended early where a rule says so."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from keelway.api.curves import Curve, thinned
from keelway.api.search import EarlyStopping
from keelway.search.stopping import should_stop
from tests.property.stopping.training import Training

PARALLEL = 4


@dataclass(order=True)
class _Trial:
    look_at: float
    number: int
    training: Training = field(compare=False)
    began: float = field(compare=False)

    @property
    def end(self) -> float:
        return self.began + self.training.seconds * len(self.training.values)

    def curve(self, now: float) -> Curve:
        steps = int((now - self.began) / self.training.seconds + 1e-9)
        return tuple(enumerate(self.training.values[:steps], start=1))


@dataclass
class Searching:
    """A search with PARALLEL trials at a time; a trial is looked at every `look_seconds`."""

    settings: EarlyStopping | None
    maximize: bool
    look_seconds: float
    ending_seconds: float
    """How long a trial goes on after it was decided that it ends."""
    seconds: float = 0.0
    """Running time of all trials together."""
    results: list[float] = field(default_factory=list)
    """Of the trials that came to their end."""
    pruned: int = 0
    _ended: list[Curve] = field(default_factory=list)
    _running: list[_Trial] = field(default_factory=list)

    def run(self, trainings: Sequence[Training], *, order: int) -> None:
        """Run them all, in an order that is drawn by this seed."""
        now = 0.0
        for number, training in enumerate(random.Random(order).sample(trainings, len(trainings))):
            if len(self._running) == PARALLEL:
                now = self._next_end()
            self._wait(_Trial(now, number, training, now))
        while self._running:
            self._next_end()

    def _wait(self, trial: _Trial) -> None:
        trial.look_at = min(trial.look_at + self.look_seconds, trial.end)
        heappush(self._running, trial)

    def _next_end(self) -> float:
        """Let time pass until a trial has ended or is told to; returns when."""
        while True:
            trial = heappop(self._running)
            if trial.look_at >= trial.end:
                return self._note(trial, trial.end)
            if self._should_stop(trial):
                self.pruned += 1
                return self._note(trial, min(trial.look_at + self.ending_seconds, trial.end))
            self._wait(trial)

    def _should_stop(self, trial: _Trial) -> bool:
        if self.settings is None:
            return False
        now = trial.look_at
        others = [*self._ended, *(other.curve(now) for other in self._running)]
        return should_stop(self.settings, trial.curve(now), others, maximize=self.maximize)

    def _note(self, trial: _Trial, until: float) -> float:
        now = trial.look_at
        self.seconds += until - trial.began
        if now >= trial.end:
            self.results.append(trial.training.values[-1])
        self._ended.append(thinned(trial.curve(now)))
        return now
