"""How a resource stands, as kstatus reads it: `Ready` always, `Reconciling` or `Stalled` only while True."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, TypeAlias

from keelway.api.durations import to_timestamp
from keelway.api.reasons import Reason
from keelway.api.resource import Condition, Status

Truth: TypeAlias = Literal["True", "False", "Unknown"]
MESSAGE_LIMIT = 1000
LAST_WORDS_LIMIT = 500


@dataclass(frozen=True)
class Fact:
    """One condition without its times."""

    type: str
    status: Truth
    reason: Reason
    message: str = ""


@dataclass(frozen=True)
class Standing:
    """The answer to "is it as the spec asks, and if not, is anybody working on it"."""

    ready: bool
    reason: Reason
    message: str
    progress: Literal["", "Reconciling", "Stalled"] = ""
    facts: tuple[Fact, ...] = ()
    """Further conditions that this look settled; those that it does not mention stay as they were."""
    gone: frozenset[str] = frozenset()
    """Types of conditions that nothing can be said about now."""

    def also(self, *facts: Fact) -> Standing:
        """The same with further conditions."""
        return replace(self, facts=(*self.facts, *facts))

    def without(self, *types: str) -> Standing:
        """The same without conditions of these types."""
        return replace(self, gone=self.gone | frozenset(types))


def ready(reason: Reason, message: str) -> Standing:
    """As the spec asks."""
    return Standing(ready=True, reason=reason, message=message)


def working(reason: Reason, message: str) -> Standing:
    """Not yet, but on the way without help."""
    return Standing(ready=False, reason=reason, message=message, progress="Reconciling")


def stalled(reason: Reason, message: str) -> Standing:
    """Not, and only a change of the spec or of the world outside can help."""
    return Standing(ready=False, reason=reason, message=message, progress="Stalled")


def conditions(
    before: Sequence[Condition], standing: Standing, *, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """All conditions after this look, by type; a transition time moves only when the status flips."""
    facts = {fact.type: fact for fact in _all_facts(standing)}
    old = {condition.type: condition for condition in before}
    kept = [c for type_, c in old.items() if type_ not in {*facts, *standing.gone, "Reconciling", "Stalled"}]
    new = [_condition(old.get(fact.type), fact, generation, now) for fact in facts.values()]
    return tuple(sorted([*kept, *new], key=lambda condition: condition.type))


def status_after(
    status: Status, standing: Standing, *, generation: int, now: datetime, **changes: object
) -> dict[str, Any]:
    """The whole status of a resource after this look, for the wire: this standing, these fields changed."""
    after = conditions(status.conditions, standing, generation=generation, now=now)
    return status.model_copy(update={"observed_generation": generation, "conditions": after, **changes}).to_json()


def _all_facts(standing: Standing) -> Iterable[Fact]:
    yield Fact("Ready", "True" if standing.ready else "False", standing.reason, standing.message)
    if standing.progress:
        yield Fact(standing.progress, "True", standing.reason, standing.message)
    yield from standing.facts


def _condition(before: Condition | None, fact: Fact, generation: int, now: datetime) -> Condition:
    same = before is not None and before.status == fact.status
    return Condition(
        type=fact.type,
        status=fact.status,
        reason=fact.reason.value,
        message=shortened(fact.message),
        observed_generation=generation,
        last_transition_time=before.last_transition_time if before and same else to_timestamp(now),
    )


def shortened(message: str) -> str:
    """A message on one line, cut to what a status has room for."""
    line = " ".join(message.split())
    return line if len(line) <= MESSAGE_LIMIT else f"{line[: MESSAGE_LIMIT - 1]}…"


def last_words(output: str) -> str:
    """The end of what a program said, on one line: where a traceback has its error."""
    line = " ".join(output.split())
    return line if len(line) <= LAST_WORDS_LIMIT else f"…{line[1 - LAST_WORDS_LIMIT :]}"
