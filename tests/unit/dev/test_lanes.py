"""Two lanes of Go builds: what is built beside what, who waits for whom, and how an end or an error gets through."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import pytest

from dev import gobuild
from dev.errors import DevError
from dev.gobuild import PROGRAMS, Program, ahead, build
from dev.lanes import beside
from dev.places import ROOT
from dev.processes import run_logged, wait_until
from dev.progress import spinner

ALL = list(PROGRAMS)
KUBERNETES = [program.name for program in PROGRAMS.values() if program.family == "kubernetes"]
OTHERS = [name for name in ALL if name not in KUBERNETES]


@dataclass
class Workshop:
    """Stands in for Go: a build lasts until `done` says that it may end."""

    done: Callable[[str], bool] = lambda _: True
    broken: set[str] = field(default_factory=set)
    begun: list[str] = field(default_factory=list)
    now: set[str] = field(default_factory=set)
    at_once: list[set[str]] = field(default_factory=list)
    built: set[str] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def is_current(self, program: Program) -> bool:
        return program.name in self.built

    def build(self, program: Program) -> None:
        with self._under_way(program.name):
            wait_until(lambda: self.done(program.name), seconds=20, what=f"the end of {program.name}", every=0.005)
            if program.name in self.broken:
                raise DevError(f"{program.name} does not compile")
            self.built.add(program.name)

    @contextmanager
    def _under_way(self, name: str) -> Iterator[None]:
        with self._lock:
            self.begun.append(name)
            self.now.add(name)
            self.at_once.append(set(self.now))
        yield
        self.now.discard(name)


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop()
    monkeypatch.setattr(gobuild, "BIN", tmp_path / "bin")
    monkeypatch.setattr(gobuild, "is_current", made.is_current)
    monkeypatch.setattr(gobuild, "_build", made.build)
    monkeypatch.setattr(gobuild, "_fetch", lambda _: None)
    return made


def test_both_lanes_build_at_once_and_neither_two_programs(workshop: Workshop) -> None:
    first = {KUBERNETES[0], OTHERS[0]}
    workshop.done = lambda name: name not in first or first <= set(workshop.begun)
    with ahead(ALL):
        build(KUBERNETES)
    assert {len(names) for names in workshop.at_once} == {1, 2}
    assert all(len(names & set(lane)) <= 1 for names in workshop.at_once for lane in (KUBERNETES, OTHERS))
    assert [name for name in workshop.begun if name in OTHERS] == OTHERS
    assert [name for name in workshop.begun if name in KUBERNETES] == KUBERNETES


def test_a_program_under_construction_is_waited_for_and_built_once(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    workshop.done = lambda _: spinner.titles == ["wait until it is our turn: build coredns"]
    with ahead(["coredns"]):
        wait_until(lambda: workshop.now, seconds=10, what="coredns begun ahead")
        build(["coredns"])
    assert workshop.begun == ["coredns"]
    assert "wait until it is our turn: build coredns" in capsys.readouterr().err


def test_another_process_that_builds_is_waited_for_and_named(workshop: Workshop, tmp_path: Path) -> None:
    waiting = ["wait until it is our turn: build kind"]
    with (
        another_process_holding(tmp_path / "bin" / ".others.lock") as release,
        beside(lambda: build(["kind"]), name="waiting"),
    ):
        wait_until(lambda: spinner.titles == waiting, seconds=10, what="kind waited for")
        build(["etcd"])
        assert workshop.begun == ["etcd"]
        release()
    assert workshop.begun == ["etcd", "kind"]


@contextmanager
def another_process_holding(lock: Path) -> Iterator[Callable[[], None]]:
    holding = (
        "import sys; from pathlib import Path; from dev.locking import exclusive\n"
        "with exclusive(Path(sys.argv[1]), doing='x'): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holding, str(lock)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        yield process.stdin.close


def test_where_memory_is_short_one_lane_waits_for_the_other(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gobuild, "available_memory", lambda: gobuild.MEMORY_FOR_TWO_LANES - 1)
    with ahead(ALL):
        build(KUBERNETES)
    assert workshop.built == set(ALL)
    assert {len(names) for names in workshop.at_once} == {1}


def test_available_memory_is_less_than_there_is() -> None:
    assert 0 < gobuild.available_memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_what_failed_ahead_fails_where_it_is_needed(workshop: Workshop) -> None:
    workshop.broken = {"coredns"}
    with ahead(["coredns", "kind"]):
        wait_until(lambda: workshop.begun == ["kind", "coredns"], seconds=10, what="both begun ahead")
        with pytest.raises(DevError, match="coredns does not compile"):
            build(["coredns"])
        workshop.broken = set()
    assert workshop.built == {"coredns", "kind"}


def test_what_failed_ahead_and_nobody_asked_for_fails_at_the_end(workshop: Workshop) -> None:
    workshop.broken = {"coredns"}
    with pytest.raises(DevError, match="coredns does not compile"), ahead(["coredns", "traefik"]):
        build(["etcd"])
    assert workshop.built == {"etcd", "traefik"}


def test_nothing_is_begun_for_programs_that_are_current(workshop: Workshop) -> None:
    workshop.built = set(ALL)
    with ahead(ALL):
        build(ALL)
    assert workshop.begun == []


def test_an_error_of_the_body_ends_what_runs_beside_it(tmp_path: Path) -> None:
    log, later = tmp_path / "log", list[str]()

    def long_job() -> None:
        with pytest.raises(DevError, match="`sh` failed"):
            run_logged(["sh", "-c", "echo $$; exec sleep 600"], log=log)

    def body() -> None:
        with beside(long_job, lambda: later.append("begun"), name="beside"):
            wait_until(lambda: log.exists() and log.read_text().endswith("\n"), seconds=10, what="the job's program")
            raise DevError("not a Debian")

    with pytest.raises(DevError, match="not a Debian"):
        body()
    assert not later
    assert not Path(f"/proc/{log.read_text().strip()}").exists()


BOTH_LANES = """
import signal
import sys
from pathlib import Path
from dev import gobuild
from dev.processes import run_logged
# A shell that starts the tests in its background has the signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
gobuild.BIN = Path(sys.argv[1])
gobuild.is_current = lambda program: False
gobuild._fetch = lambda programs: None
command = ["sh", "-c", "echo begun; exec sleep 600"]
gobuild._build = lambda program: run_logged(command, log=gobuild.BIN / f"{program.name}.log")
with gobuild.ahead(["kind", "etcd", "coredns"]):
    gobuild.build(["etcd"])
"""


@pytest.mark.parametrize("whom", ["the group", "python alone"])
def test_an_interruption_ends_both_lanes_and_leaves_no_process(tmp_path: Path, whom: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", BOTH_LANES, str(tmp_path)],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    logs = [tmp_path / "kind.log", tmp_path / "etcd.log"]
    try:
        wait_until(lambda: all(log.exists() and log.read_text() for log in logs), seconds=60, what="both lanes")
        (os.killpg if whom == "the group" else os.kill)(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert b"KeyboardInterrupt" in said
        wait_until(lambda: not is_a_group(process.pid), seconds=20, what="the end of every process")
    finally:
        if is_a_group(process.pid):
            os.killpg(process.pid, signal.SIGKILL)


def is_a_group(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True
