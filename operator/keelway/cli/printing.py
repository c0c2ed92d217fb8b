"""What commands found, for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from keelway.cli.lineage import Lineage, pairs
from keelway.cli.trials import Trials
from keelway.lifecycle.experiment.trials import TrialRow

WIDTH_OF_A_FILE = 200
"""Columns where the output is no terminal: digests stay on one line."""
STATE_STYLES = {"Succeeded": "green", "Failed": "red", "Pruned": "yellow", "Cached": "cyan"}


def show(chain: Lineage) -> None:
    """Print a lineage as a tree to standard output."""
    _console().print(_tree(chain))


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH_OF_A_FILE)


def _tree(link: Lineage) -> Tree:
    tree = Tree(_heading(link), guide_style="dim")
    for label, value in link.facts:
        tree.add(Text.assemble((f"{label:<12} ", "dim"), value))
    for origin in link.origins:
        tree.children.append(_tree(origin))
    return tree


def _heading(link: Lineage) -> Text:
    heading = Text.assemble((link.kind, "bold cyan"), " ", (link.name, "bold"))
    return heading.append(f"  ({link.missing})", "red") if link.missing else heading


def show_trials(trials: Trials, rows: Sequence[TrialRow]) -> None:
    """Print trials as a table to standard output; one that still runs at its first attempt is not in it."""
    console = _console()
    console.print(Text(f"{trials.experiment.name}: {trials.title or 'has had no run yet'}", "bold"))
    if rows:
        console.print(_table(trials.experiment.spec.objective.metric, rows))


def _table(metric: str, rows: Sequence[TrialRow]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for title in ("TRIAL", metric.upper(), "SECONDS"):
        table.add_column(title, justify="right")
    for title in ("STATE", "PARAMETERS", "REASON"):
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: TrialRow) -> tuple[Text, ...]:
    return (
        Text(str(row.number)),
        Text("" if row.value is None else f"{row.value:.6g}"),
        Text("" if row.seconds is None else f"{row.seconds:.0f}"),
        Text(row.state, STATE_STYLES.get(row.state, "")),
        Text(pairs(row.parameters)),
        Text(_reason(row)),
    )


def _reason(row: TrialRow) -> str:
    if row.reason:
        return f"{row.reason}: {row.message}"
    return "" if row.answered_by is None else f"the same point as trial {row.answered_by}"
