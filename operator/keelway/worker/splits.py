r"""Which split a row belongs to.

    text  = the split key's text, or, without a key, the row's text
    place = the first 16 hexadecimal digits of md5(text), as a number in [0, 2^64)
    split = the one whose range holds `place`; ranges follow each other in the order of the splits, each as wide as
            its percent of 2^64; what is left over belongs to no split

A value's text is what DuckDB's CAST to VARCHAR gives (UTC), except that a number has no fraction of zeros (1.0 and
1.50 are `1` and `1.5`) and a timestamp at midnight is its date, so that a column that becomes wider keeps its texts.
NULL as a key is the empty text. A row's text joins `name US text` of its columns that are not NULL, sorted by name,
with RS (US and RS are the ASCII separators 31 and 30): a new column that old rows lack leaves them where they are.

A file of a data set without rows (images, say) is placed by the text of its path.

Nothing else enters: not the order of rows or files, the format, the other rows or the version. The same key is in the
same split in every version, as long as the percents before its own stay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from keelway.api.jobs import Column, SplitRows, SplitRule
from keelway.worker.errors import WorkerError, enumerate_some
from keelway.worker.sql import literal, value_text

SPACE = 2**64


@dataclass(frozen=True)
class Range:
    """The places of one split: `low <= place < high`."""

    name: str
    low: int
    high: int

    def condition(self, place: str) -> str:
        """SQL that is true of the rows of this split; `place` is the SQL of a row's place in 16 hexadecimal digits."""
        if self.low == self.high:
            return "false"
        upper = f" AND {place} < '{self.high:016x}'" if self.high < SPACE else ""
        return f"({place} >= '{self.low:016x}'{upper})"

    def holds(self, path: str) -> bool:
        """Whether the file at this path belongs to this split."""
        return self.low <= int(hashlib.md5(path.encode(), usedforsecurity=False).hexdigest()[:16], 16) < self.high


def ranges(rules: Sequence[SplitRule]) -> tuple[Range, ...]:
    """The range of each split. Raises WorkerError SourceInvalid when the percents add up to more than 100."""
    edges = [Fraction(0)]
    for rule in rules:
        edges.append(edges[-1] + Fraction(str(rule.percent)))
    if edges[-1] > 100:
        raise WorkerError(
            "SourceInvalid", f"the splits add up to {float(edges[-1]):g} percent: at most 100 is possible"
        )
    places = [int(edge * SPACE / 100) for edge in edges]
    return tuple(Range(rule.name, low, high) for rule, low, high in zip(rules, places[:-1], places[1:], strict=True))


def count_paths(paths: Sequence[str], rules: Sequence[SplitRule], key: str) -> tuple[SplitRows, ...]:
    """How many files are in each split. Raises WorkerError SourceInvalid for a split key: files have no columns."""
    if key:
        raise WorkerError("SourceInvalid", f"the split key {key!r} is not a column: files of this format have none")
    return tuple(SplitRows(name=one.name, rows=sum(map(one.holds, paths))) for one in ranges(rules))


def place_sql(columns: Sequence[Column], key: str) -> str:
    """SQL of a row's place, 16 hexadecimal digits. Raises WorkerError SourceInvalid when there is no column `key`."""
    if not key:
        return _place(_row_text(columns))
    column = next((column for column in columns if column.name == key), None)
    if column is None:
        names = enumerate_some([column.name for column in columns])
        raise WorkerError("SourceInvalid", f"the split key {key!r} is not a column; the columns are {names}")
    return _place(f"coalesce({value_text(column)}, '')")


def _place(text: str) -> str:
    return f"substr(md5({text}), 1, 16)"


def _row_text(columns: Sequence[Column]) -> str:
    cells = [
        f"{literal(column.name)} || chr(31) || {value_text(column)}" for column in sorted(columns, key=lambda c: c.name)
    ]
    return f"concat_ws(chr(30), {', '.join(cells)})"
