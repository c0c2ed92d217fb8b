"""Steady, bounded load on a model of the local cluster, through its gateway, and who answered it."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

from dev.demo.prediction import Answer, ask, infer_request
from dev.processes import wait_until

MOST_SECONDS = 240


@dataclass(frozen=True)
class Tally:
    """How many answers came from which version, and how many of them were no predictions."""

    answered: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, answers: Iterable[Answer]) -> "Tally":
        """The counts of these answers; an answer of no server counts for version ""."""
        known = list(answers)
        answered = Counter(answer.version for answer in known)
        failed = Counter(answer.version for answer in known if not answer.is_prediction)
        return cls(dict(sorted(answered.items())), dict(sorted(failed.items())))

    @property
    def count(self) -> int:
        """All answers together."""
        return sum(self.answered.values())

    def percent(self, version: str) -> float:
        """How much of a hundred answers came from a version; 0 where there are none."""
        return 100 * self.answered.get(version, 0) / self.count if self.count else 0.0

    def __str__(self) -> str:
        """The counts in words."""
        parts = (f"{_named(one)} {count} ({self.percent(one):.0f} %)" for one, count in self.answered.items())
        failed = ", ".join(f"{count} of {_named(one)}" for one, count in self.failed.items())
        return f"{self.count} answers: {', '.join(parts) or 'none'}; failed: {failed or 'none'}"


@dataclass
class Load:
    """Clients that ask one after the other until stopped, each with its own answers in their order."""

    gateway: str
    host: str
    model: str
    row: tuple[float, ...]
    clients: int = 4
    pause: float = 0.05
    """Seconds from an answer to the client's next request."""
    most_seconds: float = MOST_SECONDS
    answers: list[list[Answer]] = field(default_factory=list)
    _threads: list[Thread] = field(default_factory=list)
    _stop: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.answers = [[] for _ in range(self.clients)]

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """The load for as long as the body runs, at most `most_seconds`."""
        self._threads = [Thread(target=self._ask_on, args=(answers,), daemon=True) for answers in self.answers]
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    @property
    def asks(self) -> bool:
        """Whether any client asks still."""
        return any(thread.is_alive() for thread in self._threads)

    def wait_for_version(self, version: str, *, times: int = 20, seconds: float = 30) -> None:
        """Wait until every client has had this many more answers, and the last of them all of one version."""
        before = [len(answers) for answers in self.answers]

        def have_come() -> bool:
            fresh = [answers[start:] for start, answers in zip(before, self.answers, strict=True)]
            return all(_last(answers, version, times) for answers in fresh)

        wait_until(have_come, seconds=seconds, what=f"{times} answers in a row of version {version} for every client")

    @property
    def everything(self) -> list[Answer]:
        """All answers."""
        return [answer for answers in self.answers for answer in answers]

    @property
    def failures(self) -> list[Answer]:
        """All answers that are no predictions."""
        return [answer for answer in self.everything if not answer.is_prediction]

    @property
    def count(self) -> int:
        """How many requests were sent."""
        return sum(map(len, self.answers))

    def between(self, begin: float, end: float) -> Tally:
        """Who answered from one moment to another, by `time.monotonic`."""
        return Tally.of(answer for answer in self.everything if begin <= answer.at < end)

    def switches(self) -> list[list[str]]:
        """For each client the versions that answered it, without repetitions in a row."""
        return [
            [now.version for before, now in zip([None, *answers], answers, strict=False) if not _same(before, now)]
            for answers in self.answers
        ]

    def _ask_on(self, answers: list[Answer]) -> None:
        request = infer_request(self.gateway, self.host, self.model, [self.row])
        deadline = time.monotonic() + self.most_seconds
        while not self._stop.wait(self.pause) and time.monotonic() < deadline:
            answers.append(ask(request))


def _last(answers: list[Answer], version: str, times: int) -> bool:
    return len(answers) >= times and all(answer.version == version for answer in answers[-times:])


def _same(before: Answer | None, now: Answer) -> bool:
    return before is not None and before.version == now.version


def _named(version: str) -> str:
    return f"version {version}" if version else "nobody"
