"""Work that must not be done twice at once."""

import threading
from pathlib import Path

from dev.locking import exclusive
from dev.processes import wait_until


def test_the_second_waits_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        order.append("second asks")
        with exclusive(tmp_path / "lock", doing="work"):
            order.append("second works")

    with exclusive(tmp_path / "lock", doing="work"):
        thread = threading.Thread(target=second)
        thread.start()
        wait_until(lambda: order, seconds=10, what="the second asks")
        thread.join(0.2)
        order.append("first ends")
    thread.join(10)
    assert order == ["second asks", "first ends", "second works"]


def test_a_lock_that_was_left_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        with exclusive(tmp_path / "deep" / "lock", doing="work"):
            assert (tmp_path / "deep" / "lock").exists()
