"""Conditions as kstatus reads them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.api.durations import to_timestamp
from keelway.api.reasons import Reason
from keelway.api.resource import Condition
from keelway.lifecycle.conditions import (
    LAST_WORDS_LIMIT,
    Fact,
    Standing,
    conditions,
    last_words,
    ready,
    shortened,
    stalled,
    working,
)
from tests.unit.lifecycle.scene import NOON

NOW, LATER = NOON, NOON + timedelta(minutes=5)
READY = ready(Reason.READY, "all is well")
WORKING = working(Reason.OBSERVING, "on the way")
STALLED = stalled(Reason.ACCESS_DENIED, "no key")
NEITHER = Standing(False, Reason.SUSPENDED, "spec.suspend is true")


def after(*standings: Standing) -> dict[str, Condition]:
    """Conditions by type after these standings, five minutes apart."""
    known: tuple[Condition, ...] = ()
    for number, standing in enumerate(standings):
        known = conditions(known, standing, generation=number + 1, now=NOON + number * timedelta(minutes=5))
    return {condition.type: condition for condition in known}


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        (READY, {"Ready": "True"}),
        (WORKING, {"Ready": "False", "Reconciling": "True"}),
        (STALLED, {"Ready": "False", "Stalled": "True"}),
        (NEITHER, {"Ready": "False"}),
    ],
)
@pytest.mark.parametrize("before", [None, READY, WORKING, STALLED, NEITHER])
def test_ready_is_always_there_and_the_others_only_while_true(
    before: Standing | None, standing: Standing, expected: dict[str, str]
) -> None:
    found = after(before, standing) if before else after(standing)
    assert {type_: condition.status for type_, condition in found.items()} == expected


def test_a_transition_time_moves_when_the_status_flips_and_only_then() -> None:
    renamed = working(Reason.TRIALS_RUNNING, "further on")
    assert after(WORKING, renamed)["Ready"].last_transition_time == to_timestamp(NOW)
    assert after(WORKING, renamed)["Ready"].reason == "TrialsRunning"
    assert after(WORKING, READY)["Ready"].last_transition_time == to_timestamp(LATER)
    assert after(WORKING, STALLED)["Stalled"].last_transition_time == to_timestamp(LATER)


def test_every_condition_that_is_settled_is_of_this_generation_and_the_others_keep_theirs() -> None:
    fact = Fact("SourceReachable", "True", Reason.SOURCE_REACHED)
    found = after(WORKING.also(fact), READY)
    assert (found["Ready"].observed_generation, found["SourceReachable"].observed_generation) == (2, 1)


def test_a_fact_stays_until_it_is_settled_anew_or_nothing_can_be_said() -> None:
    fact = Fact("Succeeded", "True", Reason.RUN_SUCCEEDED, "run 1")
    assert after(READY.also(fact), WORKING)["Succeeded"].message == "run 1"
    assert (
        after(READY.also(fact), READY.also(Fact("Succeeded", "False", Reason.TRAINER_FAILED)))["Succeeded"].status
        == "False"
    )
    assert "Succeeded" not in after(READY.also(fact), WORKING.without("Succeeded"))


def test_conditions_come_in_the_order_of_their_types() -> None:
    found = after(STALLED.also(Fact("Zeta", "True", Reason.READY), Fact("Alpha", "True", Reason.READY)))
    assert list(found) == ["Alpha", "Ready", "Stalled", "Zeta"]


@given(st.text(max_size=3000))
def test_a_message_is_one_line_that_fits(message: str) -> None:
    assert len(shortened(message)) <= 1000
    assert "\n" not in shortened(message)


@given(st.text(max_size=3000))
def test_last_words_are_the_end_of_what_was_said(output: str) -> None:
    words = last_words(output)
    assert len(words) <= LAST_WORDS_LIMIT
    assert " ".join(output.split()).endswith(words.removeprefix("…"))


def test_short_messages_stay_as_they_are() -> None:
    assert shortened("rows: 3 of 10,\n  see below") == "rows: 3 of 10, see below"
    assert last_words("KeyError: 'x'") == "KeyError: 'x'"
