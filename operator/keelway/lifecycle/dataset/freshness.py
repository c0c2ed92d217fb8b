"""Whether the newest file is young enough. Time passes while nothing is looked at, so this is asked at every decision.

Stale data are said and never refused: the version before them is older still.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from keelway.api.durations import from_timestamp, seconds
from keelway.api.reasons import Reason
from keelway.lifecycle.conditions import Fact
from keelway.lifecycle.dataset.world import World


def stale_at(world: World) -> datetime | None:
    """When the data become too old; None when nobody asked, or the source does not say how old its files are."""
    wanted, last = world.dataset.spec.expectations.freshness, world.dataset.status.observation
    newest = (world.verdict.newest if world.verdict else "") or (last.newest if last else "")
    if wanted is None or not newest:
        return None
    return from_timestamp(newest) + timedelta(seconds=seconds(wanted.max_age))


def validated(world: World, fact: Fact) -> Fact:
    """The Validated condition with the age of the data considered: what is wrong with the rows goes first."""
    due, wanted = stale_at(world), world.dataset.spec.expectations.freshness
    if fact.status != "True" or due is None or wanted is None or world.now < due:
        return fact
    said = f"the newest file is older than {wanted.max_age}: see to the job that writes it"
    return Fact(fact.type, "False", Reason.DATA_STALE, said)
