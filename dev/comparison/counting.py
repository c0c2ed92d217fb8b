"""What a change did to the clients, from the answers that they got."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from dev.demo.prediction import Answer

QUIET = 15.0
"""So many seconds of nothing but right answers are a recovery: a server that crashes again and again is right too,
between two crashes."""
BOUND = 90.0
"""Seconds from the first bad answer after which nobody waits any longer."""


@dataclass(frozen=True, kw_only=True)
class Harm:
    """Counts of one case; all that is no right prediction was either no prediction, or a wrong one."""

    requests: int
    failed: int
    wrong: int
    seconds: float | None
    """From the first bad answer until every answer is right again; None where that did not come by itself."""

    @property
    def bad(self) -> int:
        """Answers that were of no use, or worse."""
        return self.failed + self.wrong

    @property
    def recovery(self) -> str:
        """The seconds in words."""
        if self.seconds is None:
            return f"not by itself within {BOUND:.0f} s"
        return f"{self.seconds:.1f}" if self.bad else "nothing to recover from"


def harm(answers: Iterable[Answer], label: int, *, until: float) -> Harm:
    """Count the answers that came until a moment; `label` is the right one for every request."""
    known = sorted((answer for answer in answers if answer.at <= until), key=lambda answer: answer.at)
    bad = [answer for answer in known if not is_right(answer, label)]
    failed = sum(not answer.is_prediction for answer in bad)
    seconds = _seconds_to_recover(known, bad, until)
    return Harm(requests=len(known), failed=failed, wrong=len(bad) - failed, seconds=seconds)


def seconds_until_right(answers: Iterable[Answer], label: int, *, since: float) -> float:
    """From a moment to the first right answer after the last bad one; 0 where none was bad any more."""
    known = sorted((answer for answer in answers if answer.at >= since), key=lambda answer: answer.at)
    bad = [answer for answer in known if not is_right(answer, label)]
    return _right_after(known, bad[-1].at) - since if bad else 0.0


def is_settled(answers: Iterable[Answer], label: int, *, now: float) -> bool:
    """Whether nothing more is to be learnt: no bad answer, none for a while, or bad ones for too long."""
    bad = [answer.at for answer in answers if not is_right(answer, label)]
    return not bad or now - max(bad) >= QUIET or now - min(bad) >= BOUND


def is_right(answer: Answer, label: int) -> bool:
    """Whether it is a prediction, and a true one."""
    return answer.is_prediction and answer.labels == (label,)


def _seconds_to_recover(known: Sequence[Answer], bad: Sequence[Answer], until: float) -> float | None:
    if not bad:
        return 0.0
    first, last = bad[0].at, bad[-1].at
    right_again = _right_after(known, last)
    return None if right_again == inf or until - last < QUIET else right_again - first


def _right_after(known: Iterable[Answer], moment: float) -> float:
    """When the first answer came after the last bad one; infinity where none did."""
    return next((answer.at for answer in known if answer.at > moment), inf)
