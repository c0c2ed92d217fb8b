"""Counts the rows that meet the conditions that teams wrote, so that a bad one spoils nothing but itself."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from keelway.api.findings import Place, Violation
from keelway.worker.dataset import Table
from keelway.worker.expectations.checks import RuleCheck
from keelway.worker.expectations.places import first_places
from keelway.worker.locked_sql import LockedError, LockedSession, LockedSessions

RULES_SECONDS = 600.0
"""For all rules of a version together, of the hour that a look at data may take."""
JUDGE_SECONDS = 10.0


def judge_rules(
    checks: Sequence[RuleCheck], *, sessions: LockedSessions, table: Table, seconds: float = RULES_SECONDS
) -> list[Violation]:
    """The rules that are violated, or could not be evaluated, in their order. Raises nothing, whatever they say."""
    return _Judge(table, sessions, time.monotonic() + seconds).violations(checks) if checks else []


@dataclass
class _Judge:
    """Evaluates all rules in one scan; when that ends badly, each one alone with its share of the time that is left."""

    table: Table
    sessions: LockedSessions
    deadline: float
    problems: dict[str, LockedError] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def violations(self, checks: Sequence[RuleCheck]) -> list[Violation]:
        self._count(checks, self._left() / 2)
        unanswered = [check for check in checks if not self._answered(check)]
        for position, check in enumerate(unanswered):
            self._count([check], self._left() / (len(unanswered) - position))
        broken = [check for check in checks if self.counts.get(check.name, 0) > check.rule.max_violations]
        places = self._places(broken)
        found = (self._violation(check, places) for check in checks if check in broken or check.name in self.problems)
        return list(found)

    def _left(self) -> float:
        return max(1.0, self.deadline - time.monotonic())

    def _answered(self, check: RuleCheck) -> bool:
        return check.name in self.problems or check.name in self.counts

    def _count(self, checks: Sequence[RuleCheck], seconds: float) -> None:
        """Fill `counts` and `problems`. What ends the session is the problem of a rule only when it is alone."""
        try:
            session = self.sessions.current()
            good = [check for check in checks if self._judged(session, check)]
            if good:
                wanted = ", ".join(f"count(*) FILTER ({_text(check)})" for check in good)
                sql = f"SELECT {wanted} FROM ({self.table.select(strict=False)})"
                [numbers] = session.query(sql, seconds=seconds)
                self.counts |= {check.name: number for check, number in zip(good, numbers, strict=True)}
        except LockedError as error:
            if len(checks) == 1:
                self.problems[checks[0].name] = error

    def _judged(self, session: LockedSession, check: RuleCheck) -> bool:
        """Whether its text may be run. Raises LockedError when the session is lost over it."""
        try:
            session.judge_condition(check.rule.violation, self.table.columns, seconds=JUDGE_SECONDS)
        except LockedError as error:
            self.problems[check.name] = error
            if not session.alive:
                raise
            return False
        return True

    def _places(self, broken: Sequence[RuleCheck]) -> Mapping[str, Place]:
        """The first row of each; none of those that cannot be found in the time that is left."""
        if not broken:
            return {}
        try:
            session = self.sessions.current()
            conditions = {check.name: _text(check) for check in broken}
            return first_places(lambda sql: session.query(sql, seconds=self._left()), self.table, conditions)
        except LockedError as error:
            print(f"no examples of violated rules: {error.message}", flush=True)
            return {}

    def _violation(self, check: RuleCheck, places: Mapping[str, Place]) -> Violation:
        violation = check.violation(self.counts.get(check.name, 0))
        error = self.problems.get(check.name)
        if error is None:
            return violation.model_copy(update={"example": places.get(check.name)})
        problem = "OutOfMemory" if error.problem == "OutOfSpace" else error.problem
        return violation.model_copy(update={"problem": problem, "message": error.message[:512]})


def _text(check: RuleCheck) -> str:
    """The judged condition; a line end after it ends a comment."""
    return f"\n{check.rule.violation}\n"
