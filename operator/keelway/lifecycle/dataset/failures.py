"""Looks that failed: which condition says so, who has to help, and when to try again by oneself."""

from __future__ import annotations

from datetime import datetime, timedelta

from keelway.api.dataset import Dataset
from keelway.api.reasons import Reason
from keelway.lifecycle.backoff import retry_after

REACHABLE, DERIVED = "SourceReachable", "Derived"
OF_DERIVATION = frozenset(
    {Reason.DERIVE_FAILED, Reason.QUERY_INVALID, Reason.QUERY_TIMED_OUT, Reason.OUTPUT_MISSING, Reason.OUT_OF_MEMORY}
)
"""The same inputs and code would only fail the same way again."""
NEEDS_HELP = frozenset(
    {
        Reason.SECRET_MISSING,
        Reason.ACCESS_DENIED,
        Reason.SOURCE_EMPTY,
        Reason.SOURCE_INVALID,
        Reason.SCHEMA_MISMATCH,
    }
)
"""Failures that waiting does not mend: somebody has to change the data or the spec."""


def looked(dataset: Dataset) -> str:
    """The condition that says how the last look went."""
    return DERIVED if dataset.spec.derive else REACHABLE


def needs_help(dataset: Dataset, reason: Reason) -> bool:
    """Whether nothing gets better by itself."""
    return reason in NEEDS_HELP or (dataset.spec.derive is not None and reason in OF_DERIVATION)


def retry(failures: int, reason: str, last: datetime) -> datetime | None:
    """When a derivation that failed for this reason is tried again; None when only a change helps."""
    if Reason.of(reason) in OF_DERIVATION:
        return None
    return last + timedelta(seconds=retry_after(failures - 1))
