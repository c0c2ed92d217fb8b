"""How what a reproduction made compares with what is recorded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from keelway.api.model_version import ModelVersion
from keelway.api.run import MetricDifference, Reproduction
from keelway.lifecycle.experiment.trials import TrialRow

SAME_WITHIN = 1e-9
"""Relative. What the order of additions changes in a mean of many numbers is below it."""
KEPT, TOLD = 8, 3
"""How many differing metrics the status has, and how many of these the message."""


def compared(reproduction: Reproduction, model: ModelVersion, row: TrialRow) -> Reproduction:
    """The reproduction with its result: the same bytes, the same metrics, or what differs."""
    differing = sorted(_differing(model.spec.metrics, row.metrics), key=_size, reverse=True)
    update = {"digest": row.digest, "metrics": tuple(differing[:KEPT])}
    same_bytes, measured = row.digest == model.spec.artifact.digest, bool(model.spec.metrics)
    if same_bytes:
        return reproduction.model_copy(update={**update, "metrics": (), "state": "Reproduced", "message": _same(row)})
    digests = f"its bytes are {row.digest}, recorded are {model.spec.artifact.digest}"
    if not differing and measured:
        message = f"every recorded metric came out the same ({_shown(model)}); {digests}"
        return reproduction.model_copy(update={**update, "state": "Reproduced", "message": message})
    found = _told(differing) if measured else "the record has no metrics to compare"
    message = f"{found}; {digests}{_other_image(model.spec.produced_by.image_id, row.image_id)}"
    return reproduction.model_copy(update={**update, "state": "Differs", "message": message})


def _same(row: TrialRow) -> str:
    return f"the same bytes came out, {row.digest}"


def _shown(model: ModelVersion) -> str:
    """The metric that decided, or how many there are."""
    name, value = model.spec.objective, model.spec.metrics.get(model.spec.objective)
    return f"{name} {value:.6g}" if value is not None else f"{len(model.spec.metrics)} of them"


def _differing(recorded: dict[str, float], found: dict[str, float]) -> Iterator[MetricDifference]:
    """Metrics of the record that came out otherwise or not at all."""
    for name, value in sorted(recorded.items()):
        now = found.get(name)
        if now is None or not math.isclose(value, now, rel_tol=SAME_WITHIN):
            yield MetricDifference(name=name[:256], recorded=value, reproduced=now)


def _size(one: MetricDifference) -> float:
    """How far apart, relative to the larger of both; a metric that is not there comes first."""
    if one.recorded is None or one.reproduced is None:
        return math.inf
    return abs(one.reproduced - one.recorded) / max(abs(one.recorded), abs(one.reproduced))


def _told(differing: Sequence[MetricDifference]) -> str:
    more = len(differing) - TOLD
    told = ", ".join(map(_difference, differing[:TOLD]))
    return f"{told} and {more} more" if more > 0 else told


def _difference(one: MetricDifference) -> str:
    if one.recorded is None or one.reproduced is None:
        return f"{one.name} {one.recorded} -> none"
    return f"{one.name} {one.recorded:.12g} -> {one.reproduced:.12g} ({one.reproduced - one.recorded:+.3g})"


def _other_image(recorded: str, ran: str) -> str:
    return f"; the image is another: {ran}, recorded is {recorded}" if recorded and ran and recorded != ran else ""
