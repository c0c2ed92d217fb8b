"""How an Experiment's run looks on a terminal: why it began, and a line a trial."""

import json
from collections.abc import Sequence

from rich.table import Table

from dev.demo.examples import Manifest
from dev.demo.profile import bars
from dev.demo.resources import get
from dev.platform.kubectl import Kubectl

WHY = {
    "Created": "the Experiment is new",
    "SpecChanged": "its spec was changed",
    "NewDatasetVersion": "there is new data",
    "Requested": "somebody asked for it",
}


def trial_rows(cluster: Kubectl, experiment: Manifest) -> list[Manifest]:
    """The rows of the current run's table, all pages; none before there is one."""
    reference = experiment.get("status", {}).get("trials")
    if not reference:
        return []
    first, others = reference["configMap"], range(1, reference.get("pages", 1))
    names = [first, *(f"{first}-{page}" for page in others)]
    pages = [get(cluster, "configmap", name, experiment["metadata"]["namespace"]) for name in names]
    return [row for page in pages for row in json.loads(page["data"]["trials.json"])]


def why(experiment: Manifest) -> str:
    """Why the current run began, and what it reads."""
    run = experiment["status"]["run"]
    read = ", ".join(
        f"{given['dataset']} version {given['version']} ({given['rows']} rows)" for given in run["datasets"]
    )
    return f"run {run['number']} began because {WHY[run['reason']]} (reason {run['reason']}); it reads {read}"


def table(experiment: Manifest, rows: Sequence[Manifest]) -> Table:
    """The trials in their order with parameters and value, the best one marked; curves where any trial has one."""
    metric, best = experiment["spec"]["objective"]["metric"], experiment["status"]["run"].get("best", {})
    parameters = [parameter["name"] for parameter in experiment["spec"].get("parameters", [])]
    curve = ["curve"] if any(row.get("curve") for row in rows) else []
    result = Table("trial", "state", *parameters, *curve, metric, "seconds", "")
    for row in rows:
        drawn = [bars([value for _, value in row.get("curve", [])])] if curve else []
        cells = (*(_plain(row["parameters"].get(name)) for name in parameters), *drawn)
        mark = "best" if row["number"] == best.get("trial") else ""
        result.add_row(
            str(row["number"]), row["state"], *cells, _plain(row.get("value")), _plain(row.get("seconds")), mark
        )
    return result


def _plain(value: object) -> str:
    """A number in as few digits as tell trials apart."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)
