"""How long to wait before something that others broke is tried again."""

from __future__ import annotations

FIRST_SECONDS = 10
LONGEST_SECONDS = 300


def retry_after(failures: int) -> int:
    """Seconds before the next try after this many failures before the last one: twice as long each time, to a limit."""
    doublings = min(max(failures, 0), 10)
    return min(FIRST_SECONDS << doublings, LONGEST_SECONDS)
