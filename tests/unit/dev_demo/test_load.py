"""The load that the demo sends, and what it counts."""

import socket

import pytest

from dev.demo.load import Load, Tally
from dev.demo.prediction import Answer
from dev.errors import DevError
from dev.processes import wait_until
from tests.unit.dev_demo.answering import gateway

ROW = (1.0, 2.0, 0.0)


def load(url: str, *, clients: int = 1) -> Load:
    return Load(url, "tumours.example.com", "tumours", ROW, clients=clients, pause=0.001, most_seconds=30)


def ask(url: str, *, times: int, clients: int = 1) -> Load:
    with load(url, clients=clients).running() as asked:
        wait_until(lambda: asked.count >= times, seconds=20, what=f"{times} answers")
    return asked


def test_it_counts_who_answered() -> None:
    with gateway(every=10) as server:
        asked = ask(server.url, times=100)
    tally = Tally.of(asked.everything[:100])
    assert (tally.answered, tally.failed) == ({"1": 90, "2": 10}, {})
    assert (tally.percent("2"), tally.percent("3")) == (10.0, 0.0)
    assert str(tally) == "100 answers: version 1 90 (90 %), version 2 10 (10 %); failed: none"


def test_a_refusal_counts_for_the_version_that_gave_it() -> None:
    with gateway(every=4, fails=True) as server:
        asked = ask(server.url, times=20)
    assert {(answer.status, answer.version) for answer in asked.failures} == {(500, "2")}
    tally = Tally.of(asked.everything[:20])
    assert tally.failed == {"2": 5}
    assert str(tally).endswith("; failed: 5 of version 2")


def test_no_answer_is_a_failure_of_nobody() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        asked = ask(f"http://127.0.0.1:{free.getsockname()[1]}", times=3)
    tally = Tally.of(asked.everything)
    assert tally.failed == {"": asked.count}
    assert "failed: " in str(tally)
    assert "of nobody" in str(tally)


def test_every_client_asks_and_knows_when_its_version_changes() -> None:
    with gateway() as server, load(server.url, clients=3).running() as asked:
        asked.wait_for_version("1", times=5)
        server.every = 1
        asked.wait_for_version("2", times=5)
    assert asked.switches() == [["1", "2"]] * 3
    assert asked.failures == []


def test_a_version_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    with gateway() as server, load(server.url).running() as asked, pytest.raises(DevError, match="version 2"):
        asked.wait_for_version("2", times=1, seconds=0.2)


def test_the_load_ends_by_itself() -> None:
    with gateway() as server:
        asked = Load(server.url, "h", "m", ROW, clients=1, pause=0.001, most_seconds=0.05)
        with asked.running():
            wait_until(lambda: asked.count > 0, seconds=5, what="an answer")
            wait_until(lambda: not asked.asks, seconds=5, what="the end of it")


def test_answers_between_two_moments() -> None:
    asked = load("http://nobody.example.com")
    asked.answers[0] = [Answer(200, "1", at=1.0), Answer(200, "1", at=2.0), Answer(200, "2", at=3.0)]
    assert asked.between(2.0, 3.0).answered == {"1": 1}
    assert asked.between(2.0, 9.0).answered == {"1": 1, "2": 1}
    assert asked.between(4.0, 9.0).count == 0
