"""A Prometheus server in a few lines: what it knows of a model version under traffic follows from that one's fate."""

from __future__ import annotations

import math
import re

from keelway.lifecycle.plan import MetricAnswer, MetricQuery
from tests.property.lifecycle.cluster_api import ClusterApi
from tests.property.lifecycle.fates import Fates, Sample
from tests.property.lifecycle.traffic import shares

ANSWERS: dict[Sample, MetricAnswer] = {
    "good": MetricAnswer((0.001,)),
    "bad": MetricAnswer((0.2,)),
    "none": MetricAnswer(),
    "nan": MetricAnswer((math.nan,)),
    "down": MetricAnswer(error="connection refused"),
}


class Prometheus:
    """Answers any query that names servers by the share of their requests that failed.

    `says` is what it has for all versions, whatever they are like, until that is nothing again.
    """

    def __init__(self, api: ClusterApi, fates: Fates) -> None:
        self._api = api
        self._fates = fates
        self.says: Sample | None = None

    def answer(self, query: MetricQuery) -> MetricAnswer:
        """What a query about a version has for an answer now."""
        if self.says:
            return ANSWERS[self.says]
        found = re.search(r"([a-z0-9-]+-v([0-9]+)-[0-9a-f]{8})-predictor", query.query)
        assert found, f"{query.query} names no servers"
        fate = self._fates.of_model(int(found[2]))
        return ANSWERS[fate.sample if self._weight(found[1]) >= fate.worse_from else "good"]

    def _weight(self, server: str) -> int:
        routes = (self._api.read(key) for key in self._api.objects if key.kind == "HTTPRoute")
        return max((shares(route).get(server, 0) for route in routes), default=0)
