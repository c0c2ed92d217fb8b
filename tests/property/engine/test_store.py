"""The store ends with what is true, in whatever order it hears of it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.engine.store import Store

NAMES = ("a", "b")
TEAMS = ("red", "blue")
STEPS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(["write", "write", "delete"]), st.sampled_from(TEAMS)),
    max_size=12,
)


@dataclass(frozen=True)
class News:
    """One watch event."""

    gone: bool
    key: Key
    uid: str
    version: int
    team: str

    def tell(self, store: Store) -> None:
        if self.gone:
            store.remove(self.key, uid=self.uid, version=self.version)
        else:
            store.upsert(manifest(self))


def manifest(news: News) -> Manifest:
    metadata = {"name": news.key.name, "namespace": "ml", "uid": news.uid, "resourceVersion": str(news.version)}
    return {"apiVersion": "v1", "kind": "Thing", "metadata": metadata, "spec": {"team": news.team}}


def team_of(thing: Manifest) -> frozenset[Key]:
    return frozenset({Key("Team", "ml", thing["spec"]["team"])})


def new_store() -> Store:
    return Store(subjects=team_of, references=team_of)


def history(steps: list[tuple[str, str, str]]) -> tuple[list[News], dict[Key, News]]:
    """The events of a sequence of writes and deletes, and what is there at the end."""
    events: list[News] = []
    live: dict[Key, News] = {}
    for version, (name, verb, team) in enumerate(steps, start=1):
        key = Key("Thing", "ml", name)
        if verb == "delete" and key in live:
            events.append(News(True, key, live.pop(key).uid, version, team))
        elif verb == "write":
            uid = live[key].uid if key in live else f"uid-{version}"
            live[key] = News(False, key, uid, version, team)
            events.append(live[key])
    return events, live


@settings(max_examples=300)
@given(STEPS, st.integers(0, 2**32), st.integers(1, 3))
def test_any_order_and_any_repetition_ends_with_the_truth(
    steps: list[tuple[str, str, str]], seed: int, copies: int
) -> None:
    events, live = history(steps)
    heard = events * copies
    Random(seed).shuffle(heard)
    store = new_store()
    for news in heard:
        news.tell(store)
    assert {key: store.get(key) for key in store.keys("Thing")} == {key: manifest(news) for key, news in live.items()}


@settings(max_examples=200)
@given(STEPS, st.integers(0, 2**32))
def test_the_indexes_say_what_the_objects_say(steps: list[tuple[str, str, str]], seed: int) -> None:
    events, live = history(steps)
    Random(seed).shuffle(events)
    store = new_store()
    for news in events:
        news.tell(store)
    for team in TEAMS:
        expected = [manifest(news) for _, news in sorted(live.items()) if news.team == team]
        assert store.about(Key("Team", "ml", team), "Thing") == expected
        assert store.referrers(Key("Team", "ml", team), "Thing") == expected


@settings(max_examples=200)
@given(STEPS, st.integers(0, 12))
def test_what_is_not_news_changes_nothing(steps: list[tuple[str, str, str]], again: int) -> None:
    events, _ = history(steps)
    store = new_store()
    for news in events:
        news.tell(store)
    for news in events[:again]:
        if not news.gone:
            assert store.upsert(manifest(news)) is None
