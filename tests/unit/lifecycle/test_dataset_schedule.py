"""When the next look at a source is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keelway.api.dataset import Refresh
from keelway.lifecycle.dataset import schedule

LAST = datetime(2026, 3, 28, 12, 30, tzinfo=UTC)
"""The day before clocks change in Europe."""


def due(*, failures: int = 0, unchanged: int = 0, **refresh: Any) -> datetime:
    return schedule.next_look(Refresh(**refresh), LAST, failures=failures, unchanged=unchanged)


def test_an_interval_is_counted_from_the_last_look() -> None:
    assert due(interval="10m") == LAST + timedelta(minutes=10)


@pytest.mark.parametrize(("unchanged", "intervals"), [(0, 1), (1, 1), (2, 2), (5, 5), (6, 6), (60, 6)])
def test_an_adaptive_interval_grows_to_six_while_nothing_changes(unchanged: int, intervals: int) -> None:
    assert due(interval="10m", adaptive=True, unchanged=unchanged) == LAST + timedelta(minutes=10 * intervals)
    assert due(interval="10m", unchanged=unchanged) == LAST + timedelta(minutes=10)


def test_a_schedule_is_read_in_its_time_zone() -> None:
    assert due(schedule="0 6 * * *", time_zone="Europe/Berlin") == datetime(2026, 3, 29, 4, tzinfo=UTC)
    assert due(schedule="0 6 * * *") == datetime(2026, 3, 29, 6, tzinfo=UTC)


def test_an_hour_that_the_clock_leaves_out_is_not_missed() -> None:
    assert due(schedule="30 2 * * *", time_zone="Europe/Berlin") == datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_nicknames() -> None:
    assert due(schedule="@daily") == datetime(2026, 3, 29, tzinfo=UTC)
    assert due(schedule="@hourly") == datetime(2026, 3, 28, 13, tzinfo=UTC)


@pytest.mark.parametrize(("failures", "seconds"), [(1, 10), (2, 20), (6, 300), (40, 300)])
def test_a_look_that_fails_is_repeated_soon(failures: int, seconds: int) -> None:
    assert due(interval="1h", failures=failures) == LAST + timedelta(seconds=seconds)
    assert due(schedule="0 6 * * *", failures=failures) == LAST + timedelta(seconds=seconds)


def test_a_failure_does_not_put_off_what_is_due_anyway() -> None:
    assert due(interval="15s", failures=9) == LAST + timedelta(seconds=15)


@pytest.mark.parametrize(
    ("refresh", "words"),
    [
        ({"schedule": "0 6 * *"}, "five fields"),
        ({"schedule": "61 * * * *"}, "cannot be read"),
        ({"schedule": "0 0 31 2 *"}, "cannot be read"),
        ({"schedule": "0 6 * * *", "time_zone": "Europe/Atlantis"}, "Europe/Atlantis"),
        ({"time_zone": "../etc/passwd"}, "is not known"),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_said(refresh: dict[str, Any], words: str) -> None:
    assert words in schedule.problem(Refresh(**refresh))


@pytest.mark.parametrize("refresh", [{}, {"schedule": "*/5 * * * *"}, {"schedule": "@weekly", "time_zone": "UTC"}])
def test_what_can_be_read_is_fine(refresh: dict[str, Any]) -> None:
    assert schedule.problem(Refresh(**refresh)) == ""
