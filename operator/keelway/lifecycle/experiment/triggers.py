"""Whether new data may begin a run now, or has to wait: for more rows, for the cooldown, for another day."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from keelway.api.durations import from_timestamp, seconds, to_timestamp
from keelway.api.experiment import Trigger
from keelway.api.run import Run, RunDataset

DAY = timedelta(hours=24)


@dataclass(frozen=True)
class Held:
    """New data is there and begins no run yet."""

    message: str
    until: datetime | None = None
    """When it may; None when only more data helps."""


def held(
    trigger: Trigger, before: Run, inputs: Sequence[RunDataset], automatic_runs: Sequence[str], now: datetime
) -> Held | None:
    """What holds back a run on other versions than the last one read; None when it may begin."""
    if lacking := _too_few_rows(trigger, before, inputs):
        return Held(lacking)
    begun = sorted(from_timestamp(moment) for moment in automatic_runs)
    waits = [wait for wait in (_cooldown(trigger, begun), _full_day(trigger, begun, now)) if wait and wait[0] > now]
    if not waits:
        return None
    until, why = max(waits)
    return Held(f"a run on it may begin at {to_timestamp(until)}: {why}", until)


def _too_few_rows(trigger: Trigger, before: Run, inputs: Sequence[RunDataset]) -> str:
    asked = trigger.on_new_dataset_version
    had, more = sum(read.rows for read in before.datasets), sum(read.rows for read in inputs)
    needed = max(asked.min_new_rows, math.ceil(had * asked.min_new_percent / 100))
    new = more - had
    if needed == 0 or new >= needed:
        return ""
    return f"it has {new} rows more than the last run read, and trigger asks for {needed}"


def _cooldown(trigger: Trigger, begun: Sequence[datetime]) -> tuple[datetime, str] | None:
    wait = timedelta(seconds=seconds(trigger.cooldown))
    return (begun[-1] + wait, f"trigger.cooldown is {trigger.cooldown}") if begun else None


def _full_day(trigger: Trigger, begun: Sequence[datetime], now: datetime) -> tuple[datetime, str] | None:
    today = [moment for moment in begun if moment > now - DAY]
    if len(today) < trigger.max_runs_per_day:
        return None
    why = f"trigger.maxRunsPerDay is {trigger.max_runs_per_day}"
    return today[-trigger.max_runs_per_day] + DAY, why


def remembered(automatic_runs: Sequence[str], begins: datetime) -> tuple[str, ...]:
    """The moments to remember when new data begins a run: those that the limits look back to."""
    kept = [moment for moment in automatic_runs if from_timestamp(moment) > begins - DAY]
    return (*kept, to_timestamp(begins))[-100:]
