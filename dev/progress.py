"""Progress lines: what runs now, and how many seconds each step took."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from rich.console import Console
from rich.status import Status

console = Console(stderr=True, highlight=False)


@dataclass
class Step:
    """A step under way; `note` is shown behind its seconds."""

    note: str = ""


@dataclass
class Spinner:
    """The one moving line of a terminal. It names every step under way: those of threads, and those within others."""

    titles: list[str] = field(default_factory=list)
    _status: Status | None = None
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def showing(self, title: str) -> Iterator[None]:
        """Have `title` in the line while the body runs."""
        with self._lock:
            self.titles.append(title)
            self._show()
        try:
            yield
        finally:
            with self._lock:
                self.titles.remove(title)
                self._show()

    def _show(self) -> None:
        if self._status and not self.titles:
            self._status.stop()
            self._status = None
        elif self._status:
            self._status.update(" · ".join(self.titles))
        elif console.is_terminal:
            self._status = console.status(" · ".join(self.titles))
            self._status.start()


spinner = Spinner()


@contextmanager
def step(title: str) -> Iterator[Step]:
    """Show `title` while the body runs, then one line with its seconds; a failing body is marked as such."""
    started, current = time.monotonic(), Step()
    mark = "[red]failed[/red]"
    try:
        with spinner.showing(title):
            yield current
        mark = "[green]done[/green]"
    finally:
        seconds = time.monotonic() - started
        note = f"  [dim]{current.note}[/dim]" if current.note else ""
        console.print(f"{title:<44} {mark} {seconds:7.1f} s{note}", soft_wrap=True)
        sys.stderr.flush()
