"""Waiting for what must become true, with a deadline and what was last seen."""

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T | None], *, seconds: float = 30, what: str, every: float = 0.1) -> T:
    """The first true value of `look`. Fails the test with what was last seen when `seconds` have passed."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:g} s; last seen: {shown(seen)}")
        time.sleep(every)
    return seen


def stays(look: Callable[[], T], *, seconds: float, what: str, every: float = 0.1) -> None:
    """`look` gives the same value for `seconds`."""
    first, deadline = look(), time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert look() == first, f"{what} changed from {shown(first)} to {shown(look())}"
        time.sleep(every)


def shown(value: Any) -> str:
    """A value for people to read in a failure."""
    return json.dumps(value, indent=1, default=repr) if isinstance(value, (dict, list, tuple)) else repr(value)
