"""The comparison as a table, for a terminal and for a page of documentation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.table import Table

from dev.comparison.counting import Harm

HEADER = (
    "The new model",
    "changed by",
    "requests",
    "failed",
    "wrong",
    "seconds until all was right again",
    "what remained",
)


@dataclass(frozen=True)
class Line:
    """What one way to change a model made of one case."""

    case: str
    side: str
    harm: Harm
    remained: str
    by_hand: float | None = None
    """Seconds until all was right after a person had put version 1 back; None where nobody had to."""

    @property
    def cells(self) -> tuple[str, ...]:
        """One text a column."""
        counts = (self.harm.requests, self.harm.failed, self.harm.wrong)
        return (self.case, self.side, *map(str, counts), self._recovery, self.remained)

    @property
    def _recovery(self) -> str:
        by_hand = "" if self.by_hand is None else f"; {self.by_hand:.1f} after version 1 was put back by hand"
        return self.harm.recovery + by_hand


def as_table(lines: Iterable[Line]) -> Table:
    """For a terminal."""
    table = Table(*HEADER, title="The same model, the same load, two ways to change it", show_lines=True)
    for line in lines:
        table.add_row(*line.cells)
    return table


def as_markdown(lines: Iterable[Line]) -> str:
    """For a page."""
    rule = ["---"] * len(HEADER)
    return "\n".join(_row(cells) for cells in (HEADER, rule, *(line.cells for line in lines)))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
