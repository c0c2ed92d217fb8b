"""The comparison as it is shown."""

import io

from rich.console import Console

from dev.comparison.counting import Harm
from dev.comparison.table import HEADER, Line, as_markdown, as_table

LINES = [
    Line("crashes", "in place", Harm(requests=900, failed=400, wrong=2, seconds=None), "a|b", by_hand=12.34),
    Line("crashes", "Keelway", Harm(requests=1000, failed=3, wrong=0, seconds=1.26), "rolled back"),
]


def test_a_page_gets_a_row_for_each_line_with_as_many_cells_as_the_header() -> None:
    header, rule, first, second = as_markdown(LINES).splitlines()
    assert header == f"| {' | '.join(HEADER)} |"
    assert rule == f"|{' --- |' * len(HEADER)}"
    assert first.startswith("| crashes | in place | 900 | 400 | 2 | not by itself within 90 s; 12.3 after")
    assert second == "| crashes | Keelway | 1000 | 3 | 0 | 1.3 | rolled back |"


def test_what_a_pod_says_does_not_break_the_table() -> None:
    assert all(row.count("|") == len(HEADER) + 1 for row in as_markdown(LINES).splitlines())


def test_a_terminal_gets_the_same_cells() -> None:
    shown = io.StringIO()
    Console(file=shown, width=300).print(as_table(LINES))
    assert all(cell in shown.getvalue() for line in LINES for cell in line.cells)
