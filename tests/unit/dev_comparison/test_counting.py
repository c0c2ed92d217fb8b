"""What the comparison counts of the answers that clients got."""

import pytest

from dev.comparison.counting import BOUND, QUIET, Harm, harm, is_settled, seconds_until_right
from dev.demo.prediction import Answer

LABEL = 0


def right(at: float) -> Answer:
    return Answer(200, "1", (LABEL,), at=at)


def wrong(at: float) -> Answer:
    return Answer(200, "2", (1 - LABEL,), at=at)


def failed(at: float, status: int = 503) -> Answer:
    return Answer(status, at=at)


def counted(*answers: Answer, until: float = 1000) -> Harm:
    return harm(answers, LABEL, until=until)


def test_nothing_but_right_answers_needs_no_recovery() -> None:
    assert counted(right(1), right(2)) == Harm(requests=2, failed=0, wrong=0, seconds=0.0)
    assert counted(right(1)).recovery == "nothing to recover from"


def test_a_request_without_an_answer_has_failed_and_a_wrong_label_is_wrong() -> None:
    found = counted(right(1), failed(2, 0), failed(3, 502), wrong(4), right(5))
    assert (found.requests, found.failed, found.wrong, found.bad) == (5, 2, 1, 3)


def test_a_failure_that_carries_the_right_label_is_a_failure() -> None:
    assert counted(Answer(500, "2", (LABEL,), at=1), right(2)).failed == 1


def test_a_prediction_of_more_labels_than_rows_is_wrong() -> None:
    assert counted(Answer(200, "2", (LABEL, LABEL), at=1), right(2)).wrong == 1


def test_the_recovery_lasts_from_the_first_bad_answer_to_the_first_right_one_after_the_last() -> None:
    found = counted(right(8), failed(10), right(11), wrong(14), right(16.5), right(18))
    assert found.seconds == 6.5
    assert found.recovery == "6.5"


def test_answers_of_several_clients_are_taken_in_their_order_of_time() -> None:
    assert counted(right(16), failed(10), right(12), failed(14)).seconds == 6


def test_right_answers_between_two_crashes_are_no_recovery() -> None:
    answers = [failed(10), right(20), failed(40), right(50)]
    assert counted(*answers, until=40 + QUIET - 0.1).seconds is None
    assert counted(*answers, until=40 + QUIET).seconds == 40


def test_who_answers_nothing_after_the_last_failure_has_not_recovered() -> None:
    found = counted(right(1), failed(10))
    assert found.seconds is None
    assert found.recovery == f"not by itself within {BOUND:.0f} s"


def test_what_comes_after_the_end_does_not_count() -> None:
    assert counted(right(1), failed(10), until=5) == Harm(requests=1, failed=0, wrong=0, seconds=0.0)


@pytest.mark.parametrize(
    ("answers", "now", "settled"),
    [
        ([right(1)], 2.0, True),
        ([failed(10), right(11)], 12.0, False),
        ([failed(10), right(11)], 10 + QUIET, True),
        ([failed(10), wrong(10 + BOUND - 1)], 10 + BOUND - 0.1, False),
        ([failed(10), wrong(10 + BOUND - 1)], 10 + BOUND, True),
    ],
    ids=["nothing bad", "just now", "quiet since", "goes on", "goes on for too long"],
)
def test_when_nothing_more_is_to_be_learnt(answers: list[Answer], now: float, settled: bool) -> None:
    assert is_settled(answers, LABEL, now=now) is settled


@pytest.mark.parametrize(
    ("answers", "seconds"),
    [
        ([failed(9), right(11)], 0.0),
        ([failed(9), failed(11), right(12), wrong(14), right(14.5)], 4.5),
    ],
    ids=["at once", "after some"],
)
def test_how_long_it_took_after_somebody_mended_it(answers: list[Answer], seconds: float) -> None:
    assert seconds_until_right(answers, LABEL, since=10) == seconds
