"""Progress lines of several steps at once."""

import io

import pytest
from rich.console import Console

from dev import progress
from dev.processes import wait_until
from dev.progress import spinner, step


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    shown = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=shown, force_terminal=True, width=100, highlight=False))
    return shown


def test_the_moving_line_names_every_step_under_way_whichever_ends_first(terminal: io.StringIO) -> None:
    first, second = step("build kubectl"), step("build kind")
    with first:
        second.__enter__()
        assert spinner.titles == ["build kubectl", "build kind"]
        shown = "build kubectl · build kind"
        wait_until(lambda: shown in terminal.getvalue(), seconds=10, what="both in the line")
    assert spinner.titles == ["build kind"]
    second.__exit__(None, None, None)
    assert spinner.titles == []
    assert terminal.getvalue().count("done") == 2


def test_a_terminal_is_as_before_when_all_steps_have_ended(terminal: io.StringIO) -> None:
    for _ in range(2):
        with step("once"):
            assert "\x1b[?25l" in terminal.getvalue()
        assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("\x1b[?25l")


def test_a_step_that_fails_is_marked(terminal: io.StringIO) -> None:
    with pytest.raises(ValueError, match="reason"), step("build kind"):
        raise ValueError("reason")
    assert "failed" in terminal.getvalue()
    assert "done" not in terminal.getvalue()
