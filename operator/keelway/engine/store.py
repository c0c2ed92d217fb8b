"""What is known of the cluster: every object once, newest version, with indexes by what it is about.

The store is the only thing a decision sees (it implements `lifecycle.plan.Observed`). Objects in it are shared with
every reader and must never be changed in place.
"""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.engine.objects import (
    FieldPath,
    FieldSet,
    applied_fields,
    key_of,
    setter_of,
    uid_of,
    version_of,
    without_ballast,
)
from keelway.lifecycle.plan import LogRequest, MetricAnswer, MetricQuery

Relation: TypeAlias = Callable[[Manifest], frozenset[Key]]
"""Which keys an object speaks about, or reads."""
TOMBSTONES = 10_000
ANSWERS = 10_000
"""How many answers of Prometheus are remembered: rounds come every few seconds, and only the last one is looked at."""


@dataclass(frozen=True, slots=True)
class Record:
    """One object and what was worked out about it once, when it came in."""

    manifest: Manifest
    version: int
    uid: str
    owned: FieldSet | None
    """What we own of it by server-side apply; None when we never applied it."""
    subjects: frozenset[Key]
    references: frozenset[Key]
    setter: str = ""
    """Who last set the field that is attributed for this kind."""


@dataclass(frozen=True, slots=True)
class Change:
    """One object before and after; None where it was not there."""

    key: Key
    old: Record | None
    new: Record | None


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Keeps late news about a deleted object from bringing it back."""

    uid: str
    version: int

    def covers(self, uid: str, version: int) -> bool:
        """Whether this news is older than the deletion. A uid never comes back."""
        return uid == self.uid or version <= self.version


@dataclass(frozen=True, slots=True)
class Log:
    """What a container had printed when it was asked."""

    text: str
    read_at: float


@dataclass
class Index:
    """Which objects have which key, by kind."""

    _entries: dict[tuple[Key, str], set[Key]] = field(default_factory=lambda: defaultdict(set))
    _kinds: dict[Key, set[str]] = field(default_factory=lambda: defaultdict(set))

    def move(self, key: Key, old: Collection[Key], new: Collection[Key]) -> None:
        """Put `key` under `new` instead of `old`."""
        for gone in set(old) - set(new):
            self._discard(gone, key)
        for come in set(new) - set(old):
            self._entries[come, key.kind].add(key)
            self._kinds[come].add(key.kind)

    def _discard(self, subject: Key, key: Key) -> None:
        entry = self._entries[subject, key.kind]
        entry.discard(key)
        if not entry:
            del self._entries[subject, key.kind]
            self._kinds[subject].discard(key.kind)
        if not self._kinds[subject]:
            del self._kinds[subject]

    def keys(self, subject: Key, kind: str) -> list[Key]:
        """Keys of one kind, ordered by name."""
        return sorted(self._entries.get((subject, kind), ()))

    def all_keys(self, subject: Key) -> Iterator[Key]:
        """Keys of all kinds."""
        for kind in self._kinds.get(subject, ()):
            yield from self._entries[subject, kind]


class Store:
    """Objects by key. Older versions are dropped, deletions are remembered, logs live as long as their pod.

    `clock` gives monotonic seconds, for the age of logs; of the fields in `attributed`, by kind, it knows who set them.
    """

    def __init__(
        self,
        *,
        subjects: Relation,
        references: Relation,
        attributed: Mapping[str, FieldPath] = MappingProxyType({}),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._subjects_of = subjects
        self._references_of = references
        self._attributed = attributed
        self._clock = clock
        self._records: dict[Key, Record] = {}
        self._kinds: dict[str, set[Key]] = defaultdict(set)
        self._by_subject = Index()
        self._by_reference = Index()
        self._tombstones: OrderedDict[Key, Tombstone] = OrderedDict()
        self._logs: dict[str, dict[str, Log]] = {}
        self._answers: OrderedDict[MetricQuery, MetricAnswer] = OrderedDict()
        self._unserved: set[str] = set()

    def upsert(self, manifest: Manifest) -> Change | None:
        """Take in an object; None when it is not news. An equal or older resourceVersion is not."""
        key, uid, version = key_of(manifest), uid_of(manifest), version_of(manifest)
        old = self._records.get(key)
        tombstone = self._tombstones.get(key)
        if (old and version <= old.version) or (tombstone and tombstone.covers(uid, version)):
            return None
        new = self._record(manifest, uid, version)
        if old and old.uid != uid:
            self._bury(key, old.uid, old.version)
        return self._replace(key, old, new)

    def _record(self, manifest: Manifest, uid: str, version: int) -> Record:
        slim = without_ballast(manifest)
        return Record(
            manifest=slim,
            version=version,
            uid=uid,
            owned=applied_fields(manifest),
            subjects=self._subjects_of(slim),
            references=self._references_of(slim),
            setter=setter_of(manifest, self._attributed.get(manifest["kind"], ())),
        )

    def remove(self, key: Key, *, uid: str = "", version: int = 0) -> Change | None:
        """Forget an object, provided it is the incarnation with this uid (empty: whatever is there) or an older one.

        None when nothing was forgotten. `version` is the resourceVersion of the deletion where it is known.
        """
        old = self._records.get(key)
        if old and uid and old.uid != uid and old.version > version:
            return None
        self._bury(key, uid or (old.uid if old else ""), max(version, old.version if old else 0))
        return self._replace(key, old, None) if old else None

    def _bury(self, key: Key, uid: str, version: int) -> None:
        self._logs.pop(uid, None)
        known = self._tombstones.get(key)
        if known and known.version > version:
            return
        self._tombstones[key] = Tombstone(uid, version)
        self._tombstones.move_to_end(key)
        if len(self._tombstones) > TOMBSTONES:
            self._tombstones.popitem(last=False)

    def _replace(self, key: Key, old: Record | None, new: Record | None) -> Change:
        if new:
            self._records[key] = new
            self._kinds[key.kind].add(key)
        else:
            del self._records[key]
            self._kinds[key.kind].discard(key)
        self._by_subject.move(key, old.subjects if old else (), new.subjects if new else ())
        self._by_reference.move(key, old.references if old else (), new.references if new else ())
        return Change(key, old, new)

    def record(self, key: Key) -> Record | None:
        """One object with its bookkeeping, or None."""
        return self._records.get(key)

    def keys(self, kind: str) -> list[Key]:
        """Keys of every object of a kind, in order."""
        return sorted(self._kinds.get(kind, ()))

    def counts(self) -> dict[str, int]:
        """How many objects there are of each kind."""
        return {kind: len(keys) for kind, keys in self._kinds.items()}

    def referring(self, subject: Key) -> Iterator[Key]:
        """Keys of all objects that refer to `subject`."""
        return self._by_reference.all_keys(subject)

    def wants_log(self, request: LogRequest) -> bool:
        """Whether a log is to be read: it never was, or too long ago for this request."""
        known = self._logs.get(request.pod_uid, {}).get(request.container)
        return known is None or (request.max_age is not None and self._clock() - known.read_at >= request.max_age)

    def put_log(self, request: LogRequest, text: str) -> bool:
        """Keep a log that was read now as long as its pod is there; True when it says something new."""
        pod = self._records.get(Key("Pod", request.namespace, request.pod))
        if pod is None or pod.uid != request.pod_uid:
            return False
        before = self.log(request.pod_uid, request.container)
        # A text that is the same stays the same object: what was worked out from it holds.
        kept = before if before is not None and before == text else text
        self._logs.setdefault(request.pod_uid, {})[request.container] = Log(kept, self._clock())
        return before != text

    def put_answer(self, query: MetricQuery, answer: MetricAnswer) -> bool:
        """Keep what came of a query; True when that is news. The first answer stays, the oldest ones are forgotten."""
        if query in self._answers:
            return False
        self._answers[query] = answer
        if len(self._answers) > ANSWERS:
            self._answers.popitem(last=False)
        return True

    def set_served(self, kind: str, served: bool) -> bool:
        """Note whether the API server serves a kind; True when that is news."""
        known = self.served(kind)
        (self._unserved.discard if served else self._unserved.add)(kind)
        return known != served

    # what decisions see

    def get(self, key: Key) -> Manifest | None:
        """One object, or None."""
        record = self._records.get(key)
        return record.manifest if record else None

    def about(self, subject: Key, kind: str) -> list[Manifest]:
        """Objects of a kind that speak about `subject`, ordered by name."""
        return [self._records[key].manifest for key in self._by_subject.keys(subject, kind)]

    def referrers(self, subject: Key, kind: str) -> list[Manifest]:
        """Objects of a kind that refer to `subject`, ordered by name."""
        return [self._records[key].manifest for key in self._by_reference.keys(subject, kind)]

    def log(self, pod_uid: str, container: str) -> str | None:
        """A fetched log; None before it was fetched, empty when the container's log is gone."""
        known = self._logs.get(pod_uid, {}).get(container)
        return known.text if known else None

    def answer(self, query: MetricQuery) -> MetricAnswer | None:
        """What came of a query; None before it was asked, or when it was forgotten."""
        return self._answers.get(query)

    def setter(self, key: Key) -> str:
        """Field manager that last set the attributed field of a resource; empty when nobody is known to have."""
        record = self._records.get(key)
        return record.setter if record else ""

    def served(self, kind: str) -> bool:
        """Whether the API server serves this kind now, as far as anybody looked."""
        return kind not in self._unserved
