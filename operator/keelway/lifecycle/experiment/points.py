"""Which points come next: asked of the search one by one, unless a trial was at the same point before."""

from __future__ import annotations

from collections.abc import Mapping

from keelway.api.search import ParameterValue, Search
from keelway.lifecycle.experiment.trials import FINAL, TrialRow, answered_row
from keelway.search import Point, Space, Tried, suggest
from keelway.search.window import history, may_begin

MOST_AT_ONCE = 16
"""Points asked for in one look: a small space has many repeated ones, and others wait for their look."""


def next_points(
    search: Search,
    space: Space,
    total: int,
    rows: Mapping[int, TrialRow],
    begun: Mapping[int, Tried],
    slots: int,
) -> dict[int, TrialRow | dict[str, ParameterValue]]:
    """The next trials by number: a point for each of at most `slots` to begin, a row for those answered on the way.

    `begun` has every trial that has a point already, `rows` those that the table has.
    """
    found: dict[int, TrialRow | dict[str, ParameterValue]] = {}
    if slots <= 0 or len(begun) >= total:
        return found
    finished = {number for number, row in rows.items() if row.state in FINAL}
    tried, by_point = dict(begun), {_name(begun[number].point): number for number in sorted(begun, reverse=True)}
    for number in (number for number in range(total) if number not in begun):
        if slots == 0 or len(found) == MOST_AT_ONCE or not may_begin(search, space, number, finished):
            break
        point = suggest(search.algorithm, space, history(search, number, list(tried.values())), [number])[number]
        by = by_point.setdefault(_name(point), number)
        tried[number] = Tried(number, point, running=True)
        found[number] = point if by == number else answered_row(number, point, rows.get(by), by)
        slots -= by == number
    return found


def _name(point: Point) -> tuple[tuple[str, ParameterValue], ...]:
    return tuple(point.items())
