"""Each case on both sides at the same time, so that what else the machine does meets both."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from dev.comparison.counting import harm, is_settled, seconds_until_right
from dev.comparison.models import Case, asked_about, right_label
from dev.comparison.sides import SOUND, Side
from dev.comparison.table import Line
from dev.demo.load import Load
from dev.demo.prediction import predict
from dev.processes import wait_until
from dev.progress import console, step

CLIENTS, PAUSE = 2, 0.05
LEAST_SECONDS, MOST_SECONDS = 90, 420
"""How long clients ask after the change, on both sides until the later one is decided and settled."""
LOAD_SECONDS = 900


@dataclass
class Asked:
    """A side, the clients that ask it, and what was last said of it."""

    side: Side
    load: Load
    said: str = ""

    def is_over(self, version: int) -> bool:
        """Whether it is known what became of a version, and of the clients."""
        settled = is_settled(self.load.everything, right_label(self.load.row), now=time.monotonic())
        return self.side.has_met(version) and settled

    def tell(self, began: float) -> None:
        """Print how things are, when that is news."""
        now = self.side.standing()
        if now != self.said:
            line = f"  {time.monotonic() - began:5.1f} s  {self.side.name}: {now}"
            console.print(line, markup=False, soft_wrap=True)
            self.said = now


@dataclass(frozen=True)
class Comparison:
    """The sides, and where clients ask them."""

    sides: Sequence[Side]
    gateway: str
    row: tuple[float, ...] = field(default_factory=asked_about)

    def begin(self) -> None:
        """Serve the sound model on all sides. Raises DevError when clients are not answered."""
        for side in self.sides:
            with step(f"version {SOUND}: {side.name}"):
                side.begin()
                predict(self.gateway, side.host, side.name, [self.row])

    def case(self, case: Case, version: int) -> list[Line]:
        """Bring in a bad model everywhere; a line for each side. Version 1 serves again afterwards."""
        console.rule(f"The new model {case.name}: version {version}")
        with self._asked() as asked:
            self._bring_in(case, version, asked)
            until = time.monotonic()
            lines = [_line(case, version, one, until) for one in asked]
            return [_mended(line, one) for line, one in zip(lines, asked, strict=True)]

    def _bring_in(self, case: Case, version: int, asked: Sequence[Asked]) -> None:
        began = time.monotonic()
        for one in asked:
            one.side.change(case.model(), version)

        def is_over() -> bool:
            for one in asked:
                one.tell(began)
            lasted = time.monotonic() - began >= LEAST_SECONDS
            return lasted and all(one.is_over(version) for one in asked)

        wait_until(is_over, seconds=MOST_SECONDS, what=f"what becomes of version {version}", every=1)
        console.print(f"  load average of the machine: {os.getloadavg()[0]:.1f}", markup=False)

    @contextmanager
    def _asked(self) -> Iterator[list[Asked]]:
        """Clients of all sides, once each of them gets right answers."""
        with ExitStack() as running:
            asked = [Asked(side, running.enter_context(self._load(side).running())) for side in self.sides]
            for one in asked:
                one.load.wait_for_version(str(SOUND))
            yield asked

    def _load(self, side: Side) -> Load:
        return Load(
            self.gateway, side.host, side.name, self.row, clients=CLIENTS, pause=PAUSE, most_seconds=LOAD_SECONDS
        )


def _line(case: Case, version: int, asked: Asked, until: float) -> Line:
    counted = harm(asked.load.everything, right_label(asked.load.row), until=until)
    return Line(case.name, asked.side.title, counted, asked.side.remained(version))


def _mended(line: Line, asked: Asked) -> Line:
    """Version 1 is put back, and all is right again; with the seconds that took where the harm had not ended."""
    began = time.monotonic()
    with step(f"version {SOUND} again: {asked.side.name}"):
        asked.side.put_back()
        asked.load.wait_for_version(str(SOUND))
    if line.harm.seconds is not None:
        return line
    label = right_label(asked.load.row)
    return replace(line, by_hand=seconds_until_right(asked.load.everything, label, since=began))
