"""`keelway trials`: the table of the current run, put together from its pages."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from keelway.api.kinds import Key
from keelway.cli import main
from tests.unit.cli.api_server import Records
from tests.unit.cli.records import NAMESPACE, an_experiment

KEY = Key("Experiment", NAMESPACE, "tumour-search")
RUN = {
    "number": 2,
    "hash": "h",
    "specHash": "s",
    "reason": "NewDatasetVersion",
    "state": "Running",
    "startTime": "2026-01-02T03:00:00Z",
    "trials": {"total": 9, "progress": "3/9"},
}


def row(number: int, value: float | None = None, **fields: Any) -> dict[str, Any]:
    known = {"value": value, "seconds": 12.0} if value is not None else {}
    return {"number": number, "state": "Succeeded", "parameters": {"depth": number, "rate": 0.5}, **known, **fields}


ROWS = [
    row(0, 0.7),
    row(1, state="Failed", reason="TrainerFailed", message="container train ended with exit code 1"),
    row(2, 0.9),
    row(3, 0.8, state="Pruned"),
    row(4, 0.9, state="Cached", answeredBy=2),
]


def trials(kubeconfig: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["trials", "--kubeconfig", str(kubeconfig), "tumour-search", *words])


@pytest.fixture
def paged(records: Records) -> Records:
    """Two trials a page."""
    pages = [ROWS[:2], ROWS[2:4], ROWS[4:]]
    records.put(KEY, an_experiment(run=RUN, trials={"configMap": "table", "pages": 3}))
    for number, rows in enumerate(pages):
        name = f"table-{number}" if number else "table"
        page = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE}}
        records.put(Key("ConfigMap", NAMESPACE, name), {**page, "data": {"trials.json": json.dumps(rows)}})
    return records


@pytest.mark.usefixtures("paged")
def test_shows_every_trial_of_every_page(kubeconfig: Path) -> None:
    result = trials(kubeconfig)
    assert result.exit_code == 0, result.output
    title, header, *lines = result.output.splitlines()
    assert title == "tumour-search: run 2 (NewDatasetVersion), Running, 3/9"
    assert header.split() == ["TRIAL", "AUC", "SECONDS", "STATE", "PARAMETERS", "REASON"]
    assert [line.split()[0] for line in lines] == ["0", "1", "2", "3", "4"]
    assert lines[0].split() == ["0", "0.7", "12", "Succeeded", "depth=0,", "rate=0.5"]
    assert "TrainerFailed: container train ended with exit code 1" in lines[1]
    assert "the same point as trial 2" in lines[4]


@pytest.mark.usefixtures("paged")
def test_the_best_come_first_and_those_without_a_value_last(kubeconfig: Path) -> None:
    found = json.loads(trials(kubeconfig, "--sort", "value", "-o", "json").stdout)
    assert [row["number"] for row in found] == [2, 4, 3, 0, 1]


def test_the_smallest_is_the_best_where_the_goal_is_to_minimize(paged: Records, kubeconfig: Path) -> None:
    objective = {"objective": {"metric": "loss", "goal": "Minimize"}}
    paged.put(KEY, an_experiment(spec=objective, run=RUN, trials={"configMap": "table", "pages": 3}))
    found = json.loads(trials(kubeconfig, "--sort", "value", "-o", "json").stdout)
    assert [row["number"] for row in found] == [0, 3, 2, 4, 1]


@pytest.mark.usefixtures("paged")
def test_csv_has_a_column_for_every_parameter(kubeconfig: Path) -> None:
    lines = list(csv.DictReader(trials(kubeconfig, "--output", "csv").stdout.splitlines()))
    assert len(lines) == 5
    assert (lines[2]["number"], lines[2]["value"], lines[2]["depth"], lines[2]["rate"]) == ("2", "0.9", "2", "0.5")
    assert (lines[1]["value"], lines[1]["reason"]) == ("", "TrainerFailed")


def test_a_page_that_is_gone_is_told_after_what_is_there(paged: Records, kubeconfig: Path) -> None:
    paged.remove(Key("ConfigMap", NAMESPACE, "table-1"))
    result = trials(kubeconfig, "-o", "json")
    assert result.exit_code == 1
    assert [row["number"] for row in json.loads(result.stdout)] == [0, 1, 4]
    assert "the table is not whole: there is no ConfigMap table-1" in result.stderr


def test_an_experiment_without_a_run_has_no_trials(records: Records, kubeconfig: Path) -> None:
    records.put(KEY, an_experiment())
    result = trials(kubeconfig)
    assert (result.exit_code, result.output) == (0, "tumour-search: has had no run yet\n")
    assert trials(kubeconfig, "-o", "json").stdout == "[]\n"


def test_says_that_there_is_no_such_experiment(kubeconfig: Path) -> None:
    result = trials(kubeconfig)
    assert result.exit_code == 1
    assert f"there is no Experiment tumour-search in namespace {NAMESPACE}" in result.output
