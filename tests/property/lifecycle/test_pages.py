"""The table of a search's trials keeps every page below what a ConfigMap should hold, however wide its rows are."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.api.base import Manifest
from keelway.api.experiment import Experiment
from keelway.api.jobs import CURVE_POINTS
from keelway.api.search import MAX_TRIALS
from keelway.lifecycle.experiment.trials import TrialRow, page_rows, rows_of
from keelway.manifests.config_map import trials_table
from tests.property.lifecycle.searches import search

PAGE_BYTES = 256 * 1024
WIDEST: list[Manifest] = [
    {"name": f"{'p' * 60}{number:02}", "choice": {"values": ["\u0001" * 255 + str(n) for n in range(4)]}}
    for number in range(64)
]
METRICS = {f"metric_of_the_validation_number_{number:03}": 0.123456789012345678 for number in range(50)}
CURVE = tuple((1_000_000 + step, 0.1234567890123456) for step in range(CURVE_POINTS))


def experiment_of(parameters: list[Manifest]) -> Experiment:
    """A search of as many trials as there may be."""
    manifest = search(algorithm="Random", maxTrials=MAX_TRIALS, spec={"parameters": parameters})
    return Experiment.model_validate({**manifest, "metadata": {**manifest["metadata"], "uid": "u" * 36}})


def row(experiment: Experiment, number: int, metrics: dict[str, float], *, pruned: bool) -> TrialRow:
    """A trial at the last choice of each parameter, with everything that a row may have."""
    point = {one.name: one.choice.values[-1] if one.choice else 0.1 for one in experiment.spec.parameters}
    return TrialRow(
        number=number,
        state="Pruned" if pruned else "Succeeded",
        parameters=point,
        metrics={} if pruned else metrics,
        value=0.1234567890123456,
        curve=CURVE if pruned else (),
        job="j" * 63,
        digest=f"sha256:{'0' * 64}",
        directory="d" * 12,
        image_id=f"registry.example.com/{'i' * 100}@sha256:{'0' * 64}",
        message="m" * 300,
        mlflow_run="r" * 32,
        mlflow_error="e" * 300,
    )


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 64), st.booleans())
def test_no_page_is_too_large_with_up_to_64_wide_parameters_and_50_metrics(count: int, pruned: bool) -> None:
    experiment = experiment_of(WIDEST[:count])
    size = page_rows(experiment.spec.parameters)
    rows = [row(experiment, number, METRICS, pruned=pruned).to_json() for number in range(size)]
    page = trials_table(experiment, "page", rows)
    assert len(json.dumps(page)) < PAGE_BYTES
    assert sorted(rows_of(page)) == list(range(size))


def test_the_last_page_of_ten_thousand_of_the_widest_rows_is_no_larger() -> None:
    experiment = experiment_of(WIDEST)
    size = page_rows(experiment.spec.parameters)
    numbers = range((MAX_TRIALS - 1) // size * size, MAX_TRIALS)
    page = trials_table(
        experiment, "page", [row(experiment, number, METRICS, pruned=False).to_json() for number in numbers]
    )
    assert len(json.dumps(page)) < PAGE_BYTES
    assert max(rows_of(page)) == MAX_TRIALS - 1
