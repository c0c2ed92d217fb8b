"""The one door into the store: whatever was seen is kept, and whomever it concerns is woken.

Watches, relists and the answers to our own writes all come in here, so a decision always sees what was written before.
"""

from __future__ import annotations

from collections.abc import Collection

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.engine.queue import Queue
from keelway.engine.routing import just_ended, woken
from keelway.engine.store import Change, Store


class Intake:
    """Takes in news; `kinds` are those that are reconciled."""

    def __init__(self, *, store: Store, queue: Queue, kinds: Collection[str]) -> None:
        self._store = store
        self._queue = queue
        self._kinds = kinds

    def seen(self, manifest: Manifest) -> None:
        """An object as it is, or once was."""
        self._tell(self._store.upsert(manifest))

    def gone(self, key: Key, *, uid: str = "", version: int = 0) -> None:
        """The incarnation of an object with this uid was deleted (at this resourceVersion, where known)."""
        self._tell(self._store.remove(key, uid=uid, version=version))

    def listed(self, kind: str, namespace: str, present: Collection[Key], version: int) -> None:
        """A complete list of a kind at `version` held exactly `present`: whatever else is as old as that is gone.

        `namespace` is empty for a list of all namespaces.
        """
        for key in self._store.keys(kind):
            record = self._store.record(key)
            in_scope = not namespace or key.namespace == namespace
            if record and in_scope and key not in present and record.version <= version:
                self.gone(key, uid=record.uid, version=version)

    def served(self, kind: str, served: bool) -> None:
        """Whether the API server serves a kind. What it does not serve is not there, and everybody looks again."""
        if not self._store.set_served(kind, served):
            return
        if not served:
            for key in self._store.keys(kind):
                self.gone(key)
        self.wake_all()

    def wake_all(self) -> None:
        """Have every resource looked at."""
        for kind in self._kinds:
            for key in self._store.keys(kind):
                self._queue.add(key)

    def _tell(self, change: Change | None) -> None:
        if change is None:
            return
        urgent = just_ended(change)
        for key in woken(change, self._store, self._kinds):
            self._queue.add(key, urgent=urgent)
