"""Carries a plan out: creates, applies, status, deletes, fetches, events, in this order, up to the first error.

The order makes every prefix safe: what a status speaks of exists before the status says so, and nothing is deleted
before the status that makes it superfluous is stored. Every answer goes back into the store, so the next decision sees
it without waiting for a watch. What would change nothing is not sent (see `comparison`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, TypeAlias, TypeVar

from keelway.api.base import Manifest
from keelway.api.digests import digest
from keelway.api.kinds import Key
from keelway.engine.comparison import is_settled, same_status
from keelway.engine.errors import AlreadyExistsError, ApiError, ConflictError, NameConflictError, NotFoundError, name_of
from keelway.engine.intake import Intake
from keelway.engine.objects import controller, is_ending, is_ours, key_of, uid_of
from keelway.engine.store import Record, Store
from keelway.engine.telemetry import Telemetry
from keelway.engine.writer import Writer
from keelway.lifecycle.plan import Delete, Event, LogRequest, MetricQuery, Plan

logger = logging.getLogger(__name__)
FETCHES_AT_A_TIME = 16
T = TypeVar("T")
Action: TypeAlias = Callable[[], Awaitable[None]]


class Stage(StrEnum):
    """The parts of a plan in their order."""

    CREATES = "creates"
    APPLIES = "applies"
    STATUS = "status"
    DELETES = "deletes"
    FETCHES = "fetches"
    EVENTS = "events"


@dataclass
class Outcome:
    """What became of a plan."""

    requests: list[str] = field(default_factory=list)
    """`verb Kind/namespace/name` of every request that was sent, reads included."""
    writes: int = 0
    stage: Stage = Stage.CREATES
    """Where it ended."""
    error: ApiError | NameConflictError | None = None
    look_again: bool = False
    """The store knows something that the decision did not."""


class _StaleDecisionError(Exception):
    """The plan rests on something that turned out otherwise; the store knows better now."""


class Executor:
    """Turns plans into requests."""

    def __init__(self, *, store: Store, intake: Intake, writer: Writer, telemetry: Telemetry) -> None:
        self._store = store
        self._intake = intake
        self._writer = writer
        self._telemetry = telemetry
        self._answers: dict[Key, tuple[str, int]] = {}
        """For manifests that the server rewrites: digest of what was sent, generation of what was answered."""

    async def carry_out(self, resource: Manifest, plan: Plan) -> Outcome:
        """Carry out a plan for the resource it was made for. Errors of the API are in the outcome, never raised."""
        outcome = Outcome()
        try:
            for stage, action in self._actions(resource, plan, outcome):
                outcome.stage = stage
                await action()
        except _StaleDecisionError:
            outcome.look_again = True
        except (ApiError, NameConflictError) as error:
            outcome.error = error
        return outcome

    def _actions(self, resource: Manifest, plan: Plan, outcome: Outcome) -> list[tuple[Stage, Action]]:
        return [
            *((Stage.CREATES, partial(self._create, outcome, manifest)) for manifest in plan.creates),
            *((Stage.APPLIES, partial(self._apply, outcome, manifest)) for manifest in plan.applies),
            *(
                (Stage.STATUS, partial(self._apply_status, outcome, of.record, of.status))
                for of in plan.record_statuses
            ),
            (Stage.STATUS, partial(self._apply_status, outcome, resource, plan.status)),
            *((Stage.DELETES, partial(self._delete, outcome, order)) for order in plan.deletes),
            (Stage.FETCHES, partial(self._fetch_all, outcome, plan.fetches)),
            *((Stage.EVENTS, partial(self._post, outcome, resource, event)) for event in plan.events),
        ]

    async def _create(self, outcome: Outcome, manifest: Manifest) -> None:
        key = key_of(manifest)
        if record := self._store.record(key):
            refuse_others(manifest, record.manifest, adopt=True)
            return
        try:
            self._intake.seen(await self._write(outcome, "create", key, self._writer.create(manifest)))
        except AlreadyExistsError:
            await self._take_in_existing(outcome, manifest)

    async def _take_in_existing(self, outcome: Outcome, manifest: Manifest) -> None:
        """The name is taken: by ours, because the store was behind, or by a record that the decision must judge."""
        key = key_of(manifest)
        existing = await self._read(outcome, "get", key, self._writer.get(key))
        refuse_others(manifest, existing, adopt=True)
        self._intake.seen(existing)
        if self._store.record(key) is None:
            raise ConflictError(f"{key} exists and is about to go")
        raise _StaleDecisionError

    async def _apply(self, outcome: Outcome, manifest: Manifest) -> None:
        key = key_of(manifest)
        record = self._store.record(key)
        if record:
            refuse_others(manifest, record.manifest)
            if self._is_settled(manifest, record):
                return
        request = self._writer.apply(manifest, uid=record.uid if record else None)
        try:
            self._intake.seen(await self._write(outcome, "apply", key, request))
        except ConflictError:
            await self._refresh(outcome, key, manifest)
            raise
        self._remember_answer(manifest)

    def _is_settled(self, manifest: Manifest, record: Record) -> bool:
        if is_settled(manifest, record.manifest, record.owned):
            return True
        return self._answers.get(key_of(manifest)) == (digest(manifest), generation(record))

    def _remember_answer(self, manifest: Manifest) -> None:
        """A server that rewrites what it is given (a quantity, a webhook) must not be asked again and again."""
        key = key_of(manifest)
        record = self._store.record(key)
        self._answers.pop(key, None)
        if record and not is_settled(manifest, record.manifest, record.owned):
            self._answers[key] = (digest(manifest), generation(record))

    async def _refresh(self, outcome: Outcome, key: Key, desired: Manifest | None = None) -> None:
        """Read an object anew that is not what the store says. One that is not ours does not come in."""
        try:
            existing = await self._read(outcome, "get", key, self._writer.get(key))
        except NotFoundError:
            self._intake.gone(key)
            return
        if desired:
            refuse_others(desired, existing)
        self._intake.seen(existing)

    async def _apply_status(self, outcome: Outcome, resource: Manifest, status: Mapping[str, Any] | None) -> None:
        key, uid = key_of(resource), uid_of(resource)
        record = self._store.record(key)
        if status is None or record is None or record.uid != uid:
            return
        if same_status(status, record.manifest.get("status")):
            return
        request = self._writer.apply_status(record.manifest, status)
        try:
            self._intake.seen(await self._write(outcome, "status", key, request))
        except NotFoundError:
            self._intake.gone(key, uid=uid)
            raise _StaleDecisionError from None
        except ConflictError:
            await self._refresh(outcome, key)
            raise

    async def _delete(self, outcome: Outcome, order: Delete) -> None:
        record = self._store.record(order.key)
        if record is None or record.uid != order.uid or is_leaving(record.manifest, order.grace_seconds):
            return
        request = self._writer.delete(order.key, uid=order.uid, grace_seconds=order.grace_seconds)
        try:
            left = await self._write(outcome, "delete", order.key, request)
        except NotFoundError:
            left = None
        except ConflictError:
            await self._refresh(outcome, order.key)
            return
        self._answers.pop(order.key, None)
        if left is None:
            self._intake.gone(order.key, uid=order.uid)
        else:
            self._intake.seen(left)

    async def _fetch_all(self, outcome: Outcome, requests: Sequence[LogRequest | MetricQuery]) -> None:
        """Fetch what is wanted, several at a time: one that a server keeps us waiting for holds up no other."""
        wanted = [request for request in requests if self._wants(request)]
        for start in range(0, len(wanted), FETCHES_AT_A_TIME):
            some = (self._fetch(outcome, request) for request in wanted[start : start + FETCHES_AT_A_TIME])
            answers = await asyncio.gather(*some, return_exceptions=True)
            if error := next((answer for answer in answers if answer), None):
                raise error

    def _wants(self, request: LogRequest | MetricQuery) -> bool:
        if isinstance(request, MetricQuery):
            return self._store.answer(request) is None
        return self._store.wants_log(request)

    async def _fetch(self, outcome: Outcome, request: LogRequest | MetricQuery) -> None:
        if isinstance(request, MetricQuery):
            await self._ask(outcome, request)
        else:
            await self._fetch_log(outcome, request)

    async def _ask(self, outcome: Outcome, query: MetricQuery) -> None:
        """Ask Prometheus. That there is no answer is an answer, for the decision to judge."""
        outcome.requests.append(f"query {query.round}")
        answer = await self._writer.query(query)
        self._telemetry.requests.labels("query", "Prometheus", "Failed" if answer.error else "ok").inc()
        outcome.look_again |= self._store.put_answer(query, answer)

    async def _fetch_log(self, outcome: Outcome, request: LogRequest) -> None:
        """Read a log. One that is read again and again may fail: the next time is soon."""
        key = Key("Pod", request.namespace, request.pod)
        try:
            text = await self._read(outcome, "log", key, self._writer.read_log(request))
        except NotFoundError:
            text = ""
        except ApiError as error:
            if request.max_age is None:
                raise
            logger.warning("The log of %s was not read: %s", key, error)
            text = self._store.log(request.pod_uid, request.container) or ""
        outcome.look_again |= self._store.put_log(request, text)

    async def _post(self, outcome: Outcome, resource: Manifest, event: Event) -> None:
        """Events are for people: one that cannot be posted is logged and forgotten."""
        key = key_of(resource)
        try:
            await self._write(outcome, "event", key, self._writer.post_event(resource, event))
        except ApiError as error:
            logger.warning("Event %s of %s was not posted: %s", event.reason, key, error)

    async def _write(self, outcome: Outcome, verb: str, key: Key, request: Awaitable[T]) -> T:
        outcome.writes += 1
        return await self._read(outcome, verb, key, request)

    async def _read(self, outcome: Outcome, verb: str, key: Key, request: Awaitable[T]) -> T:
        outcome.requests.append(f"{verb} {key}")
        result = "ok"
        try:
            return await request
        except ApiError as error:
            result = name_of(error)
            raise
        finally:
            self._telemetry.requests.labels(verb, key.kind, result).inc()


def refuse_others(desired: Manifest, existing: Manifest, *, adopt: bool = False) -> None:
    """Raise when the name of `desired` is taken by an object that is not ours.

    With `adopt`, an object passes when `desired` asks for no controller: a record, which the decision judges by what it
    says. What a former resource of the same name has left is a ConflictError: the garbage collector takes it away.
    Anything else is a NameConflictError.
    """
    ours, theirs = controller(desired), controller(existing)
    if (adopt and not ours) or is_ours(desired, existing):
        return
    name = f"{existing['kind']} {existing['metadata']['name']}"
    if ours and theirs and (ours["kind"], ours["name"]) == (theirs["kind"], theirs["name"]):
        raise ConflictError(f"{name} belongs to a former {theirs['kind']} {theirs['name']} and is being collected")
    by = f"is controlled by {theirs['kind']} {theirs['name']}" if theirs else "was not made by Keelway"
    raise NameConflictError(f"{name} {by}: delete or rename one of the two")


def is_leaving(manifest: Manifest, grace_seconds: int | None) -> bool:
    """Whether a delete would not make an object go any sooner."""
    if not is_ending(manifest):
        return False
    left = manifest["metadata"].get("deletionGracePeriodSeconds") or 0
    return grace_seconds is None or left <= grace_seconds


def generation(record: Record) -> int:
    """What changes when somebody changes the object's spec; its resourceVersion for kinds that have no generation."""
    counted: int = record.manifest["metadata"].get("generation") or record.version
    return counted
