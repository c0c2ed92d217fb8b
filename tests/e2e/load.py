"""Steady, bounded load on a model of the local cluster, through its gateway."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

from dev.demo.prediction import Answer, ask, infer_request
from dev.processes import wait_until

CLIENTS = 4
PAUSE_SECONDS = 0.05
MOST_SECONDS = 240


@dataclass
class Load:
    """Clients that ask one after the other until stopped, each with its own answers in their order."""

    gateway: str
    host: str
    model: str
    row: tuple[float, ...]
    answers: list[list[Answer]] = field(default_factory=lambda: [[] for _ in range(CLIENTS)])
    _stop: Event = field(default_factory=Event)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """The load for as long as the body runs, at most MOST_SECONDS."""
        threads = [Thread(target=self._ask_on, args=(answers,), daemon=True) for answers in self.answers]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def wait_for_version(self, version: str, *, times: int = 20, seconds: float = 30) -> None:
        """Wait until every client has had this many more answers, and the last of them all of one version."""
        before = [len(answers) for answers in self.answers]

        def have_come() -> bool:
            fresh = [answers[start:] for start, answers in zip(before, self.answers, strict=True)]
            return all(_last(answers, version, times) for answers in fresh)

        wait_until(have_come, seconds=seconds, what=f"{times} answers in a row of version {version} for every client")

    @property
    def failures(self) -> list[Answer]:
        """All answers that are no predictions."""
        return [answer for answers in self.answers for answer in answers if answer.status != 200]

    @property
    def count(self) -> int:
        """How many requests were sent."""
        return sum(map(len, self.answers))

    def switches(self) -> list[list[str]]:
        """For each client the versions that answered it, without repetitions in a row."""
        return [
            [now.version for before, now in zip([None, *answers], answers, strict=False) if not _same(before, now)]
            for answers in self.answers
        ]

    def _ask_on(self, answers: list[Answer]) -> None:
        request = infer_request(self.gateway, self.host, self.model, [self.row])
        deadline = time.monotonic() + MOST_SECONDS
        while not self._stop.wait(PAUSE_SECONDS) and time.monotonic() < deadline:
            answers.append(ask(request))


def _last(answers: list[Answer], version: str, times: int) -> bool:
    return len(answers) >= times and all(answer.version == version for answer in answers[-times:])


def _same(before: Answer | None, now: Answer) -> bool:
    return before is not None and before.version == now.version
