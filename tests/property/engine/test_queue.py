"""The queue loses nothing and does nothing twice, whatever is added, taken, given back and awaited."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.api.kinds import Key
from keelway.engine.queue import Queue
from tests.property.engine.virtual_time import run

KEYS = [Key("Thing", "ml", name) for name in "abc"]
ACTIONS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(KEYS), st.booleans()),
    st.tuples(st.just("later"), st.sampled_from(KEYS), st.sampled_from([0.5, 1.0, 5.0])),
    st.tuples(st.just("retry"), st.sampled_from(KEYS), st.just(None)),
    st.tuples(st.just("pass"), st.sampled_from(KEYS), st.sampled_from([0.1, 1.0])),
)


class Watcher:
    """Workers that note what they did."""

    def __init__(self, queue: Queue, seconds: float) -> None:
        self.queue = queue
        self.seconds = seconds
        self.running: set[Key] = set()
        self.starts: dict[Key, list[float]] = {key: [] for key in KEYS}

    async def work(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            turn = await self.queue.get()
            assert turn.key not in self.running, "runs at most once"
            self.running.add(turn.key)
            self.starts[turn.key].append(clock())
            await asyncio.sleep(self.seconds)
            self.running.remove(turn.key)
            self.queue.done(turn.key)


@settings(deadline=None, max_examples=150)
@given(st.lists(ACTIONS, max_size=30), st.integers(1, 4), st.sampled_from([0.0, 0.3, 2.0]))
def test_every_wish_is_followed_by_a_look(
    actions: list[tuple[str, Key, float | bool | None]], workers: int, seconds: float
) -> None:
    async def story() -> None:
        clock = asyncio.get_running_loop().time
        queue = Queue(clock=clock, draw=lambda: 0.0)
        watcher = Watcher(queue, seconds)
        tasks = [asyncio.create_task(watcher.work()) for _ in range(workers)]
        wishes: dict[Key, float] = {}
        for verb, key, value in actions:
            if verb == "add":
                queue.add(key, urgent=bool(value))
                wishes[key] = clock()
            elif verb == "later":
                queue.add_after(key, float(value or 0))
                wishes[key] = max(wishes.get(key, 0.0), clock())
            elif verb == "retry":
                assert queue.retry(key) <= 300
                wishes[key] = max(wishes.get(key, 0.0), clock())
            else:
                await asyncio.sleep(float(value or 0))
        await asyncio.sleep(1000)
        assert queue.depth() == {"urgent": 0, "normal": 0, "later": 0, "running": 0}
        for key, wished in wishes.items():
            assert watcher.starts[key][-1] >= wished, f"{key} was not looked at after the last wish"
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, asyncio.CancelledError), result

    run(story())
