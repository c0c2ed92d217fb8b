"""Orders and verdicts of the Jobs that judge a candidate: what its evaluation measured, how it answers requests."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from keelway.api.base import Model


class MeasureOrder(Model):
    """Wait for the end of the user's containers, then take the metrics: `collect` where there is no model to keep."""

    metrics_file: str
    wanted: tuple[str, ...]
    """Metrics that must be there and be finite numbers."""


class MeasureVerdict(Model):
    """Answer of `measure`."""

    outcome: Literal["Measured", "Failed"]
    reason: str = ""
    message: str = ""
    metrics: Annotated[dict[str, float], Field(default_factory=dict)]
    """At most 50, the wanted ones always among them."""


class SmokeCall(Model):
    """One request."""

    url: str
    method: Literal["GET", "POST", "PUT"]
    body: str = ""
    content_type: str = "application/json"
    expect_status: int = 200


class SmokeOrder(Model):
    """Send requests one after the other; the first that is not answered as expected ends it.

    No connection, and a 503 that is not expected, are tried again until `patience_seconds` are over, all requests
    together: a server that has just become ready is not known everywhere yet.
    """

    calls: tuple[SmokeCall, ...]
    max_seconds: float
    """Of each answer, from sending to its last byte."""
    patience_seconds: float = 10


class SmokeVerdict(Model):
    """Answer of `smoke`: reason SmokeFailed, and which request was answered how; no bodies."""

    outcome: Literal["Answered", "Failed"]
    reason: str = ""
    message: str = ""
    slowest_seconds: float = 0
