"""Work beside other work: what is begun early, so that it is done when it is needed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from dev.processes import interrupt

PATIENCE = 10.0
"""Seconds that an interrupted program has to tidy up before it is killed."""


@contextmanager
def beside(*jobs: Callable[[], object], name: str) -> Iterator[None]:
    """Run the jobs one after the other in a thread named `name` while the body runs.

    The end of the body waits for them. When it raises or is interrupted, the program that a job waits for is ended, and
    the rest are left. Jobs deal with their errors themselves.
    """
    stop = Event()
    thread = Thread(target=_work, args=(jobs, stop), name=name, daemon=True)
    thread.start()
    try:
        yield
        thread.join()
    except BaseException:
        stop.set()
        interrupt(thread, patience=PATIENCE)
        raise


def _work(jobs: tuple[Callable[[], object], ...], stop: Event) -> None:
    for job in jobs:
        if not stop.is_set():
            job()
