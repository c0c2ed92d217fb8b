"""What is known of one trial, by its places on the axes."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Result(NamedTuple):
    """Places on the axes, and how good they are."""

    places: tuple[float, ...]
    state: Literal["Complete", "Pruned", "Bad"]
    """Bad: without a value, a place to keep away from."""
    value: float = 0.0
    """Of a pruned one the last that it told, at `step`."""
    step: int = 0
