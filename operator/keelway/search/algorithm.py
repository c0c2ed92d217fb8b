"""What an algorithm of search is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from keelway.search.space import Point, Space, Tried

Ask: TypeAlias = Callable[[Space, Sequence[Tried], int], Point]
"""(space, history ordered by number, number of the trial to come) -> its point; pure."""
Needs: TypeAlias = Callable[[Space, int, int], int]
"""(space, number of the trial to come, how many trials are far enough behind it) -> of the first how many trials the
results decide its point; never fewer for a later trial."""


def needs_nothing(_space: Space, _number: int, _known: int) -> int:
    """A point that depends on its number alone."""
    return 0


@dataclass(frozen=True)
class Algorithm:
    """One way to search."""

    ask: Ask
    needs: Needs = needs_nothing
