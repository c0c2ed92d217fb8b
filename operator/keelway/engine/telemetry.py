"""What the engine counts, as Prometheus metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Telemetry:
    """Counters of one process, in a registry of its own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.reconciles = Counter(
            "keelway_reconciles", "Decisions carried out.", ("kind", "reason", "outcome"), registry=self.registry
        )
        self.reconcile_seconds = Histogram(
            "keelway_reconcile_seconds",
            "From taking a key to the end of its plan.",
            ("kind",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.wait_seconds = Histogram(
            "keelway_queue_wait_seconds", "How long a key waited.", ("lane",), buckets=SECONDS, registry=self.registry
        )
        self.requests = Counter(
            "keelway_requests",
            "Requests of plans to the API server and, as verb query, to Prometheus servers.",
            ("verb", "kind", "outcome"),
            registry=self.registry,
        )
        self.queue_depth = Gauge("keelway_queue_depth", "Keys waiting and running.", ("lane",), registry=self.registry)
        self.objects = Gauge("keelway_objects", "Objects in the store.", ("kind",), registry=self.registry)
        self.errors = Counter("keelway_errors", "Failures while carrying out plans.", ("type",), registry=self.registry)
        self.watch_restarts = Counter(
            "keelway_watch_restarts", "Watches begun anew.", ("kind", "reason"), registry=self.registry
        )
        self.relists = Counter("keelway_relists", "Complete lists.", ("kind", "outcome"), registry=self.registry)
