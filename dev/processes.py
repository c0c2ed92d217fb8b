"""Running programs: once with their output kept, or as a child that is watched and ended."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread, get_ident

from dev.errors import DevError, tail


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    input: str | None = None,
    check: bool = True,
    timeout: float | None = None,
) -> str:
    """Run a program and return its standard output. Raises DevError with the end of its errors when it fails."""
    line = [str(word) for word in command]
    with _known(line):
        done = subprocess.run(
            line,
            check=False,
            env=_environment(env),
            cwd=cwd,
            input=input,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    if check and done.returncode != 0:
        raise DevError(f"`{' '.join(line)}` failed ({done.returncode}):\n{_end_of(done.stderr or done.stdout)}")
    return done.stdout


def run_logged(
    command: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> None:
    """Run a long program with all its output in `log`. Raises DevError with the end of the log when it fails."""
    line = [str(word) for word in command]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output, _known(line):
        process = subprocess.Popen(
            line,
            env=_environment(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        code = _ended(process)
    if code != 0:
        raise DevError(f"`{line[0]}` failed ({code}), the end of {log}:\n{tail(log)}")


def interrupt(thread: Thread, *, patience: float) -> None:
    """End what a thread waits for in `run_logged`, until the thread has ended: as Ctrl-C does, then by force."""
    deadline, told = time.monotonic() + patience, None
    while thread.is_alive():
        process, late = _AWAITED.get(thread.ident), time.monotonic() > deadline
        if process and (late or process is not told):
            process.send_signal(signal.SIGKILL if late else signal.SIGINT)
            told = process
        if late and not process:
            # It waits for something else, such as another process; it ends when we do.
            return
        thread.join(0.05)


def pipe(producer: Sequence[str | Path], consumer: Sequence[str | Path], *, env: Mapping[str, str]) -> None:
    """Run `producer | consumer`. Raises DevError with what the one that failed said."""
    words = [[str(word) for word in command] for command in (producer, consumer)]
    source = subprocess.Popen(words[0], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    sink = subprocess.run(words[1], check=False, env=_environment(env), stdin=source.stdout, capture_output=True)
    _, complaint = source.communicate()
    for command, code, said in ((words[1], sink.returncode, sink.stderr), (words[0], source.returncode, complaint)):
        if code != 0:
            raise DevError(f"`{' '.join(command)}` failed ({code}):\n{_end_of(said.decode(errors='replace'))}")


def succeeds(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> bool:
    """Whether a program exists and ends with 0."""
    line = [str(word) for word in command]
    try:
        done = subprocess.run(line, check=False, env=_environment(env), stdin=subprocess.DEVNULL, capture_output=True)
    except FileNotFoundError:
        return False
    return done.returncode == 0


def wait_until(
    seen: Callable[[], object], *, seconds: float, what: str, every: float = 0.05, log: Path | None = None
) -> None:
    """Poll until `seen` returns something true. Raises DevError that names `what`, what was last seen, and the log."""
    deadline = time.monotonic() + seconds
    while not (last := seen()):
        if time.monotonic() > deadline:
            ending = f", the end of {log}:\n{tail(log)}" if log else ""
            raise DevError(f"{what}: not within {seconds:g} s (last seen: {last!r}){ending}")
        time.sleep(every)


@dataclass(frozen=True, kw_only=True)
class Child:
    """A long-running program of ours with its log. It never outlives the thread that started it."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, name: str, command: Sequence[str | Path], *, log: Path) -> "Child":
        """Start `command` apart from the terminal; the kernel ends it should its starter die without `stop`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *(str(word) for word in command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(name=name, log=log, process=process)

    def check(self) -> None:
        """Raises DevError with the end of the log when the program is no longer running."""
        if (code := self.process.poll()) is not None:
            raise DevError(f"{self.name} ended with {code}, the end of {self.log}:\n{tail(self.log)}")

    def stop(self) -> None:
        """Ask it to end and wait until it has."""
        self.process.terminate()
        self.process.wait(30)

    def kill(self) -> None:
        """End it at once; for programs whose state is thrown away."""
        self.process.kill()
        self.process.wait()


def start_detached(command: Sequence[str | Path], *, log: Path) -> int:
    """Start a program that goes on when we end; gives its pid."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
        )
    return process.pid


def program_of(pid: int) -> str:
    """The name of a running process' program (at most 15 characters), empty when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return "" if fields["State"].startswith("Z") else fields["Name"]


def end(pid: int, *, program: str, grace: float = 10) -> None:
    """End the process `pid` if it still is `program`; a reused pid is left alone."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if program_of(pid) != program:
            return
        os.kill(pid, sign)
        deadline = time.monotonic() + grace
        while program_of(pid) == program and time.monotonic() < deadline:
            time.sleep(0.05)


_AWAITED: dict[int | None, subprocess.Popen[bytes]] = {}
"""The program that a thread waits for."""


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for a program; an interruption of the waiting ends it too."""
    _AWAITED[get_ident()] = process
    try:
        return process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        del _AWAITED[get_ident()]


@contextmanager
def _known(line: Sequence[str]) -> Iterator[None]:
    """Turn the two ways in which a command cannot even end into errors that name it."""
    try:
        yield
    except FileNotFoundError:
        raise DevError(f"{line[0]} is not on this machine") from None
    except subprocess.TimeoutExpired as late:
        raise DevError(f"`{' '.join(line)}` did not end within {late.timeout} s") from None


def _environment(extra: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if extra is None else {**os.environ, **extra}


def _end_of(text: str, lines: int = 15) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])
