"""What the engine does not know: the meaning of the kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from keelway.api.base import Manifest
from keelway.engine.objects import FieldPath
from keelway.engine.store import Relation
from keelway.lifecycle.plan import Observed, Plan

Reconcile: TypeAlias = Callable[[Manifest, Observed, datetime], Plan]
"""What to do next for one resource, given what is known and what time it is. Pure."""
Failed: TypeAlias = Callable[[Manifest, str, str, datetime], "Plan | None"]
"""How a resource says that carrying out its plan fails: (resource, reason, message, now)."""


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """The decisions of every reconciled kind, and how objects are related."""

    reconcilers: Mapping[str, Reconcile]
    failed: Failed
    subjects: Relation
    """What an object speaks about: itself, what it was made for, names that others wait for."""
    references: Relation
    """What an object reads."""
    attributed: Mapping[str, FieldPath] = field(default_factory=dict)
    """By kind the field of which decisions want to know who set it."""
