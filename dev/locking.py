"""One at a time, across threads and processes."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.progress import step


@contextmanager
def exclusive(lock: Path, *, doing: str) -> Iterator[None]:
    """Hold the lock file; while somebody else holds it, say what we wait for. A killed process holds nothing."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step(f"wait until it is our turn: {doing}"):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
