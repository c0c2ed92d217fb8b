"""What a decision consists of. A Plan is data; the engine's executor carries it out in a fixed order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from keelway.api.base import Manifest
from keelway.api.kinds import Key


@dataclass(frozen=True)
class Delete:
    """Delete this object, provided it is still the one that was decided on (`uid`); dependents go in the background."""

    key: Key
    uid: str
    grace_seconds: int | None = None

    @classmethod
    def of(cls, manifest: Manifest, grace_seconds: int | None = None) -> Delete:
        """Delete this object as it was seen."""
        metadata = manifest["metadata"]
        return cls(Key(manifest["kind"], metadata["namespace"], metadata["name"]), metadata["uid"], grace_seconds)


@dataclass(frozen=True)
class LogRequest:
    """Read the log of one container of ours; the answer is in the store at the next look.

    A log is read once, or again when what is known of it is older than `max_age` seconds.
    """

    namespace: str
    pod: str
    pod_uid: str
    container: str
    max_age: float | None = None


@dataclass(frozen=True)
class MetricQuery:
    """Ask a Prometheus server for the value of an expression now; the answer is in the store at the next look.

    Each query is asked once: `round` tells the same question asked again from the one before.
    """

    url: str
    """Of the server, without `/api/v1/query`."""
    query: str
    round: str


@dataclass(frozen=True)
class MetricAnswer:
    """What came of a query."""

    values: tuple[float, ...] = ()
    """One for each series of the answer, or the scalar; may hold NaN."""
    error: str = ""
    """Why there is no answer, for people; holds no data."""


@dataclass(frozen=True)
class Event:
    """A Kubernetes Event about the resource. `reason` is an enum, `message` for people."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class RecordStatus:
    """The whole wanted status of a record that a decision judges, besides that of its own resource."""

    record: Manifest
    status: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """Carried out in this order, stopping at the first error: creates, applies, record statuses, status, deletes,
    fetches, events."""

    reason: str
    """Which step decided, in a word for the log."""
    creates: tuple[Manifest, ...] = ()
    """Objects that are made once and never edited. One that exists already is read into the store instead and the
    resource is looked at again."""
    applies: tuple[Manifest, ...] = ()
    """Objects kept as stated by server-side apply. One that a different controller owns is a NameConflict."""
    record_statuses: tuple[RecordStatus, ...] = ()
    status: Mapping[str, Any] | None = None
    """The whole wanted status of the resource; written only where it differs from the one in the store."""
    deletes: tuple[Delete, ...] = ()
    fetches: tuple[LogRequest | MetricQuery, ...] = ()
    events: tuple[Event, ...] = ()
    look_again_after: float | None = None
    """Seconds until the next look even if nothing happens."""


class Observed(Protocol):
    """Everything that a decision may look at besides the resource itself."""

    def get(self, key: Key) -> Manifest | None:
        """One object, or None."""

    def about(self, subject: Key, kind: str) -> Sequence[Manifest]:
        """Objects of a kind that speak about `subject` (see `lifecycle.routing.subjects`), ordered by name."""

    def referrers(self, subject: Key, kind: str) -> Sequence[Manifest]:
        """Objects of a kind that refer to `subject` (see `lifecycle.routing.references`), ordered by name."""

    def log(self, pod_uid: str, container: str) -> str | None:
        """A fetched log; None before it was fetched, empty when the container's log is gone."""

    def answer(self, query: MetricQuery) -> MetricAnswer | None:
        """What came of a query; None before it was asked, or when it was forgotten."""

    def setter(self, key: Key) -> str:
        """Field manager that last set the field of a resource in `lifecycle.routing.ATTRIBUTED`; empty if unknown."""

    def served(self, kind: str) -> bool:
        """Whether the API server serves this kind now (KServe and the Gateway API are optional)."""
