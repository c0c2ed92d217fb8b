"""The first pass: what every column holds, and a sample of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from keelway.worker.profiling.measures import LABEL, Measure

SAMPLE_CELLS = 300_000
"""Of all columns of one query together: it is held in memory."""
SAMPLE_ROWS = (1_000, 16_384)
HASHES = 2**63
MEAN_DIGITS = 11
"""Relative to the largest value. A sum of doubles hangs on their order in the last of their 16 digits."""
STDDEV_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the first pass found out about one column."""

    count: int
    """Values that are not NULL."""
    distinct: int = 0
    smallest: str | None = None
    largest: str | None = None
    sample: tuple[Any, ...] = ()
    """Numbers, or texts, of some rows; of all when there are few."""
    longest: int = 0
    """Bytes of the longest text."""
    numbers: int = 0
    """Of numbers and times: values that have a place in a bin."""
    span: tuple[float, float] = (0.0, 0.0)
    mean: float | None = None
    stddev: float | None = None


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Which rows are sampled.

    Numbers are those of the rows with the smallest hashes, so always the same ones: edges are laid by them. Texts are
    drawn by lot, so that equal rows do not stand for one: which of them are frequent does not hang on the lot (see
    `tally`).
    """

    rows: int
    """As many at most."""
    row_hash: str
    """SQL of a row's hash, from 0 to HASHES."""
    lot: str
    """SQL of a row's lot, from 0 to 1."""
    share: float = 1.0
    """Share of the rows to look at; two times as many as are wanted, so that few have to be sorted."""

    def number(self, measure: Measure) -> str:
        """The aggregate of a column of numbers or times."""
        return self._smallest(measure.number, self.row_hash, f"{self.row_hash} < {int(HASHES * self.share)}")

    def text(self, measure: Measure) -> str:
        """The aggregate of a column of texts."""
        condition = f"{self.lot} < {self.share:.9f}"
        value = measure.value if self.share == 1 else f"CASE WHEN {condition} THEN {measure.value} END"
        return self._smallest(value, self.lot, condition)

    def _smallest(self, value: str, key: str, condition: str) -> str:
        sampled = f"arg_min({value}, {key}, {self.rows})"
        return sampled if self.share == 1 else f"{sampled} FILTER ({condition})"


def draw(columns: int, *, row_hash: str, lot: str, known_rows: int | None) -> Draw:
    """The sample when that many columns are asked about at once; it is cheaper when the number of rows is known."""
    fewest, most = SAMPLE_ROWS
    rows = max(fewest, min(most, SAMPLE_CELLS // max(1, columns)))
    share = min(1.0, round(2 * rows / known_rows, 9)) if known_rows else 1.0
    return Draw(rows=rows, row_hash=row_hash, lot=lot, share=share)


def questions(measure: Measure, drawn: Draw) -> tuple[str, ...]:
    """SQL aggregates whose results `facts` understands."""
    values = f"count({measure.cell})"
    if measure.kind == "Other":
        return (values,)
    common = (values, f"approx_count_distinct({measure.cell})", *_extremes(measure))
    if measure.kind == "Boolean":
        return common
    if measure.kind == "Text":
        return (*common, drawn.text(measure), f"max(strlen({measure.cell}))")
    span = (measure.as_number(f"{function}({measure.value})") for function in ("min", "max"))
    moments = (f"{function}({measure.number})" for function in ("favg", "stddev_samp"))
    return (*common, drawn.number(measure), f"count({measure.value})", *span, *moments)


def facts(measure: Measure, answers: Sequence[Any]) -> Facts:
    """The results of the `questions` of the same measure."""
    count, *common = answers[:4]
    known = Facts(count=count)
    if common:
        distinct, smallest, largest = common
        known = replace(known, distinct=min(distinct, count), smallest=smallest, largest=largest)
    if measure.kind == "Text":
        sample, longest = answers[4:]
        return replace(known, sample=tuple(sample or ()), longest=longest or 0)
    return _with_numbers(known, *answers[4:]) if measure.is_ordered else known


def _extremes(measure: Measure) -> tuple[str, str]:
    """The smallest and the largest value as text."""
    if measure.kind == "Text":
        return f"left(min({measure.cell}), {LABEL})", f"left(max({measure.cell}), {LABEL})"
    return f"CAST(min({measure.value}) AS VARCHAR)", f"CAST(max({measure.value}) AS VARCHAR)"


def _with_numbers(
    known: Facts,
    sample: Sequence[float] | None,
    numbers: int,
    lowest: float | None,
    highest: float | None,
    mean: float | None,
    stddev: float | None,
) -> Facts:
    if lowest is None or highest is None:
        return known
    return replace(
        known,
        sample=tuple(sample or ()),
        numbers=numbers,
        span=(lowest, highest),
        mean=_rounded(mean, max(abs(lowest), abs(highest)), MEAN_DIGITS),
        stddev=_rounded(stddev, stddev or 0.0, STDDEV_DIGITS),
    )


def _rounded(value: float | None, scale: float, digits: int) -> float | None:
    """Rounded to so many digits of `scale`; None for what is no number."""
    if value is None or not math.isfinite(value):
        return None
    return round(value, digits - 1 - math.floor(math.log10(scale))) if scale > 0 else 0.0
