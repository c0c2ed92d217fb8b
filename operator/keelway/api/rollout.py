"""How a version takes over: smoke requests, steps of weight, analysis, and the way back."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from keelway.api.base import Duration, LabelName, Model, ShortText, Timestamp, cel, pattern, rules
from keelway.api.search import Number


class SmokeRequest(Model):
    """One request that is sent straight to the candidate's servers."""

    path: Annotated[
        str,
        Field(max_length=1024),
        rules(cel("self.startsWith('/')", "path must begin with /, for example /v2/models/churn/infer")),
    ]
    method: Literal["", "GET", "POST", "PUT"] = ""
    """Empty: POST with a body, GET without."""
    body: Annotated[str, Field(max_length=16384)] = ""
    content_type: Annotated[str, Field(max_length=128)] = "application/json"
    expect_status: Annotated[int, Field(ge=100, le=599)] = 200


class Smoke(Model):
    """What a candidate must answer before anybody else asks it."""

    requests: Annotated[tuple[SmokeRequest, ...], Field(max_length=16)] = ()
    max_latency: Annotated[
        Duration, rules(cel("duration(self) > duration('0s')", "smoke.maxLatency must be more than 0s, for example 1s"))
    ] = "10s"
    """Of each answer."""


class Step(Model):
    """So much of the traffic for so long."""

    weight: Annotated[int, Field(ge=0, le=99)]
    """Percent. 0 is a dark launch: only requests with the header `x-keelway-candidate: true` reach the candidate."""
    hold: Duration = "1m"


class MetricCheck(Model):
    """One Prometheus query whose value must be within bounds."""

    name: Annotated[LabelName, Field(max_length=40)]
    query: Annotated[str, Field(min_length=1, max_length=4096)]
    """`{{service}}`, `{{inferenceService}}`, `{{version}}`, `{{namespace}}` and `{{name}}` are the candidate's."""
    min: Number | None = None
    max: Number | None = None
    no_data: Literal["Wait", "Pass", "Fail"] = "Wait"
    """What an empty answer, or one that is no number, counts as. Wait: neither; the step lasts until there is data."""


CHECK_RULES = rules(
    cel("has(self.min) || has(self.max)", "a check needs min, max or both"),
    cel("!has(self.min) || !has(self.max) || self.min <= self.max", "a check's min must not be above its max"),
)


class Prometheus(Model):
    """Where to ask."""

    url: Annotated[
        str,
        Field(max_length=512),
        pattern("^https?://[^ ]+$", "url must be that of a Prometheus server, for example http://prometheus:9090"),
    ]
    checks: Annotated[
        tuple[Annotated[MetricCheck, CHECK_RULES], ...],
        Field(
            min_length=1,
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ]


class Analysis(Model):
    """Whether a candidate does well while it has traffic, asked again and again."""

    interval: Annotated[
        Duration,
        rules(cel("duration(self) >= duration('1s')", "analysis.interval must be at least 1s")),
    ] = "15s"
    failure_limit: Annotated[int, Field(ge=0, le=1000)] = 0
    """How many looks may fail; one more rolls back."""
    prometheus: Prometheus


class Rollout(Model):
    """How a new version takes over."""

    strategy: Literal["Canary", "BlueGreen"] = "Canary"
    """Canary: in `steps`. BlueGreen: all at once, after the smoke requests."""
    smoke: Smoke = Smoke()
    steps: Annotated[tuple[Step, ...], Field(max_length=20)] = (Step(weight=10), Step(weight=50))
    """Then 100. Without a route there are no steps: the Service switches."""
    analysis: Analysis | None = None
    progress_deadline: Duration = "10m"
    """How long a candidate may take to get ready, to answer its smoke requests, or to show data at a step."""
    soak: Duration = "10m"
    """How long the version before stays ready after it lost its traffic; analysis goes on, and can still go back."""
    hold_down: Duration = "1h"
    """How long after a rollback no other version is tried by itself."""


ROLLOUT_RULES = rules(
    cel(
        "!has(self.steps) || (self.steps.map(s, s.weight).isSorted()"
        " && self.steps.all(s, self.steps.filter(t, t.weight == s.weight).size() == 1))",
        "rollout.steps must have rising weights, for example 10, then 50",
    ),
)


class Measured(Model):
    """What one check of one look found."""

    name: str
    outcome: Literal["Passed", "Failed", "NoData", "Error"]
    value: float | None = None
    message: ShortText = ""


class AnalysisStatus(Model):
    """How the looks at a candidate went."""

    round: int = 0
    """How many looks there were since it had its first traffic."""
    failures: int = 0
    blind: bool = False
    """Whether the last look could not tell: no data, or no answer."""
    last: Annotated[tuple[Measured, ...], Field(max_length=16)] = ()
    at: Timestamp
