"""The one error a program raises on purpose: a reason of the API and a message for the person who reads it."""

from __future__ import annotations

from keelway.api.jobs import FailureReason


class WorkerError(Exception):
    """A program cannot do what it was told.

    The message says what to do next; it holds no data values and no secrets.
    """

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason: FailureReason = reason
        self.message = message


def enumerate_some(names: list[str], *, most: int = 8, longest: int = 64) -> str:
    """`a, b, c and 5 more`: at most `most` names, each cut at `longest` characters."""
    shown = ", ".join(name if len(name) <= longest else name[: longest - 1] + "…" for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
