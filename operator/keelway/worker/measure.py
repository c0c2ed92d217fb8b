"""`measure`: a sidecar that waits for the end of an evaluation and takes its last metrics."""

from __future__ import annotations

import signal
from pathlib import Path

from keelway.api.judging import MeasureOrder, MeasureVerdict
from keelway.worker.metrics import read_metrics


def run(order: MeasureOrder) -> MeasureVerdict:
    """Wait for SIGTERM, which Kubernetes sends when the other containers have ended, then measure."""
    print("waiting for the end of the evaluation's containers", flush=True)
    signal.sigwait({signal.SIGTERM})
    return measure(order)


def measure(order: MeasureOrder) -> MeasureVerdict:
    """The metrics of the file's last line, the wanted ones first. Raises WorkerError."""
    metrics = read_metrics(Path(order.metrics_file), *order.wanted)
    return MeasureVerdict(outcome="Measured", metrics=metrics)
