"""Programs that are run, watched and ended."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dev.errors import DevError
from dev.processes import Child, end, pipe, program_of, run, run_logged, start_detached, succeeds, wait_until

SLEEP = ["sleep", "600"]


def test_output_is_returned() -> None:
    assert run(["cat"], input="given") == "given"


def test_an_environment_is_added_to_ours() -> None:
    assert run(["sh", "-c", 'echo $ADDED; test -n "$PATH"'], env={"ADDED": "yes"}) == "yes\n"


def test_a_failure_says_what_was_run_and_what_it_said() -> None:
    with pytest.raises(DevError, match=r"`sh -c echo broken >&2; exit 3` failed \(3\):\nbroken"):
        run(["sh", "-c", "echo broken >&2; exit 3"])


def test_a_missing_program_is_named() -> None:
    with pytest.raises(DevError, match="no-such-program is not on this machine"):
        run(["no-such-program"])
    assert not succeeds(["no-such-program"])


def test_a_program_that_takes_too_long_is_named() -> None:
    with pytest.raises(DevError, match=r"`sleep 600` did not end within 0\.1 s"):
        run(SLEEP, timeout=0.1)


def test_a_logged_failure_shows_the_end_of_the_log(tmp_path: Path) -> None:
    with pytest.raises(DevError, match=r"\nline 40$") as failure:
        run_logged(["sh", "-c", "seq -f 'line %g' 40; exit 1"], log=tmp_path / "log")
    assert "line 10\n" not in str(failure.value)


def test_a_pipe_carries_bytes(tmp_path: Path) -> None:
    pipe(["printf", "carried"], ["tee", tmp_path / "out"], env={})
    assert (tmp_path / "out").read_text() == "carried"


@pytest.mark.parametrize(
    ("producer", "consumer"),
    [
        (["sh", "-c", "echo complaint >&2; exit 1"], ["cat"]),
        (["true"], ["sh", "-c", "echo complaint >&2; exit 1"]),
    ],
)
def test_either_end_of_a_pipe_can_fail(producer: list[str], consumer: list[str]) -> None:
    with pytest.raises(DevError, match=r"failed \(1\):\ncomplaint"):
        pipe(producer, consumer, env={})


def test_waiting_says_what_was_last_seen(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("the reason\n")
    with pytest.raises(DevError, match=r"two apples: not within 0\.05 s \(last seen: \[\]\)(.|\n)*the reason"):
        wait_until(list, seconds=0.05, every=0.01, what="two apples", log=tmp_path / "log")


def test_a_child_that_ends_too_early_is_noticed(tmp_path: Path) -> None:
    child = Child.start("short", ["sh", "-c", "echo goodbye; exit 4"], log=tmp_path / "log")
    child.process.wait()
    with pytest.raises(DevError, match=r"short ended with 4(.|\n)*goodbye"):
        child.check()


@pytest.mark.parametrize("ending", [Child.stop, Child.kill])
def test_a_child_is_gone_when_it_was_ended(ending: Callable[[Child], None], tmp_path: Path) -> None:
    child = Child.start("long", SLEEP, log=tmp_path / "log")
    child.check()
    ending(child)
    assert program_of(child.process.pid) == ""


def test_a_child_does_not_outlive_who_started_it(tmp_path: Path) -> None:
    """Not even when its starter is killed and can end nothing."""
    script = (
        "import sys, time; from pathlib import Path; from dev.processes import Child\n"
        f"child = Child.start('long', ['sleep', '600'], log=Path({str(tmp_path / 'log')!r}))\n"
        "print(child.process.pid, flush=True); time.sleep(600)"
    )
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=root) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        wait_until(lambda: program_of(pid) == "sleep", seconds=10, what="the child runs")
        starter.kill()
    wait_until(lambda: program_of(pid) == "", seconds=10, what="the child has ended")


def test_a_detached_program_goes_on_until_it_is_ended(tmp_path: Path) -> None:
    pids: list[int] = []
    thread = threading.Thread(target=lambda: pids.append(start_detached(SLEEP, log=tmp_path / "log")))
    thread.start()
    thread.join()
    wait_until(lambda: program_of(pids[0]) == "sleep", seconds=10, what="the program runs")
    end(pids[0], program="sleep")
    assert program_of(pids[0]) == ""


def test_a_pid_that_now_belongs_to_another_program_is_left_alone(tmp_path: Path) -> None:
    pid = start_detached(SLEEP, log=tmp_path / "log")
    wait_until(lambda: program_of(pid) == "sleep", seconds=10, what="the program runs")
    end(pid, program="dockerd")
    assert program_of(pid) == "sleep"
    os.kill(pid, signal.SIGKILL)


def test_what_does_not_heed_a_request_is_killed(tmp_path: Path) -> None:
    pid = start_detached(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"], log=tmp_path / "log")
    wait_until((tmp_path / "log").read_text, seconds=10, what="the trap is set")
    wait_until(lambda: program_of(pid) == "sh", seconds=10, what="the program runs")
    end(pid, program="sh", grace=0.2)
    assert program_of(pid) == ""


def test_a_process_that_never_was_has_no_program() -> None:
    assert program_of(2**22 + 1) == ""
