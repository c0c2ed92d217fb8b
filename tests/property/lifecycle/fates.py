"""What happens to the pods of a simulated cluster, as a test wants it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

End: TypeAlias = Literal[
    "succeeds",
    "fails",
    "out_of_memory",
    "data_gone",
    "unreachable",
    "evicted",
    "node_lost",
    "says_nothing",
    "times_out",
    "job_deleted",
    "differs",
]
"""How a pod ends. After `evicted` the Job controller makes another pod of the same Job; one that `differs` has trained
another model than the same training made before."""


@dataclass(frozen=True)
class Fate:
    """One pod: how many seconds it cannot start because of its image, how many it runs, how it ends."""

    end: End = "succeeds"
    seconds: float = 5.0
    image_missing: float = 0.0


CALM = Fate()


@dataclass(frozen=True)
class ServerFate:
    """The servers of one model version: seconds until the model is loaded; a failing one crashes instead."""

    seconds: float = 8.0
    loads: bool = True
    crashes_after: float | None = None
    """Seconds with traffic after which they crash and stay down."""


Sample: TypeAlias = Literal["good", "bad", "none", "nan", "down"]
"""What Prometheus has to say: of a version, or at all."""


@dataclass(frozen=True)
class ModelFate:
    """How good one version of a model is."""

    score: float = 0.9
    """What an evaluator finds."""
    answers: bool = True
    """Whether its servers answer smoke requests as they should."""
    sample: Sample = "good"
    """What its metrics are like under traffic."""
    worse_from: int = 0
    """Weight below which they are good all the same."""


@dataclass
class Fates:
    """Fates of all pods; whoever is not mentioned succeeds."""

    looks: Sequence[Fate] = ()
    """Of the observe Jobs, in the order in which their pods start."""
    trials: Mapping[tuple[int, int], Sequence[Fate]] = field(default_factory=dict)
    """(trial, attempt) to the fates of the pods of Jobs of that name, in order; shared by all runs."""
    servers: dict[int, ServerFate] = field(default_factory=dict)
    """By model version."""
    slow_gateway: float = 1.0
    """Seconds until a route is accepted."""
    derivations: Sequence[Fate] = ()
    """Of the Jobs that derive, in the order in which their pods start."""
    reproductions: Sequence[Fate] = ()
    """Of the Jobs that train again from a record, in the order in which their pods start."""
    sweeps: Sequence[Fate] = ()
    """Of the Jobs that delete models, in the order in which their pods start."""
    verifications: Sequence[Fate] = ()
    """Of the Jobs that compare a model with its record, in the order in which their pods start."""
    evaluations: Sequence[Fate] = ()
    """Of the Jobs of gates, in the order in which their pods start."""
    smokes: Sequence[Fate] = ()
    """Of the Jobs that send smoke requests, in the order in which their pods start."""
    models: dict[int, ModelFate] = field(default_factory=dict)
    """By version."""
    training: Callable[[int], Fate] = lambda _trial: CALM
    """Of pods of a trial whose fate is not stated otherwise."""
    _begun: Counter[object] = field(default_factory=Counter)

    def of_look(self) -> Fate:
        """Fate of the next observe pod."""
        return self._next("looks", self.looks)

    def of_derivation(self) -> Fate:
        """Fate of the next pod that derives."""
        return self._next("derivations", self.derivations)

    def of_trial(self, trial: int, attempt: int) -> Fate:
        """Fate of the next pod of a trial's Job, or of one that is made anew under its name."""
        return self._next((trial, attempt), self.trials.get((trial, attempt), ()), self.training(trial))

    def of_reproduction(self) -> Fate:
        """Fate of the next pod that trains again from a record."""
        return self._next("reproductions", self.reproductions)

    def of_sweep(self) -> Fate:
        """Fate of the next pod that deletes models."""
        return self._next("sweeps", self.sweeps)

    def of_verification(self) -> Fate:
        """Fate of the next pod that compares a model with its record."""
        return self._next("verifications", self.verifications)

    def of_evaluation(self) -> Fate:
        """Fate of the next pod of a gate."""
        return self._next("evaluations", self.evaluations)

    def of_smoke(self) -> Fate:
        """Fate of the next pod that sends smoke requests."""
        return self._next("smokes", self.smokes)

    def of_model(self, version: int) -> ModelFate:
        """How good a model version is."""
        return self.models.get(version, ModelFate())

    def _next(self, whose: object, fates: Sequence[Fate], otherwise: Fate = CALM) -> Fate:
        number = self._begun[whose]
        self._begun[whose] += 1
        return fates[number] if number < len(fates) else otherwise

    def of_server(self, version: int) -> ServerFate:
        """Fate of the servers of a model version."""
        return self.servers.get(version, ServerFate())
