"""When to look at a source next: after an interval, or by a cron expression in a time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from keelway.api.dataset import Refresh
from keelway.api.durations import seconds
from keelway.lifecycle.backoff import retry_after

MOST_INTERVALS = 6
NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}


def problem(refresh: Refresh) -> str:
    """What is wrong with a schedule or its time zone, in words; empty when nothing is."""
    try:
        zone = _zone(refresh)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f"refresh.timeZone {refresh.time_zone!r} is not known: use a name such as Europe/Berlin"
    if not refresh.schedule:
        return ""
    try:
        next(_cron(refresh, datetime(2026, 1, 1, tzinfo=zone)))
    except (CronSimError, StopIteration) as error:
        why = str(error) or "it never comes true"
        return f"refresh.schedule {refresh.schedule!r} cannot be read: {why}; use five fields such as '0 6 * * 1-5'"
    return ""


def next_look(refresh: Refresh, last: datetime, *, failures: int, unchanged: int) -> datetime:
    """When the look after the one at `last` is due: sooner while looks fail, later while nothing changes."""
    regular = _regular(refresh, last, unchanged)
    if not failures:
        return regular
    return min(last + timedelta(seconds=retry_after(failures - 1)), regular)


def _regular(refresh: Refresh, last: datetime, unchanged: int) -> datetime:
    if refresh.schedule:
        return next(_cron(refresh, last.astimezone(_zone(refresh)))).astimezone(UTC)
    intervals = min(max(unchanged, 1), MOST_INTERVALS) if refresh.adaptive else 1
    return last + timedelta(seconds=seconds(refresh.interval) * intervals)


def _cron(refresh: Refresh, after: datetime) -> CronSim:
    return CronSim(NICKNAMES.get(refresh.schedule, refresh.schedule), after)


def _zone(refresh: Refresh) -> ZoneInfo:
    return ZoneInfo(refresh.time_zone or "UTC")
