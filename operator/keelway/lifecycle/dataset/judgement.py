"""From what a look found to a verdict on the version: what the policies let through, and how it reads in a status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from keelway.api.checks import DriftSettings, SchemaSettings
from keelway.api.dataset_version import DatasetVersion, DatasetVersionStatus
from keelway.api.findings import Drift, Violation
from keelway.api.jobs import Column, ObserveReport
from keelway.api.reasons import Reason
from keelway.lifecycle.conditions import Fact
from keelway.lifecycle.dataset import schema

MOST_KEPT = 40
MOST_SAID = 5
VALIDATED, SCHEMA, DRIFT = "Validated", "SchemaCompatible", "DriftDetected"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The verdict on one version, by the checks that were asked for."""

    verdict: Literal["Valid", "Invalid"]
    violations: tuple[Violation, ...]
    drift: Drift | None


def judge(found: ObserveReport, settings: SchemaSettings, drift: DriftSettings, before: Sequence[Column]) -> Judgement:
    """`before` are the columns of the last good version, none without one."""
    columns = found.columns
    broken = schema.violations(settings, before, columns, total=len(columns))
    violations = tuple(sorted((*broken, *found.violations), key=_gravity))
    blocked = drift.on_fail == "Block" and found.drift is not None and found.drift.level == "Fail"
    bad = blocked or any(violation.severity == "Fail" for violation in violations)
    return Judgement(verdict="Invalid" if bad else "Valid", violations=violations, drift=found.drift)


def _gravity(violation: Violation) -> tuple[bool, bool]:
    return violation.severity != "Fail", not violation.check.startswith("schema.")


def facts(status: DatasetVersionStatus, drift: DriftSettings) -> tuple[Fact, ...]:
    """What a version's record says, as conditions of its Dataset."""
    broken = [v for v in status.violations if v.check.startswith("schema.")]
    others = [v for v in status.violations if not v.check.startswith("schema.")]
    return (_validated(others, status.violated - len(broken)), _schema(broken), _drift(status.drift, drift))


def _validated(violations: Sequence[Violation], total: int) -> Fact:
    failed = [violation for violation in violations if violation.severity == "Fail"]
    said = in_words(violations, total)
    if failed:
        return Fact(VALIDATED, "False", Reason.EXPECTATIONS_FAILED, said)
    return Fact(VALIDATED, "True", Reason.EXPECTATIONS_MET, f"with warnings: {said}" if violations else "")


def _schema(broken: Sequence[Violation]) -> Fact:
    if broken:
        return Fact(SCHEMA, "False", Reason.SCHEMA_BROKEN, in_words(broken, len(broken)))
    return Fact(SCHEMA, "True", Reason.SCHEMA_COMPATIBLE)


def _drift(found: Drift | None, settings: DriftSettings) -> Fact:
    if found is None:
        return Fact(DRIFT, "False", Reason.NOTHING_TO_COMPARE, "there is no earlier version to compare with")
    said = f"{found.statistic} against version {found.against}: {drift_in_words(found) or 'no column moved'}"
    if found.level == "None":
        return Fact(DRIFT, "False", Reason.WITHIN_LIMITS, said)
    blocked = found.level == "Fail" and settings.on_fail == "Block"
    return Fact(DRIFT, "True", Reason.DRIFT_BLOCKED if blocked else Reason.DRIFT_WARNED, said)


def drift_in_words(found: Drift) -> str:
    """The columns that moved most, with their numbers."""
    return ", ".join(f"{column.column[:64]} {column.value:g}" for column in found.worst)


def in_words(violations: Sequence[Violation], total: int) -> str:
    """`columns.age.max: 12 rows, at most 120 (first: b.csv row 17)`; the gravest first, the rest counted."""
    shown = "; ".join(_one(violation) for violation in violations[:MOST_SAID])
    more = total - min(len(violations), MOST_SAID)
    return f"{shown}; and {more} more" if more > 0 else shown


def _one(violation: Violation) -> str:
    name = violation.check[:128]
    if violation.message:
        return f"{name}: {violation.message[:200]}"
    where = f" (first: {violation.example.file[-80:]} row {violation.example.row})" if violation.example else ""
    limit = f", wanted: {violation.limit[:80]}" if violation.limit else ""
    return f"{name}: {violation.violations} violations{limit}{where}"


def kept(judgement: Judgement) -> tuple[Violation, ...]:
    """As many violations as a record has room for, their texts cut."""
    return tuple(_cut(violation) for violation in judgement.violations[:MOST_KEPT])


def _cut(violation: Violation) -> Violation:
    example = violation.example
    return violation.model_copy(
        update={
            "check": violation.check[:128],
            "column": violation.column[:64],
            "limit": violation.limit[:96],
            "message": violation.message[:240],
            "example": example and example.model_copy(update={"file": example.file[-128:]}),
        }
    )


def is_valid(version: DatasetVersion) -> bool:
    """Whether consumers may get a version."""
    return version.status.verdict == "Valid"
