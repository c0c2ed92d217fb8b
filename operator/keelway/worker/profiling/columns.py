"""Makes the profile of a column of what both passes found."""

from __future__ import annotations

from collections.abc import Sequence

from keelway.api.profile import ColumnProfile, TopValue
from keelway.worker.profiling.measures import Measure
from keelway.worker.profiling.survey import Facts
from keelway.worker.profiling.tally import FREQUENT, Tally

SHARE_DIGITS = 9


def counts_only(measure: Measure, count: int, *, rows: int) -> ColumnProfile:
    """Of a column of which no more is known."""
    return _profile(measure, Facts(count=count), rows=rows, placed=0)


def column_profile(measure: Measure, facts: Facts, tally: Tally, *, rows: int, top_k: int) -> ColumnProfile:
    """With bins, or frequent values, of its own."""
    return _counted(measure, facts, tally, tally.edges, _top(measure, facts, tally, top_k), rows=rows)


def rebinned(
    measure: Measure, facts: Facts, tally: Tally, *, rows: int, edges: Sequence[float], texts: Sequence[str]
) -> ColumnProfile:
    """With the bins and the frequent values of another version."""
    top = tuple(TopValue(value=text, count=tally.texts.get(text, 0)) for text in texts)
    return _counted(measure, facts, tally, edges, top, rows=rows)


def _counted(
    measure: Measure, facts: Facts, tally: Tally, edges: Sequence[float], top: tuple[TopValue, ...], *, rows: int
) -> ColumnProfile:
    counts = tally.in_bins(edges)
    placed = sum(counts) if measure.is_ordered else sum(one.count for one in top)
    shares = tuple(_share(count, rows) for count in counts)
    plain = _profile(measure, facts, rows=rows, placed=placed)
    distinct = plain.distinct if tally.distinct is None else tally.distinct
    return plain.model_copy(update={"distinct": distinct, "edges": tuple(edges), "shares": shares, "top": top})


def _top(measure: Measure, facts: Facts, tally: Tally, top_k: int) -> tuple[TopValue, ...]:
    """The most frequent values, equally frequent ones by their text. Of numbers only when these are all."""
    if measure.kind == "Time" or (measure.kind == "Number" and not 0 < len(tally.texts) <= top_k):
        return ()
    least = 1 if tally.distinct is not None else max(1.0, FREQUENT * facts.count)
    found = [(value, count) for value, count in tally.texts.items() if count >= least]
    ordered = sorted(found, key=lambda one: (-one[1], one[0]))
    return tuple(TopValue(value=value, count=count) for value, count in ordered[:top_k])


def _profile(measure: Measure, facts: Facts, *, rows: int, placed: int) -> ColumnProfile:
    nulls = rows - facts.count
    return ColumnProfile(
        name=measure.name,
        type=measure.column.type,
        kind=measure.kind,
        count=facts.count,
        nulls=nulls,
        distinct=facts.distinct,
        min=facts.smallest,
        max=facts.largest,
        mean=facts.mean,
        stddev=facts.stddev,
        null_share=_share(nulls, rows),
        other_share=_share(facts.count - placed, rows),
    )


def _share(count: int, rows: int) -> float:
    return round(count / rows, SHARE_DIGITS) if rows else 0.0
