"""Which resource is looked at next.

A key waits at most once and runs at most once; what happens to it while it runs makes it wait again afterwards. Keys
whose child has just ended go first: in a burst, finished work would otherwise wait behind everything that was created
before. Adding and taking cost O(1), timers O(log n).
"""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

from keelway.api.kinds import Key

FIRST_RETRY = 0.005
LAST_RETRY = 300.0
JITTER = 0.2
URGENT_IN_A_ROW = 16
"""After so many urgent keys one of the others gets its turn, so that nobody starves."""

CANCELLED_TIMERS = 1024
"""How many timers that no longer count may lie around."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One key to look at. Give it back with `Queue.done`."""

    key: Key
    urgent: bool
    waited: float
    """Seconds since it was first added."""


class _Timer(NamedTuple):
    due: float
    sequence: int
    key: Key


@dataclass(slots=True)
class _Wait:
    urgent: bool
    since: float


class Queue:
    """Keys in two lanes, with timers and a backoff for each key. `clock` is monotonic seconds, `draw` gives [0, 1)."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, draw: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._draw = draw
        self._urgent: OrderedDict[Key, float] = OrderedDict()
        self._normal: OrderedDict[Key, float] = OrderedDict()
        self._running: dict[Key, _Wait | None] = {}
        self._timers: list[_Timer] = []
        self._due: dict[Key, _Timer] = {}
        """The timers that count; others in the heap were cancelled."""
        self._sequence = count()
        self._failures: dict[Key, int] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._urgent_in_a_row = 0

    def add(self, key: Key, *, urgent: bool = False) -> None:
        """Have a key looked at as soon as a worker is free."""
        self._wait(key, _Wait(urgent, self._clock()))

    def _wait(self, key: Key, wait: _Wait) -> None:
        if key in self._running:
            known = self._running[key]
            self._running[key] = _Wait(wait.urgent or known.urgent, known.since) if known else wait
        elif key not in self._urgent:
            since = self._normal.pop(key, wait.since) if wait.urgent else wait.since
            (self._urgent if wait.urgent else self._normal).setdefault(key, since)
            self._call_getter()

    def add_after(self, key: Key, seconds: float) -> None:
        """Have a key looked at in so many seconds; of several times the earliest counts, a turn cancels it."""
        due = self._clock() + seconds
        if key in self._due and due >= self._due[key].due:
            return
        timer = self._due[key] = _Timer(due, next(self._sequence), key)
        heapq.heappush(self._timers, timer)
        if len(self._timers) > 2 * len(self._due) + CANCELLED_TIMERS:
            self._timers = [timer for timer in self._timers if self._counts(timer)]
            heapq.heapify(self._timers)
        if self._timers[0] is timer:
            self._set_alarm()

    def retry(self, key: Key, *, at_least: float = 0.0) -> float:
        """Have a key looked at again after a failure, in seconds that double with each failure; returns them."""
        failures = self._failures[key] = self.failures(key) + 1
        longest = min(LAST_RETRY, FIRST_RETRY * 2.0 ** min(failures - 1, 32))
        delay = max(at_least, longest * (1 - JITTER * self._draw()))
        self.add_after(key, delay)
        return delay

    def forget(self, key: Key) -> None:
        """Start the backoff of a key anew."""
        self._failures.pop(key, None)

    def failures(self, key: Key) -> int:
        """How often a key has failed in a row."""
        return self._failures.get(key, 0)

    def depth(self) -> dict[str, int]:
        """How many keys wait in each lane, for their time, and run."""
        return {
            "urgent": len(self._urgent),
            "normal": len(self._normal),
            "later": len(self._due),
            "running": len(self._running),
        }

    async def get(self) -> Turn:
        """The next key; waits for one."""
        while True:
            self._release_due()
            if turn := self._take():
                return turn
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                self._give_up(getter)
                raise

    def done(self, key: Key) -> None:
        """A worker has finished with a key."""
        wait = self._running.pop(key)
        if wait:
            self._wait(key, wait)

    def _take(self) -> Turn | None:
        lane = self._next_lane()
        if not lane:
            return None
        key, since = lane.popitem(last=False)
        urgent = lane is self._urgent
        self._urgent_in_a_row = self._urgent_in_a_row + 1 if urgent else 0
        self._running[key] = None
        self._due.pop(key, None)
        return Turn(key, urgent, self._clock() - since)

    def _next_lane(self) -> OrderedDict[Key, float]:
        others_turn = self._normal and self._urgent_in_a_row >= URGENT_IN_A_ROW
        return self._normal if others_turn or not self._urgent else self._urgent

    def _call_getter(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _give_up(self, getter: asyncio.Future[None]) -> None:
        """A worker that stops passes the call on to another one."""
        if getter.done() and not getter.cancelled():
            self._call_getter()
        elif getter in self._getters:
            self._getters.remove(getter)

    def _release_due(self) -> None:
        now = self._clock()
        while self._timers and self._timers[0].due <= now:
            timer = heapq.heappop(self._timers)
            if self._counts(timer):
                del self._due[timer.key]
                self.add(timer.key)

    def _counts(self, timer: _Timer) -> bool:
        return self._due.get(timer.key) is timer

    def _set_alarm(self) -> None:
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None
        while self._timers and not self._counts(self._timers[0]):
            heapq.heappop(self._timers)
        if self._timers:
            delay = max(0.0, self._timers[0].due - self._clock())
            self._alarm = asyncio.get_running_loop().call_later(delay, self._ring)

    def _ring(self) -> None:
        self._release_due()
        self._set_alarm()
