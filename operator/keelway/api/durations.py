"""Durations (`30s`, `1h30m`) and timestamps as Kubernetes writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(duration: str) -> float:
    """Seconds in a duration such as `90s` or `1h30m`. The schema has already refused anything else."""
    return sum(float(count) * _UNIT_SECONDS[unit] for count, unit in re.findall(r"(\d+)(ms|s|m|h)", duration))


def to_timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as `metav1.Time`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_timestamp(text: str) -> datetime:
    """The moment that an RFC 3339 text names."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
