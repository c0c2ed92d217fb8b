"""The profile of a table: both passes over groups of its columns, and what comes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from keelway.api.checks import ProfileSettings
from keelway.api.profile import ColumnProfile, Profile
from keelway.worker.profiling.bins import inner_edges
from keelway.worker.profiling.columns import column_profile, counts_only, rebinned
from keelway.worker.profiling.measures import Measure, measures
from keelway.worker.profiling.passes import Rows
from keelway.worker.profiling.sample import Row, Sample
from keelway.worker.profiling.survey import Draw, Facts, draw, facts, questions
from keelway.worker.profiling.tally import FEW, Question, Tally, has_poor_sample, question

MOST_COLUMNS = 500
"""Of the others the values are counted, and no more."""
SURVEYED_AT_ONCE = 40
"""Counting value by value takes up to 4 MiB of memory a column, however few the values are."""
COUNTED_AT_ONCE = 1_000
DIFFERENT = 0.8
"""Share of rows that differ from each other; where it is less, equal ones must not stand in a sample for one."""

Questions = Sequence[Sequence[str]]
Answers = list[tuple[Any, ...]]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Profiled:
    """What the passes found."""

    profile: Profile
    rebinned: tuple[ColumnProfile, ...]
    """Columns that the reference has too, in its bins and with its frequent values."""
    values: tuple[int, ...]
    """Of each column of the table."""
    answers: Answers
    """To the questions that were asked besides."""


def profile_table(
    rows: Rows, *, settings: ProfileSettings, sample: Sample, reference: Profile | None, besides: Questions
) -> Profiled:
    """Profile every column; `besides` are aggregates for the first pass to answer too. Raises WorkerError."""
    measured = measures(rows.table.columns)
    passes = _Passes(rows, sample, {one.name: one for one in reference.columns} if reference else {})
    first, *others = _groups(measured[:MOST_COLUMNS], SURVEYED_AT_ONCE)
    opening = passes.open(first, besides)
    found = [*opening.columns, *(one for group in others for one in passes.columns(group))]
    values = [one.facts.count for one in found]
    for group in _groups(measured[MOST_COLUMNS:], COUNTED_AT_ONCE):
        values += passes.values(group)
    return Profiled(
        profile=Profile(
            rows=opening.rows,
            columns=tuple(_profile(one, opening.rows, settings.top_k) for one in found),
            omitted_columns=max(0, len(measured) - MOST_COLUMNS),
            sample=opening.sample,
        ),
        rebinned=tuple(passes.rebinned(one, opening.rows) for one in found if passes.is_comparable(one.measure)),
        values=tuple(values),
        answers=opening.answers,
    )


@dataclass(frozen=True)
class _Counted:
    """One column after both passes."""

    measure: Measure
    facts: Facts
    tally: Tally


@dataclass(frozen=True)
class _Opening:
    """What the passes over the first group of columns found."""

    rows: int
    answers: Answers
    columns: list[_Counted]
    sample: tuple[Row, ...]


@dataclass(frozen=True)
class _Passes:
    """Asks the questions of both passes."""

    rows: Rows
    sample: Sample
    reference: Mapping[str, ColumnProfile]

    def open(self, group: Sequence[Measure], besides: Questions) -> _Opening:
        """The first group, with all that is asked once."""
        row_hash = self.rows.hash_column
        found, (counted, hashes, *answers) = self._survey(group, [["count(*)"], self.sample.survey(row_hash), *besides])
        wanted = self.sample.tally(row_hash, hashes[0] if hashes else None)
        columns, cells = self._tally(found, wanted)
        return _Opening(counted[0], answers, columns, self.sample.read(cells))

    def columns(self, group: Sequence[Measure]) -> list[_Counted]:
        """Another group."""
        found, _ = self._survey(group, [])
        return self._tally(found, ())[0]

    def values(self, group: Sequence[Measure]) -> list[int]:
        """How many values each column has."""
        answers = self.rows.ask([one.column for one in group], [[f"count({one.cell})"] for one in group])
        return [count for (count,) in answers]

    def is_comparable(self, measure: Measure) -> bool:
        """Whether the reference has the column, as one of the same kind."""
        known = self.reference.get(measure.name)
        return known is not None and known.kind == measure.kind

    def rebinned(self, counted: _Counted, rows: int) -> ColumnProfile:
        """The column as the reference sees it."""
        known = self.reference[counted.measure.name]
        texts = [one.value for one in known.top]
        return rebinned(counted.measure, counted.facts, counted.tally, rows=rows, edges=known.edges, texts=texts)

    def _survey(self, group: Sequence[Measure], besides: Questions) -> tuple[list[tuple[Measure, Facts]], Answers]:
        rows = self.rows
        drawn = draw(len(group), row_hash=rows.hash_column, lot=rows.lot_column, known_rows=rows.known_rows)
        own = [questions(one, drawn) for one in group]
        whole = ["count(*)", f"approx_count_distinct({drawn.row_hash})"]
        answers = rows.ask([one.column for one in group], [*own, whole, *besides])
        found = [(one, facts(one, given)) for one, given in zip(group, answers, strict=False)]
        number, different = answers[len(group)]
        if number > drawn.rows and (different < DIFFERENT * number or any(has_poor_sample(*one) for one in found)):
            found = self._sample_anew(found, drawn)
        return found, answers[len(group) + 1 :]

    def _sample_anew(self, found: Sequence[tuple[Measure, Facts]], drawn: Draw) -> list[tuple[Measure, Facts]]:
        """With samples of numbers in which equal rows count as often as they occur."""
        many = [measure for measure, known in found if measure.is_ordered and known.distinct > FEW]
        if not many:
            return list(found)
        wanted = [[drawn.number(one)] for one in many]
        samples = self.rows.ask([one.column for one in many], wanted, numbered=True)
        anew = {one.name: tuple(sample or ()) for one, (sample,) in zip(many, samples, strict=True)}
        return [(measure, replace(known, sample=anew.get(measure.name, known.sample))) for measure, known in found]

    def _tally(
        self, found: Sequence[tuple[Measure, Facts]], besides: Sequence[str]
    ) -> tuple[list[_Counted], tuple[Any, ...]]:
        asked = [self._question(measure, known) for measure, known in found]
        parameters = [value for one in asked for value in one.parameters]
        wanted = [*(one.sql() for one in asked), besides]
        hashed = [measure.column for measure, _ in found] if besides else []
        answers = self.rows.ask(hashed, wanted, parameters) if any(wanted) else [()] * len(wanted)
        counted = [
            _Counted(one.measure, one.facts, one.answer(given)) for one, given in zip(asked, answers, strict=False)
        ]
        return counted, answers[-1]

    def _question(self, measure: Measure, known: Facts) -> Question:
        old = self.reference.get(measure.name) if self.is_comparable(measure) else None
        edges = inner_edges(old.edges) if old else ()
        texts = [one.value for one in old.top] if old else ()
        return question(measure, known, edges=edges, texts=texts)


def _profile(counted: _Counted, rows: int, top_k: int) -> ColumnProfile:
    if counted.measure.kind == "Other":
        return counts_only(counted.measure, counted.facts.count, rows=rows)
    return column_profile(counted.measure, counted.facts, counted.tally, rows=rows, top_k=top_k)


def _groups(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
