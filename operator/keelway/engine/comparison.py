"""Whether a write would change anything, answered without asking the API server.

A server-side apply of a manifest changes nothing when (1) the live object has every field of the manifest with that
value, and (2) we own no field that the manifest no longer has (such a field would be removed). The first is a
comparison that passes over what defaults and other writers added; the second reads our own entry in
metadata.managedFields. See https://kubernetes.io/docs/reference/using-api/server-side-apply/.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from keelway.api.base import Manifest
from keelway.engine.objects import FieldSet

IDENTITY = frozenset({"apiVersion", "kind"})
TIME_OF_TRANSITION = "lastTransitionTime"


def is_settled(desired: Manifest, live: Manifest, owned: FieldSet | None) -> bool:
    """Whether applying `desired` would leave `live` as it is. `owned`: what we own there, None if never applied."""
    if owned is None:
        return False
    content = {name: value for name, value in desired.items() if name not in IDENTITY}
    return contains(live, content, owned) and not leaves_over(owned, content)


def contains(live: Any, desired: Any, owned: FieldSet) -> bool:
    """Whether every field of `desired` has its value in `live`. One that is null or zero may also be absent there,
    because the API server drops such fields from typed objects."""
    if desired is None or desired == {}:
        return True
    if isinstance(desired, Mapping):
        return isinstance(live, Mapping) and all(
            contains(live.get(name), value, owned.get(f"f:{name}") or {}) for name, value in desired.items()
        )
    if isinstance(desired, list):
        return _contains_items(live or [], desired, owned)
    return (live is None and not desired) or _same_scalar(live, desired)


def _contains_items(live: list[Any], desired: list[Any], owned: FieldSet) -> bool:
    """Lists as the API server merges them: by keys, as a set, or whole."""
    keyed = [(json.loads(name[2:]), inner or {}) for name, inner in owned.items() if name.startswith("k:")]
    if keyed:
        keys = tuple(keyed[0][0])
        return all(contains(_like(wanted, live, keys), wanted, _fields_of(wanted, keyed, keys)) for wanted in desired)
    if any(name.startswith("v:") for name in owned):
        return all(wanted in live for wanted in desired)
    return len(live) == len(desired) and all(contains(have, want, {}) for have, want in zip(live, desired, strict=True))


def _fields_of(item: Any, keyed: Sequence[tuple[Any, FieldSet]], keys: Sequence[str]) -> FieldSet:
    return next((inner for value, inner in keyed if _are_alike(item, value, keys)), {})


def _like(item: Any, items: Sequence[Any], keys: Sequence[str]) -> Any:
    return next((other for other in items if _are_alike(item, other, keys)), None)


def _are_alike(one: Any, other: Any, keys: Sequence[str]) -> bool:
    """Whether two items of an associative list are one; a key that either leaves to its default does not count."""
    return all(key not in one or key not in other or one[key] == other[key] for key in keys)


def leaves_over(owned: FieldSet, desired: Any) -> bool:
    """Whether we own a field that `desired` does not have any more."""
    return any(_is_left_over(name, inner or {}, desired) for name, inner in owned.items() if name != ".")


def _is_left_over(name: str, inner: FieldSet, desired: Any) -> bool:
    mark, _, rest = name.partition(":")
    if mark == "f":
        present = isinstance(desired, Mapping) and desired.get(rest) is not None
        return not present or leaves_over(inner, desired[rest])
    value = json.loads(rest)
    if mark == "v":
        return value not in (desired or ())
    item = _like(value, desired or (), tuple(value))
    return item is None or leaves_over(inner, {**value, **item})


def _same_scalar(live: Any, desired: Any) -> bool:
    return bool(live == desired) and isinstance(live, bool) == isinstance(desired, bool)


def same_status(wanted: Mapping[str, Any], stored: Mapping[str, Any] | None) -> bool:
    """Whether two statuses say the same: null is absent, and when a condition flipped last does not count."""
    return bool(_meaning(wanted) == _meaning(stored or {}))


def _meaning(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: _meaning(inner) for name, inner in value.items() if inner is not None and name != TIME_OF_TRANSITION
        }
    if isinstance(value, (list, tuple)):
        return [_meaning(inner) for inner in value]
    return value
