"""The loop: take a key, decide, carry the decision out, say so in one line of the log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from keelway.api import GROUP
from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.engine.behaviour import Behaviour
from keelway.engine.errors import ApiError, NameConflictError, RefusedError, name_of
from keelway.engine.executor import Executor, Outcome, Stage
from keelway.engine.objects import is_ending
from keelway.engine.queue import Queue, Turn
from keelway.engine.store import Store
from keelway.engine.telemetry import Telemetry
from keelway.lifecycle.plan import Plan

logger = logging.getLogger(__name__)
SILENT_FAILURES = 8
"""An error that may go away by itself shows in the status from this one in a row on: after about a second."""


@dataclass
class Look:
    """One look at one resource: what was decided and what became of it."""

    turn: Turn
    plan: Plan | None = None
    outcome: Outcome = field(default_factory=Outcome)
    crash: Exception | None = None
    """An error of our own, in a decision or in carrying it out."""

    @property
    def error(self) -> Exception | None:
        """What went wrong, if anything."""
        return self.crash or self.outcome.error

    @property
    def result(self) -> str:
        """One word for metrics and log."""
        return name_of(self.error) if self.error else "ok"

    @property
    def reason(self) -> str:
        """Which step decided."""
        return self.plan.reason if self.plan else "none"

    @property
    def told_otherwise(self) -> bool:
        """Whether the status that the plan asked for is stored: saying the failure too would make it flap."""
        late = self.outcome.stage in (Stage.DELETES, Stage.FETCHES, Stage.EVENTS)
        return self.plan is not None and self.plan.status is not None and late


class Loop:
    """Workers that take keys from the queue until stopped. `now` is the wall clock, `clock` monotonic seconds."""

    def __init__(
        self,
        *,
        behaviour: Behaviour,
        store: Store,
        queue: Queue,
        executor: Executor,
        telemetry: Telemetry,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._behaviour = behaviour
        self._store = store
        self._queue = queue
        self._executor = executor
        self._telemetry = telemetry
        self._now = now
        self._clock = clock
        self._stopping = False
        self._busy: dict[Key, float] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self, workers: int) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(workers):
                group.create_task(self._work(), name=f"worker-{number}")

    async def finish(self, seconds: float) -> None:
        """Begin nothing new, and let what is being carried out come to its end, for at most so many seconds."""
        self._stopping = True
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            logger.warning("Not finished in time: %s", ", ".join(map(str, self._busy)))

    def busy(self) -> dict[Key, float]:
        """Seconds since each running key was taken."""
        now = self._clock()
        return {key: now - since for key, since in self._busy.items()}

    async def _work(self) -> None:
        while not self._stopping:
            turn = await self._queue.get()
            self._begin(turn)
            try:
                if not self._stopping:
                    await self._look(turn)
            finally:
                self._end(turn)

    async def _look(self, turn: Turn) -> None:
        resource = self._store.get(turn.key)
        if resource is None or is_released(resource):
            self._queue.forget(turn.key)
            return
        started = self._clock()
        look = Look(turn)
        with self._contained(look):
            look.plan = self._behaviour.reconcilers[turn.key.kind](resource, self._store, self._now())
            look.outcome = await self._executor.carry_out(resource, look.plan)
        self._settle(look)
        if look.error:
            with self._contained(look):
                await self._tell(look, look.error)
        self._report(look, self._clock() - started)

    @contextmanager
    def _contained(self, look: Look) -> Iterator[None]:
        """The one place where an error of our own ends; it must not end the loop."""
        try:
            yield
        except Exception as error:
            logger.exception("Looking at %s failed", look.turn.key, extra={"key": str(look.turn.key)})
            look.crash = error

    def _settle(self, look: Look) -> None:
        """When to look again."""
        key = look.turn.key
        if error := look.error:
            self._telemetry.errors.labels(name_of(error)).inc()
            self._queue.retry(key, at_least=getattr(error, "retry_after", None) or 0.0)
            return
        self._queue.forget(key)
        if look.outcome.look_again:
            self._queue.add(key)
        elif look.plan and look.plan.look_again_after is not None:
            self._queue.add_after(key, look.plan.look_again_after)

    async def _tell(self, look: Look, error: Exception) -> None:
        """Put a failure into the resource's status, at once where it needs a person, else when it lasts."""
        key = look.turn.key
        reason = reason_for(error)
        lasts = self._queue.failures(key) >= SILENT_FAILURES
        resource = self._store.get(key)
        if resource is None or look.told_otherwise or not (lasts or reason != "ProgressingWithRetry"):
            return
        plan = self._behaviour.failed(resource, reason, message_for(error), self._now())
        if plan:
            outcome = await self._executor.carry_out(resource, plan)
            look.outcome.requests += outcome.requests
            look.outcome.writes += outcome.writes

    def _report(self, look: Look, seconds: float) -> None:
        outcome = look.outcome
        level = logging.WARNING if outcome.error else logging.INFO if outcome.writes else logging.DEBUG
        facts = {
            "key": str(look.turn.key),
            "reason": look.reason,
            "outcome": look.result,
            "writes": outcome.writes,
            "requests": outcome.requests,
            "milliseconds": round(seconds * 1000, 1),
            "waited": round(look.turn.waited * 1000, 1),
        }
        if outcome.error:
            facts["error"] = str(outcome.error)
        logger.log(level, "%s %s", look.turn.key, look.reason, extra=facts)
        self._telemetry.reconciles.labels(look.turn.key.kind, look.reason, look.result).inc()

    def _begin(self, turn: Turn) -> None:
        self._idle.clear()
        self._busy[turn.key] = self._clock()
        self._telemetry.wait_seconds.labels("urgent" if turn.urgent else "normal").observe(turn.waited)

    def _end(self, turn: Turn) -> None:
        seconds = self._clock() - self._busy.pop(turn.key)
        self._telemetry.reconcile_seconds.labels(turn.key.kind).observe(seconds)
        self._queue.done(turn.key)
        if not self._busy:
            self._idle.set()


def is_released(resource: Manifest) -> bool:
    """Whether a resource is being deleted and waits for nothing of ours; new children would only hold that up."""
    finalizers = resource["metadata"].get("finalizers") or ()
    return is_ending(resource) and not any(name.startswith(f"{GROUP}/") for name in finalizers)


def reason_for(error: Exception) -> str:
    """How an error shows in a condition."""
    if isinstance(error, NameConflictError):
        return "NameConflict"
    return "ApiRefused" if isinstance(error, RefusedError) else "ProgressingWithRetry"


def message_for(error: Exception) -> str:
    """What an error tells people. Errors of our own may hold anything, so only their type is told."""
    if isinstance(error, (ApiError, NameConflictError)):
        return str(error)
    return f"{type(error).__name__} in the operator: its log has the details"
