"""Describes data: columns, rows, splits, profile, what breaks its expectations, how far it has moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from keelway.api.findings import Drift, Violation
from keelway.api.jobs import Checks, Column, FileFormat, Reference, SplitRows, SplitRule
from keelway.api.profile import Profile
from keelway.worker import expectations, splits
from keelway.worker.dataset import READERS, Table, open_table
from keelway.worker.drift import drift
from keelway.worker.errors import WorkerError
from keelway.worker.expectations.checks import Counts, RuleCheck
from keelway.worker.formats import StagedFile
from keelway.worker.formats.images import read_images
from keelway.worker.profiling.passes import Rows
from keelway.worker.profiling.sample import chosen
from keelway.worker.profiling.size import fit
from keelway.worker.profiling.table import Profiled, profile_table
from keelway.worker.tables import open_database


@dataclass(frozen=True, kw_only=True)
class Description:
    """What was found in a version's data."""

    columns: tuple[Column, ...] = ()
    rows: int = 0
    splits: tuple[SplitRows, ...] = ()
    profile: Profile
    violations: tuple[Violation, ...] = ()
    drift: Drift | None = None


def describe(
    staged: Sequence[StagedFile],
    *,
    format_name: FileFormat,
    rules: Sequence[SplitRule],
    key: str,
    checks: Checks,
    coverage: float,
    memory_limit: str,
    scratch: Path,
) -> Description:
    """Read the files to their ends; `coverage` is the share of the version's bytes that they hold.

    Raises WorkerError SourceInvalid or SchemaMismatch, which name the file, and OutOfSpace.
    """
    if format_name not in READERS:
        parts = splits.count_paths([file.path for file in staged], rules, key)
        return replace(_describe_files(staged, format_name, checks, coverage), splits=parts)
    with open_database(memory_limit=memory_limit, scratch=scratch, directories=[scratch]) as database:
        table = open_table(database, staged, format_name)
        place = splits.place_sql(table.columns, key) if rules else "NULL"
        look = _Look(Rows(database=database, table=table, place=place), splits.ranges(rules), checks, coverage)
        return look.description()


def _describe_files(
    staged: Sequence[StagedFile], format_name: FileFormat, checks: Checks, coverage: float
) -> Description:
    """Of files that hold no rows; each counts as one."""
    profile = Profile(rows=len(staged), coverage=coverage)
    violations = _judge_files(checks, len(staged))
    if format_name != "Images":
        return Description(rows=len(staged), profile=profile, violations=violations)
    images = read_images(staged)
    expected = checks.expectations.images
    return Description(
        rows=len(staged),
        profile=profile.model_copy(update={"images": images.profile}),
        violations=(*violations, *(expectations.judge_images(expected, images) if expected else ())),
    )


def _judge_files(checks: Checks, files: int) -> tuple[Violation, ...]:
    """How many there must be; what is expected of columns, or by rules, nobody can tell of files."""
    counts = Counts(rows=files, baseline=checks.baseline.rows if checks.baseline else None)
    found = []
    for check in expectations.plan(checks.expectations, ()):
        violation = check.violation(check.broken_by((), counts))
        if isinstance(check, RuleCheck):
            message = "files of this format have no rows: leave the rule out"
            violation = violation.model_copy(update={"problem": "Invalid", "message": message})
        found.append(violation)
    return tuple(one for one in found if one.violations or one.problem)


@dataclass(frozen=True)
class _Look:
    """One look at a table."""

    rows: Rows
    ranges: Sequence[splits.Range]
    checks: Checks
    coverage: float

    @property
    def table(self) -> Table:
        return self.rows.table

    def description(self) -> Description:
        """All that is wanted, from as few passes as it takes."""
        reference, planned = self._reference(), expectations.plan(self.checks.expectations, self.table.columns)
        parts = [[f"count(*) FILTER ({one.condition(self.rows.place_column)})"] for one in self.ranges]
        found = profile_table(
            self.rows,
            settings=self.checks.profile,
            sample=chosen(self.checks.sample, self.table.columns),
            reference=reference,
            besides=[*parts, *(check.aggregates for check in planned)],
        )
        profile = found.profile
        return Description(
            columns=self._columns(found),
            rows=profile.rows,
            splits=tuple(
                SplitRows(name=one.name, rows=rows)
                for one, (rows,) in zip(self.ranges, found.answers[: len(parts)], strict=True)
            ),
            profile=fit(profile.model_copy(update={"coverage": self.coverage})),
            violations=self._judge(planned, found.answers[len(parts) :], profile.rows),
            drift=self._drift(found, reference),
        )

    def _columns(self, found: Profiled) -> tuple[Column, ...]:
        """With what the passes say of missing values."""
        return tuple(
            column.model_copy(update={"nullable": column.nullable or count < found.profile.rows})
            for column, count in zip(self.table.columns, found.values, strict=True)
        )

    def _judge(
        self, planned: Sequence[expectations.Check], results: Sequence[Sequence[Any]], rows: int
    ) -> tuple[Violation, ...]:
        baseline = self.checks.baseline
        return expectations.judge(
            planned,
            results,
            rows=rows,
            baseline_rows=baseline.rows if baseline else None,
            database=self.rows.database,
            table=self.table,
        )

    def _drift(self, found: Profiled, reference: Profile | None) -> Drift | None:
        if not reference or not self.checks.reference:
            return None
        moved = found.profile.model_copy(update={"columns": found.rebinned})
        return drift(moved, reference, self.checks.drift, against=self.checks.reference.version)

    def _reference(self) -> Profile | None:
        return _read_profile(self.checks.reference) if self.checks.reference else None


def _read_profile(reference: Reference) -> Profile:
    try:
        return Profile.model_validate_json(Path(reference.profile).read_bytes())
    except (OSError, ValidationError) as error:
        raise WorkerError(
            "InternalError",
            f"the profile of version {reference.version} cannot be read: name another version in drift.compareTo",
        ) from error
