"""What the store keeps, drops and answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.engine.objects import LAST_APPLIED, key_of
from keelway.engine.store import ANSWERS, TOMBSTONES, Store
from keelway.lifecycle.plan import LogRequest, MetricAnswer, MetricQuery
from tests.unit.engine.objects import NAMESPACE, thing

TEAM = Key("Team", NAMESPACE, "red")
KEY = Key("ConfigMap", NAMESPACE, "a")
POD = Key("Pod", NAMESPACE, "p")


def teams(manifest: Manifest) -> frozenset[Key]:
    return frozenset(Key("Team", NAMESPACE, name) for name in manifest.get("teams", ()))


def new_store(*things: Manifest) -> Store:
    store = Store(subjects=teams, references=teams)
    for one in things:
        store.upsert(one)
    return store


def test_a_newer_version_replaces_and_an_older_or_equal_one_is_no_news() -> None:
    store = new_store(thing(version=9, data=1))
    assert store.upsert(thing(version=9, data=2)) is None
    assert store.upsert(thing(version=8, data=2)) is None
    assert store.upsert(thing(version=10, data=3)) is not None
    assert (store.get(KEY) or {})["data"] == 3


def test_versions_are_numbers_not_texts() -> None:
    store = new_store(thing(version=9))
    assert store.upsert(thing(version=10)) is not None


def test_late_news_does_not_bring_a_deleted_object_back() -> None:
    store = new_store(thing(version=5))
    store.remove(KEY, uid="uid-a", version=7)
    assert store.upsert(thing(version=6)) is None
    assert store.upsert(thing(version=99)) is None, "a uid never comes back"
    assert store.get(KEY) is None


def test_a_deletion_that_is_heard_first_counts() -> None:
    store = new_store()
    store.remove(KEY, uid="uid-a", version=7)
    assert store.upsert(thing(version=5)) is None


def test_an_object_that_is_made_again_is_another_one() -> None:
    store = new_store(thing(version=5))
    store.remove(KEY, uid="uid-a")
    assert store.upsert(thing(version=8, uid="uid-b")) is not None
    assert store.remove(KEY, uid="uid-a", version=7) is None, "the late deletion is of the former one"
    assert store.get(KEY) is not None


def test_tombstones_are_bounded() -> None:
    store = new_store()
    for number in range(TOMBSTONES + 5):
        store.remove(Key("ConfigMap", NAMESPACE, str(number)), uid="x", version=1)
    assert store.upsert(thing(name=str(TOMBSTONES), uid="y", version=1)) is None
    assert store.upsert(thing(name="0", uid="y", version=1)) is not None


def test_ballast_is_dropped_and_our_own_fields_are_remembered() -> None:
    ours = {"manager": "keelway", "operation": "Apply", "fieldsV1": {"f:data": {"f:a": {}}}}
    status = {"manager": "keelway", "operation": "Apply", "subresource": "status", "fieldsV1": {"f:status": {}}}
    theirs = {"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:spec": {}}}
    made = {"manager": "keelway", "operation": "Update", "fieldsV1": {"f:spec": {}}}
    given = thing()
    given["metadata"]["managedFields"] = [status, theirs, made, ours]
    given["metadata"]["annotations"] = {LAST_APPLIED: "{...}", "team": "red"}
    store = new_store(given)
    record = store.record(KEY)
    assert record
    assert record.manifest["metadata"]["annotations"] == {"team": "red"}
    assert "managedFields" not in record.manifest["metadata"]
    assert record.owned == {"f:data": {"f:a": {}}}
    assert LAST_APPLIED in given["metadata"]["annotations"], "the caller's object is left alone"


def test_objects_are_found_by_what_they_speak_about_in_order_of_their_names() -> None:
    store = new_store(*(thing(name=name, uid=name, teams=["red"]) for name in ("c", "a", "b")))
    assert [m["metadata"]["name"] for m in store.about(TEAM, "ConfigMap")] == ["a", "b", "c"]
    assert [m["metadata"]["name"] for m in store.referrers(TEAM, "ConfigMap")] == ["a", "b", "c"]
    assert store.about(TEAM, "Pod") == []


def test_a_moved_relation_is_found_at_its_new_place_alone() -> None:
    store = new_store(thing(teams=["red"]), thing(version=2, teams=["blue"]))
    assert store.about(TEAM, "ConfigMap") == []
    assert len(store.about(Key("Team", NAMESPACE, "blue"), "ConfigMap")) == 1


def log_of(uid: str) -> LogRequest:
    return LogRequest(NAMESPACE, "p", uid, "main")


def test_a_log_lives_as_long_as_its_pod() -> None:
    store = new_store(thing("Pod", "p", uid="pod-1"))
    assert store.log("pod-1", "main") is None
    assert store.put_log(log_of("pod-1"), "text")
    assert store.log("pod-1", "main") == "text"
    assert store.log("pod-1", "other") is None
    store.remove(POD, uid="pod-1")
    assert store.log("pod-1", "main") is None


def test_a_log_goes_with_a_pod_that_was_replaced_under_its_name() -> None:
    store = new_store(thing("Pod", "p", uid="pod-1"))
    store.put_log(log_of("pod-1"), "text")
    store.upsert(thing("Pod", "p", uid="pod-2", version=2))
    assert store.log("pod-1", "main") is None
    assert not store.put_log(log_of("pod-1"), "late"), "that pod is gone"


def test_an_empty_log_was_fetched() -> None:
    store = new_store(thing("Pod", "p", uid="pod-1"))
    store.put_log(log_of("pod-1"), "")
    assert store.log("pod-1", "main") == ""


def test_a_log_that_was_read_says_nothing_new_the_second_time() -> None:
    store = new_store(thing("Pod", "p", uid="pod-1"))
    assert [store.put_log(log_of("pod-1"), text) for text in ("", "", "a", "a", "")] == [True, False, True, False, True]


def question(number: int) -> MetricQuery:
    return MetricQuery("http://prometheus", "up", str(number))


def test_an_answer_stays_as_it_was_and_belongs_to_the_whole_question() -> None:
    store = new_store()
    assert store.answer(question(1)) is None
    assert store.put_answer(question(1), MetricAnswer((1.0,)))
    assert not store.put_answer(question(1), MetricAnswer((2.0,)))
    assert store.answer(question(1)) == MetricAnswer((1.0,))
    for other in ({"url": "http://else"}, {"query": "down"}, {"round": "2"}):
        assert store.answer(replace(question(1), **other)) is None


def test_the_oldest_answers_are_forgotten() -> None:
    store = new_store()
    for number in range(ANSWERS + 2):
        store.put_answer(question(number), MetricAnswer())
    known = [store.answer(question(number)) is not None for number in (0, 1, 2, ANSWERS + 1)]
    assert known == [False, False, True, True]


def test_kinds_are_served_until_somebody_finds_otherwise() -> None:
    store = new_store()
    assert store.served("HTTPRoute")
    assert store.set_served("HTTPRoute", False)
    assert not store.set_served("HTTPRoute", False), "no news"
    assert not store.served("HTTPRoute")
    assert store.set_served("HTTPRoute", True)


def test_keys_and_counts_follow_the_objects() -> None:
    store = new_store(thing(name="b", uid="b"), thing(name="a", uid="a"), thing("Pod", "p", uid="p"))
    store.remove(Key("ConfigMap", NAMESPACE, "b"))
    assert store.keys("ConfigMap") == [Key("ConfigMap", NAMESPACE, "a")]
    assert store.counts() == {"ConfigMap": 1, "Pod": 1}


def test_a_change_tells_both_sides() -> None:
    store = new_store(thing(version=1, teams=["red"]))
    change = store.upsert(thing(version=2, teams=["blue"]))
    assert change
    assert change.old
    assert change.new
    assert (change.old.subjects, change.new.subjects) == (teams({"teams": ["red"]}), teams({"teams": ["blue"]}))
    gone: Any = store.remove(key_of(thing()))
    assert gone.new is None
