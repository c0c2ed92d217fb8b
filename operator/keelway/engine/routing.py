"""Who must look again when an object has changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.engine.store import Change, Store

ENDED_CONDITIONS = frozenset({"Complete", "Failed"})
ENDED_PHASES = frozenset({"Succeeded", "Failed"})


def has_ended(manifest: Manifest) -> bool:
    """Whether an object that runs to an end is there, by the conventions of Jobs and Pods."""
    status = manifest.get("status") or {}
    conditions = status.get("conditions") or ()
    return status.get("phase") in ENDED_PHASES or any(
        condition.get("type") in ENDED_CONDITIONS and condition.get("status") == "True" for condition in conditions
    )


def just_ended(change: Change) -> bool:
    """Whether this change is an end that somebody waits for."""
    if change.old and has_ended(change.old.manifest):
        return False
    return change.new is None or has_ended(change.new.manifest)


def woken(change: Change, store: Store, kinds: Collection[str]) -> Iterator[Key]:
    """Keys of `kinds` that a change concerns: the object's subjects, and whoever refers to one of them.

    The object's old and new version both count, so that a moved reference wakes both ends.
    """
    subjects = (change.old.subjects if change.old else frozenset()) | (
        change.new.subjects if change.new else frozenset()
    )
    seen = {key for subject in subjects for key in (subject, *store.referring(subject))}
    return (key for key in sorted(seen) if key.kind in kinds)
