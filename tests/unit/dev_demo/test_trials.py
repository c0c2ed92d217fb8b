"""How the demo shows a run: why it began, and its trials."""

import json
from typing import Any, cast

import pytest
from rich.console import Console

from dev.demo.trials import WHY, table, trial_rows, why
from dev.platform.kubectl import Kubectl
from keelway.api.run import Run

Manifest = dict[str, Any]

BAD_CURVE = [[1, 0.1], [2, 0.2]]
READ = {"dataset": "tumours", "version": 2, "rows": 503}
ROWS: list[Manifest] = [
    {"number": 0, "state": "Succeeded", "parameters": {"rate": 0.125, "depth": 3}, "value": 0.9, "seconds": 4.0},
    {
        "number": 1,
        "state": "Pruned",
        "parameters": {"rate": 0.1, "depth": 4},
        "value": 0.2,
        "curve": [[1, 0.1], [2, 0.2]],
    },
    {"number": 2, "state": "Failed", "parameters": {"rate": 0.2, "depth": 5}},
]


def experiment(**status: Any) -> Manifest:
    run = {"number": 2, "reason": "NewDatasetVersion", "datasets": [READ], "best": {"trial": 0}}
    return {
        "metadata": {"namespace": "demo"},
        "spec": {"objective": {"metric": "auc"}, "parameters": [{"name": "rate"}, {"name": "depth"}]},
        "status": {"run": run, **status},
    }


class Pages:
    """Answers with the pages of a table."""

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        del input
        page = {"trials": ROWS[:2], "trials-1": ROWS[2:]}[arguments[2]]
        return json.dumps({"data": {"trials.json": json.dumps(page)}})


def test_it_says_why_the_run_began_and_on_what() -> None:
    assert why(experiment()) == (
        "run 2 began because there is new data (reason NewDatasetVersion); it reads tumours version 2 (503 rows)"
    )


def test_there_are_words_for_every_reason() -> None:
    schema = Run.model_json_schema()["properties"]["reason"]
    assert WHY.keys() == set(schema["enum"])


@pytest.mark.parametrize(
    ("reference", "numbers"),
    [(None, []), ({"configMap": "trials"}, [0, 1]), ({"configMap": "trials", "pages": 2}, [0, 1, 2])],
)
def test_all_pages_of_the_table_are_read(reference: Manifest | None, numbers: list[int]) -> None:
    rows = trial_rows(cast(Kubectl, Pages()), experiment(trials=reference))
    assert [row["number"] for row in rows] == numbers


def test_a_line_a_trial_with_the_best_one_marked() -> None:
    console = Console(width=120)
    with console.capture() as printed:
        console.print(table(experiment(), ROWS))
    first, second, third = [line for line in printed.get().splitlines() if line.startswith("│")]
    assert [cell.strip() for cell in first.strip("│").split("│")] == [
        "0",
        "Succeeded",
        "0.125",
        "3",
        "",
        "0.9",
        "4",
        "best",
    ]
    assert "▅█" in second
    assert "best" not in second + third


def test_curves_have_a_column_where_there_are_some() -> None:
    assert len(table(experiment(), ROWS).columns) == len(table(experiment(), ROWS[:1]).columns) + 1
