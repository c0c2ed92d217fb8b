"""Order, timers and backoff of the queue, on virtual time."""

from __future__ import annotations

import asyncio

import pytest

from keelway.api.kinds import Key
from keelway.engine.queue import LAST_RETRY, URGENT_IN_A_ROW, Queue
from tests.property.engine.virtual_time import StalledError, run


def key(name: str) -> Key:
    return Key("Thing", "ml", name)


def new_queue(draw: float = 0.0) -> Queue:
    return Queue(clock=asyncio.get_running_loop().time, draw=lambda: draw)


async def take(queue: Queue, count: int) -> list[str]:
    """The names of the next keys, each given back at once."""
    names = []
    for _ in range(count):
        turn = await queue.get()
        names.append(turn.key.name)
        queue.done(turn.key)
    return names


def test_first_in_first_out_and_the_urgent_ones_before() -> None:
    async def story() -> None:
        queue = new_queue()
        for name in "abc":
            queue.add(key(name))
        for name in "xy":
            queue.add(key(name), urgent=True)
        assert await take(queue, 5) == ["x", "y", "a", "b", "c"]

    run(story())


def test_a_waiting_key_that_becomes_urgent_moves_to_the_front_and_waits_once() -> None:
    async def story() -> None:
        queue = new_queue()
        queue.add(key("a"))
        queue.add(key("b"))
        queue.add(key("b"), urgent=True)
        queue.add(key("b"))
        assert await take(queue, 2) == ["b", "a"]
        assert queue.depth() == {"urgent": 0, "normal": 0, "later": 0, "running": 0}

    run(story())


def test_the_others_get_a_turn_while_urgent_ones_keep_coming() -> None:
    async def story() -> None:
        queue = new_queue()
        queue.add(key("patient"))
        for number in range(3 * URGENT_IN_A_ROW):
            queue.add(key(str(number)), urgent=True)
        assert "patient" in await take(queue, URGENT_IN_A_ROW + 1)

    run(story())


def test_a_key_that_runs_is_not_given_out_again_but_looked_at_afterwards() -> None:
    async def story() -> None:
        queue = new_queue()
        queue.add(key("a"))
        turn = await queue.get()
        queue.add(key("a"))
        queue.add(key("a"), urgent=True)
        queue.add(key("b"))
        assert (await queue.get()).key == key("b")
        queue.done(turn.key)
        again = await queue.get()
        assert (again.key, again.urgent) == (key("a"), True)

    run(story())


def test_the_time_waited_is_told() -> None:
    async def story() -> None:
        queue = new_queue()
        queue.add(key("a"))
        await asyncio.sleep(3)
        assert (await queue.get()).waited == 3

    run(story())


@pytest.mark.parametrize("times", [(5, 9), (9, 5)])
def test_of_several_times_the_earliest_counts(times: tuple[float, float]) -> None:
    async def story() -> None:
        queue = new_queue()
        for seconds in times:
            queue.add_after(key("a"), seconds)
        await queue.get()
        assert asyncio.get_running_loop().time() == pytest.approx(5)
        queue.done(key("a"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.get(), 100)

    run(story())


def test_a_turn_cancels_the_timer() -> None:
    async def story() -> None:
        queue = new_queue()
        queue.add_after(key("a"), 50)
        queue.add(key("a"))
        await take(queue, 1)
        assert queue.depth()["later"] == 0
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.get(), 100)

    run(story())


def test_many_timers_ring_in_their_order() -> None:
    async def story() -> None:
        queue = new_queue()
        for seconds in (30, 10, 20, 40):
            queue.add_after(key(str(seconds)), seconds)
        assert await take(queue, 4) == ["10", "20", "30", "40"]
        assert asyncio.get_running_loop().time() == pytest.approx(40)

    run(story())


def test_cancelled_timers_do_not_pile_up() -> None:
    async def story() -> None:
        queue = new_queue()
        for _ in range(5000):
            queue.add_after(key("a"), 600)
            queue.add(key("a"))
            await take(queue, 1)
        assert len(queue._timers) < 3000

    run(story())


def test_backoff_doubles_from_5_ms_to_300_s_and_starts_anew_after_success() -> None:
    async def story() -> None:
        queue = new_queue()
        delays = [queue.retry(key("a")) for _ in range(40)]
        assert delays[:4] == [0.005, 0.01, 0.02, 0.04]
        assert delays[-1] == LAST_RETRY == 300
        assert queue.failures(key("a")) == 40
        queue.forget(key("a"))
        assert queue.retry(key("a")) == 0.005
        assert queue.retry(key("b")) == 0.005

    run(story())


def test_jitter_only_shortens_and_what_the_server_asks_for_is_kept() -> None:
    async def story() -> None:
        queue = new_queue(draw=0.999)
        assert 0.0039 < queue.retry(key("a")) < 0.005
        assert queue.retry(key("a"), at_least=7) == 7

    run(story())


def test_a_worker_that_is_cancelled_with_a_key_in_sight_passes_it_on() -> None:
    async def story() -> None:
        queue = new_queue()
        first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.add(key("a"))  # calls the first one, which is then cancelled before it could run
        first.cancel()
        assert (await second).key == key("a")
        assert first.cancelled()

    run(story())


def test_workers_without_keys_just_wait() -> None:
    with pytest.raises(StalledError):
        run(_get_from_empty())


async def _get_from_empty() -> None:
    await new_queue().get()
