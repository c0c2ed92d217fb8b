"""An event loop whose clock jumps: waiting costs nothing, and the order of things is the same in every run."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
MOST_JUMPS = 500_000
"""How often a test may wait for the clock, many times what the longest one needs."""


class StalledError(Exception):
    """Nothing is due, or nothing but the next time to look: a real program would hang here."""


class _Selector(selectors.DefaultSelector):
    """Instead of waiting for a time to pass, moves the clock there."""

    now = 0.0
    jumps = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not ready and timeout is None:
            raise StalledError
        if not ready and timeout:
            self.now += timeout
            self.jumps += 1
            if self.jumps > MOST_JUMPS:
                raise StalledError(f"after {self.now:.0f} virtual seconds there is no end in sight")
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop on virtual time; `time()` starts at 0."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on virtual time to its end."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
