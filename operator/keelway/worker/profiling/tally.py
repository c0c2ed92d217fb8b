"""The second pass: how many rows each bin and each frequent text of a column has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

from keelway.worker.profiling.bins import counts_between, counts_in_bins, inner_edges, quantile_edges, value_edges
from keelway.worker.profiling.measures import LABEL, Measure
from keelway.worker.profiling.survey import Facts

FEW = 1_000
"""A column with no more different values is counted value by value."""
FREQUENT = 0.01
"""Share of a column's values that makes a text a frequent one, where there are more than FEW. Every one is found: a
text is counted when the sample has five standard deviations less of it than that."""
POOR_SAMPLE = 200
"""Different numbers in a sample; fewer say little of where the bins of many should lie."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Counts of one column."""

    distinct: int | None = None
    """Exact, where all values are known."""
    edges: tuple[float, ...] = ()
    """Bins of its own."""
    each: Mapping[float, int] | None = None
    """How often each number occurs, where all are known."""
    texts: Mapping[str, int] = field(default_factory=dict)
    """How often each of some values occurs, as text."""
    numbers: int = 0
    at_least: Mapping[float, int] = field(default_factory=dict)
    """How many numbers are at or above each of some edges."""

    def in_bins(self, edges: Sequence[float]) -> list[int]:
        """How many numbers each bin has; the edges must have been asked for."""
        if len(edges) < 2:
            return []
        if self.each is not None:
            return counts_in_bins(self.each, edges)
        return counts_between(self.numbers, [self.at_least[edge] for edge in inner_edges(edges)])


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the second pass asks about one column."""

    measure: Measure
    facts: Facts
    each: bool = False
    """Whether to count all values one by one."""
    edges: tuple[float, ...] = ()
    limits: tuple[float, ...] = ()
    texts: tuple[str, ...] = ()

    @property
    def parameters(self) -> tuple[object, ...]:
        """What stands for the `?` of `sql`."""
        return (*self.limits, *self.texts)

    def sql(self) -> list[str]:
        """Aggregates whose results `answer` understands."""
        measure = self.measure
        value = measure.cell if measure.kind == "Text" and self.facts.longest <= LABEL else measure.value
        if self.each:
            return [f"histogram({measure.number if measure.kind == 'Time' else value})"]
        compared = f"{measure.number} >= ?" if measure.is_ordered else f"{value} = ?"
        return [f"count_if({compared})"] * len(self.parameters)

    def answer(self, answers: Sequence[Any]) -> Tally:
        """The counts."""
        if self.each:
            return _each(self.measure, answers[0] or {})
        return Tally(
            edges=self.edges,
            numbers=self.facts.numbers,
            at_least=dict(zip(self.limits, answers, strict=False)),
            texts=dict(zip(self.texts, answers, strict=False)),
        )


def question(measure: Measure, facts: Facts, *, edges: Iterable[float] = (), texts: Iterable[str] = ()) -> Question:
    """What to ask; `edges` and `texts` are those of a reference."""
    if measure.kind == "Other":
        return Question(measure=measure, facts=facts)
    if measure.kind == "Boolean" or facts.distinct <= FEW:
        return Question(measure=measure, facts=facts, each=True)
    if measure.is_ordered:
        own = quantile_edges(facts.sample, *facts.span)
        limits = tuple(dict.fromkeys((*inner_edges(own), *edges)))
        return Question(measure=measure, facts=facts, edges=own, limits=limits)
    return Question(measure=measure, facts=facts, texts=tuple(dict.fromkeys((*_likely(facts.sample), *texts))))


def has_poor_sample(measure: Measure, facts: Facts) -> bool:
    """Whether bins cannot be laid by the sample, as when one row that repeats without end is all of it."""
    return measure.is_ordered and facts.distinct > FEW and len(set(facts.sample)) < POOR_SAMPLE


def _likely(sample: Sequence[str]) -> list[str]:
    """Texts that may be frequent ones."""
    expected = FREQUENT * len(sample)
    least = max(2.0, expected - 5 * sqrt(expected))
    return [text for text, count in Counter(sample).items() if count >= least]


def _each(measure: Measure, counts: Mapping[Any, int]) -> Tally:
    texts = {str(value): count for value, count in counts.items()}
    if not measure.is_ordered:
        return Tally(distinct=len(counts), texts=texts)
    each: Counter[float] = Counter()
    for value, count in counts.items():
        each[float(value)] += count
    texts = texts if measure.kind == "Number" else {}
    return Tally(distinct=len(counts), edges=value_edges(each), each=each, texts=texts)
