"""How a plan becomes requests: order, what is left out, and what every answer is good for."""

from __future__ import annotations

import time
from typing import Any

import pytest

from keelway.api.kinds import Key
from keelway.engine.errors import (
    ApiError,
    ConflictError,
    NameConflictError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from keelway.engine.executor import Stage
from keelway.lifecycle.plan import Delete, Event, LogRequest, MetricAnswer, MetricQuery, Plan, RecordStatus
from tests.property.engine.memory_api import Fault
from tests.unit.engine.bench import EXPERIMENT, Bench
from tests.unit.engine.objects import NAMESPACE, thing, wanted

JOB = Key("Job", NAMESPACE, "t0")
MAP = Key("ConfigMap", NAMESPACE, "summary")
POD = Key("Pod", NAMESPACE, "p")
EVENT = Event("Normal", "Started", "it has begun")


def fail(bench: Bench, verb: str, error: ApiError, *, took_effect: bool = False) -> None:
    """Break every request with this verb."""
    bench.api.faults = lambda asked, _key: Fault(error, took_effect) if asked == verb else None


async def whole_plan(bench: Bench) -> dict[str, Any]:
    """A plan with something of everything."""
    bench.api.put(wanted(thing("ConfigMap", "old")))
    old = bench.learn(Key("ConfigMap", NAMESPACE, "old"))
    bench.api.put(wanted(thing("Pod", "p")))
    pod = bench.learn(POD)["metadata"]["uid"]
    bench.api.logs[pod, "main"] = "text"
    return {
        "creates": (bench.child("Job", "t0"),),
        "applies": (bench.child("ConfigMap", "summary", data={"a": "1"}),),
        "status": {"phase": "Running"},
        "deletes": (Delete(Key("ConfigMap", NAMESPACE, "old"), old["metadata"]["uid"]),),
        "fetches": (LogRequest(NAMESPACE, "p", pod, "main"),),
        "events": (EVENT,),
    }


ORDER = [
    "create Job/ml/t0",
    "apply ConfigMap/ml/summary",
    "status Experiment/ml/gbt",
    "delete ConfigMap/ml/old",
    "log Pod/ml/p",
    "event Experiment/ml/gbt",
]


async def test_everything_in_its_order() -> None:
    bench = Bench()
    outcome = await bench.carry_out(**await whole_plan(bench))
    assert bench.api.requests == outcome.requests == ORDER
    assert (outcome.error, outcome.writes) == (None, 5)


@pytest.mark.parametrize("position", range(5))
async def test_the_first_error_ends_it(position: int) -> None:
    bench = Bench()
    plan = await whole_plan(bench)
    error = UnavailableError("no answer")
    fail(bench, ORDER[position].split()[0], error)
    outcome = await bench.carry_out(**plan)
    assert outcome.requests == ORDER[: position + 1]
    assert outcome.error is error
    assert outcome.stage is list(Stage)[position]


async def test_an_event_that_cannot_be_posted_is_not_an_error() -> None:
    bench = Bench()
    fail(bench, "event", RefusedError("namespace is terminating", status=403))
    assert (await bench.carry_out(events=(EVENT,))).error is None


async def test_the_same_plan_again_asks_for_nothing() -> None:
    bench = Bench()
    plan = await whole_plan(bench)
    await bench.carry_out(**plan)
    outcome = await bench.carry_out(**{**plan, "events": ()})
    assert outcome.requests == []


async def test_every_answer_is_in_the_store_at_once() -> None:
    bench = Bench()
    await bench.carry_out(**await whole_plan(bench))
    assert bench.store.get(JOB)
    assert (bench.store.get(MAP) or {})["data"] == {"a": "1"}
    assert bench.resource["status"] == {"phase": "Running"}
    assert bench.store.get(Key("ConfigMap", NAMESPACE, "old")) is None
    assert bench.store.log(bench.api.read(POD)["metadata"]["uid"], "main") == "text"


# creates


async def test_a_name_that_is_taken_by_ours_is_read_and_the_resource_looked_at_again() -> None:
    bench = Bench()
    bench.api.put(bench.child("Job", "t0"))
    outcome = await bench.carry_out(creates=(bench.child("Job", "t0"),), status={"phase": "Running"})
    assert outcome.requests == ["create Job/ml/t0", "get Job/ml/t0"]
    assert outcome.look_again
    assert outcome.error is None
    assert bench.store.get(JOB)


async def test_a_record_that_somebody_else_made_is_read_for_the_decision_to_judge() -> None:
    bench = Bench()
    bench.api.put(wanted(thing("ModelVersion", "churn-v1", managed=False)))
    outcome = await bench.carry_out(creates=(wanted(thing("ModelVersion", "churn-v1")),))
    assert outcome.look_again
    assert bench.store.get(Key("ModelVersion", NAMESPACE, "churn-v1"))


async def test_a_child_of_another_resource_is_a_name_conflict() -> None:
    bench = Bench()
    bench.api.put(bench.child("Job", "t0", owner="uid-else", owner_name="else"))
    outcome = await bench.carry_out(creates=(bench.child("Job", "t0"),))
    assert isinstance(outcome.error, NameConflictError)
    assert str(outcome.error) == "Job t0 is controlled by Experiment else: delete or rename one of the two"


async def test_a_child_of_a_former_resource_of_the_same_name_is_waited_for() -> None:
    bench = Bench()
    bench.api.put(bench.child("Job", "t0", owner="uid-former"))
    outcome = await bench.carry_out(creates=(bench.child("Job", "t0"),))
    assert isinstance(outcome.error, ConflictError)
    assert "is being collected" in str(outcome.error)


async def test_a_create_that_took_effect_without_an_answer_is_found_the_next_time() -> None:
    bench = Bench()
    fail(bench, "create", UnavailableError("timed out"), took_effect=True)
    assert (await bench.carry_out(creates=(bench.child("Job", "t0"),))).error
    bench.api.faults = lambda _verb, _key: None
    outcome = await bench.carry_out(creates=(bench.child("Job", "t0"),))
    assert (outcome.error, outcome.look_again) == (None, True)
    assert len(bench.api.created) == 2, "the Experiment and one Job"


# applies


async def test_an_edited_child_is_set_right_and_a_dropped_field_removed() -> None:
    bench = Bench()
    await bench.carry_out(applies=(bench.child("ConfigMap", "summary", data={"a": "1", "b": "1"}),))
    assert (await bench.carry_out(applies=(bench.child("ConfigMap", "summary", data={"a": "1"}),))).writes == 1
    assert bench.api.read(MAP)["data"] == {"a": "1"}
    bench.api.put({**bench.api.read(MAP), "data": {"a": "9", "theirs": "1"}})
    bench.learn(MAP)
    assert (await bench.carry_out(applies=(bench.child("ConfigMap", "summary", data={"a": "1"}),))).writes == 1
    assert bench.api.read(MAP)["data"] == {"a": "1", "theirs": "1"}


@pytest.mark.parametrize("owner", ["uid-else", ""])
async def test_an_object_that_was_there_before_is_never_taken_over(owner: str) -> None:
    bench = Bench()
    foreign = thing("ConfigMap", "summary", owner=owner, owner_name="else", managed=False, data={"theirs": "1"})
    bench.api.put(wanted(foreign))
    outcome = await bench.carry_out(applies=(bench.child("ConfigMap", "summary", data={"a": "1"}),))
    assert isinstance(outcome.error, NameConflictError)
    assert bench.api.read(MAP)["data"] == {"theirs": "1"}
    assert bench.store.get(MAP) is None, "it is none of our business"


async def test_a_child_that_was_replaced_meanwhile_is_read_and_applied_the_next_time() -> None:
    bench = Bench()
    plan: dict[str, Any] = {"applies": (bench.child("ConfigMap", "summary", data={"a": "1"}),)}
    await bench.carry_out(**plan)
    bench.api.remove(MAP)
    bench.api.put(bench.child("ConfigMap", "summary", data={"a": "2"}))
    changed: dict[str, Any] = {"applies": (bench.child("ConfigMap", "summary", data={"a": "3"}),)}
    assert isinstance((await bench.carry_out(**changed)).error, ConflictError)
    assert (await bench.carry_out(**changed)).error is None
    assert bench.api.read(MAP)["data"] == {"a": "3"}


async def test_a_server_that_rewrites_what_it_gets_is_asked_once() -> None:
    bench = Bench()
    bench.api.admit = lambda manifest: {**manifest, "spec": {"cpu": "1"}} if "cpu" in str(manifest) else manifest
    asked = bench.child("HTTPRoute", "r", spec={"cpu": "1000m"})
    assert (await bench.carry_out(applies=(asked,))).writes == 1
    assert bench.api.read(Key("HTTPRoute", NAMESPACE, "r"))["spec"] == {"cpu": "1"}
    assert (await bench.carry_out(applies=(asked,))).writes == 0
    other = bench.child("HTTPRoute", "r", spec={"cpu": "2000m"})
    assert (await bench.carry_out(applies=(other,))).writes == 1


# status


async def test_a_status_for_a_resource_that_was_replaced_is_not_written() -> None:
    bench = Bench()
    former = bench.resource
    bench.api.remove(EXPERIMENT)
    bench.api.put(wanted(thing("Experiment", "gbt")))
    bench.learn(EXPERIMENT)
    bench.api.requests.clear()
    await bench.executor.carry_out(former, Plan("test", status={"phase": "Done"}))
    assert bench.api.requests == []


async def test_a_status_that_meets_a_changed_resource_is_refused_and_the_change_comes_in() -> None:
    bench = Bench()
    bench.api.put({**bench.api.read(EXPERIMENT), "spec": {"trials": 5}})
    outcome = await bench.carry_out(status={"phase": "Running"})
    assert isinstance(outcome.error, ConflictError)
    assert bench.resource["spec"] == {"trials": 5}
    assert (await bench.carry_out(status={"phase": "Running"})).error is None


async def test_a_status_that_finds_no_resource_forgets_it() -> None:
    bench = Bench()
    bench.api.remove(EXPERIMENT)
    outcome = await bench.carry_out(status={"phase": "Running"}, events=(EVENT,))
    assert (outcome.error, outcome.requests) == (None, ["status Experiment/ml/gbt"])
    assert bench.store.get(EXPERIMENT) is None


# deletes


async def test_the_status_of_a_record_is_written_before_that_of_its_resource_and_only_when_it_differs() -> None:
    bench = Bench()
    bench.api.put(wanted(thing("DatasetVersion", "churn-v1")))
    key = Key("DatasetVersion", NAMESPACE, "churn-v1")
    judged = RecordStatus(bench.learn(key), {"verdict": "Invalid"})
    outcome = await bench.carry_out(record_statuses=(judged,), status={"phase": "Running"})
    assert outcome.requests == ["status DatasetVersion/ml/churn-v1", "status Experiment/ml/gbt"]
    assert bench.api.read(key)["status"] == {"verdict": "Invalid"}
    again = RecordStatus(bench.learn(key), {"verdict": "Invalid"})
    assert (await bench.carry_out(record_statuses=(again,))).requests == []


async def test_a_record_that_changed_meanwhile_holds_back_the_status_that_speaks_of_it() -> None:
    bench = Bench()
    bench.api.put(wanted(thing("DatasetVersion", "churn-v1")))
    judged = RecordStatus(bench.learn(Key("DatasetVersion", NAMESPACE, "churn-v1")), {"verdict": "Valid"})
    bench.api.put(wanted(thing("DatasetVersion", "churn-v1", spec={"edited": "by hand"})))
    outcome = await bench.carry_out(record_statuses=(judged,), status={"phase": "Running"})
    assert isinstance(outcome.error, ConflictError)
    assert "status Experiment/ml/gbt" not in outcome.requests


async def test_only_the_incarnation_that_was_decided_on_is_deleted() -> None:
    bench = Bench()
    bench.api.put(bench.child("Job", "t0"))
    uid = bench.learn(JOB)["metadata"]["uid"]
    assert (await bench.carry_out(deletes=(Delete(JOB, "uid-former"),))).requests == []
    bench.api.remove(JOB)
    bench.api.put(bench.child("Job", "t0"))
    outcome = await bench.carry_out(deletes=(Delete(JOB, uid),))
    assert outcome.error is None
    assert bench.api.read(JOB)["metadata"]["uid"] == (bench.store.get(JOB) or {})["metadata"]["uid"]


async def test_what_is_gone_already_is_deleted() -> None:
    bench = Bench()
    bench.api.put(bench.child("Job", "t0"))
    uid = bench.learn(JOB)["metadata"]["uid"]
    fail(bench, "delete", NotFoundError("gone", status=404))
    assert (await bench.carry_out(deletes=(Delete(JOB, uid),))).error is None
    assert bench.store.get(JOB) is None


async def test_what_is_going_is_not_deleted_again_unless_that_makes_it_faster() -> None:
    bench = Bench()
    going = bench.child("Job", "t0")
    going["metadata"]["finalizers"] = ["x"]
    bench.api.put(going)
    uid = bench.learn(JOB)["metadata"]["uid"]
    assert (await bench.carry_out(deletes=(Delete(JOB, uid),))).writes == 1
    assert (bench.store.get(JOB) or {})["metadata"]["deletionTimestamp"]
    assert (await bench.carry_out(deletes=(Delete(JOB, uid),))).writes == 0
    bench.api.objects[JOB].manifest["metadata"].update(deletionGracePeriodSeconds=30, resourceVersion="999")
    bench.learn(JOB)
    assert (await bench.carry_out(deletes=(Delete(JOB, uid, 60),))).writes == 0
    assert (await bench.carry_out(deletes=(Delete(JOB, uid, 5),))).writes == 1


# fetches


async def test_a_log_is_read_once_and_an_absent_one_is_empty() -> None:
    bench = Bench()
    bench.api.put(wanted(thing("Pod", "p")))
    uid = bench.learn(POD)["metadata"]["uid"]
    bench.api.logs[uid, "main"] = "text"
    fetch = LogRequest(NAMESPACE, "p", uid, "main")
    outcome = await bench.carry_out(fetches=(fetch,))
    assert (outcome.look_again, outcome.writes) == (True, 0)
    assert (await bench.carry_out(fetches=(fetch,))).requests == []
    fail(bench, "log", NotFoundError("no such container", status=404))
    assert (await bench.carry_out(fetches=(LogRequest(NAMESPACE, "p", uid, "other"),))).look_again
    assert bench.store.log(uid, "other") == ""


async def test_the_log_of_a_pod_that_has_gone_meanwhile_does_not_make_us_look_for_ever() -> None:
    bench = Bench()
    outcome = await bench.carry_out(fetches=(LogRequest(NAMESPACE, "p", "uid-gone", "main"),))
    assert (outcome.look_again, outcome.error) == (False, None)


async def test_a_log_is_read_again_when_it_is_too_old_and_counts_when_it_has_changed() -> None:
    bench = Bench()
    bench.api.put(wanted(thing("Pod", "p")))
    uid = bench.learn(POD)["metadata"]["uid"]
    bench.api.logs[uid, "collect"] = "one"
    fetch = LogRequest(NAMESPACE, "p", uid, "collect", max_age=5)
    assert (await bench.carry_out(fetches=(fetch,))).look_again
    first = bench.store.log(uid, "collect")
    bench.time = 4.9
    assert (await bench.carry_out(fetches=(fetch,))).requests == []
    bench.time = 5.0
    bench.api.logs[uid, "collect"] = "".join(("o", "ne"))
    outcome = await bench.carry_out(fetches=(fetch,))
    assert (len(outcome.requests), outcome.look_again) == (1, False), "it says the same"
    assert bench.store.log(uid, "collect") is first, "what was worked out from it holds"
    bench.api.logs[uid, "collect"] = "one two"
    assert (await bench.carry_out(fetches=(fetch,))).requests == [], "its age counts from the last time"
    bench.time = 10.0
    assert (await bench.carry_out(fetches=(fetch,))).look_again
    assert bench.store.log(uid, "collect") == "one two"
    assert (await bench.carry_out(fetches=(LogRequest(NAMESPACE, "p", uid, "collect"),))).requests == []


async def test_a_log_that_cannot_be_read_again_stops_nothing() -> None:
    bench = Bench()
    for name in ("p", "q"):
        bench.api.put(wanted(thing("Pod", name)))
    first, second = (bench.learn(Key("Pod", NAMESPACE, name))["metadata"]["uid"] for name in ("p", "q"))
    bench.api.logs[first, "collect"] = bench.api.logs[second, "collect"] = "one"
    fetches = (
        LogRequest(NAMESPACE, "p", first, "collect", max_age=5),
        LogRequest(NAMESPACE, "q", second, "collect", max_age=5),
    )
    await bench.carry_out(fetches=fetches)
    bench.time = 5.0
    bench.api.logs[second, "collect"] = "two"
    gone = Fault(UnavailableError("the node does not answer", status=500), took_effect=False)
    bench.api.faults = lambda _verb, key: gone if key.name == "p" else None
    outcome = await bench.carry_out(fetches=fetches, events=(Event("Normal", "Told", "all the same"),))
    assert (outcome.error, outcome.look_again) == (None, True)
    assert (bench.store.log(first, "collect"), bench.store.log(second, "collect")) == ("one", "two")
    assert [event.reason for _, event in bench.api.posted] == ["Told"]
    assert (await bench.carry_out(fetches=fetches)).requests == [], "it has its turn again when it is old"


async def test_a_log_that_is_read_once_must_be_read() -> None:
    bench = Bench()
    bench.api.put(wanted(thing("Pod", "p")))
    uid = bench.learn(POD)["metadata"]["uid"]
    fail(bench, "log", UnavailableError("the node does not answer", status=500))
    fetch = LogRequest(NAMESPACE, "p", uid, "main")
    assert isinstance((await bench.carry_out(fetches=(fetch,))).error, UnavailableError)
    assert bench.store.log(uid, "main") is None


async def test_logs_are_read_beside_one_another() -> None:
    bench = Bench()
    fetches = []
    for number in range(40):
        bench.api.put(wanted(thing("Pod", f"p{number}")))
        uid = bench.learn(Key("Pod", NAMESPACE, f"p{number}"))["metadata"]["uid"]
        bench.api.logs[uid, "collect"] = "text"
        fetches.append(LogRequest(NAMESPACE, f"p{number}", uid, "collect"))
    bench.api.latency = lambda _: 0.1
    began = time.monotonic()
    assert len((await bench.carry_out(fetches=tuple(fetches))).requests) == 40
    assert time.monotonic() - began < 40 * 0.1 / 2
    assert all(bench.store.log(fetch.pod_uid, "collect") == "text" for fetch in fetches)


def question(number: int) -> MetricQuery:
    return MetricQuery("http://prometheus", "up", f"uid/{number}")


async def test_a_question_is_asked_once_and_whatever_comes_of_it_is_an_answer() -> None:
    bench = Bench()
    said = {question(1): MetricAnswer((1.0,)), question(2): MetricAnswer(error="Prometheus is down")}
    bench.api.prometheus = said.__getitem__
    outcome = await bench.carry_out(fetches=tuple(said), events=(EVENT,))
    assert (outcome.look_again, outcome.error, outcome.writes) == (True, None, 1)
    assert outcome.requests == ["query uid/1", "query uid/2", "event Experiment/ml/gbt"]
    assert {query: bench.store.answer(query) for query in said} == said
    outcome = await bench.carry_out(fetches=tuple(said))
    assert (outcome.look_again, outcome.requests) == (False, [])
    sample = bench.telemetry.registry.get_sample_value
    for result in ("ok", "Failed"):
        labels = {"verb": "query", "kind": "Prometheus", "outcome": result}
        assert sample("keelway_requests_total", labels) == 1


async def test_questions_and_logs_are_fetched_beside_one_another() -> None:
    bench = Bench()
    bench.api.put(wanted(thing("Pod", "p")))
    uid = bench.learn(POD)["metadata"]["uid"]
    bench.api.logs[uid, "main"] = "text"
    questions = [question(number) for number in range(15)]
    bench.api.latency = lambda _: 0.1
    began = time.monotonic()
    await bench.carry_out(fetches=(*questions, LogRequest(NAMESPACE, "p", uid, "main")))
    assert time.monotonic() - began < 16 * 0.1 / 2
    assert bench.store.log(uid, "main") == "text"
    assert all(bench.store.answer(query) == MetricAnswer() for query in questions)


async def test_requests_are_counted_with_their_outcome() -> None:
    bench = Bench()
    await bench.carry_out(creates=(bench.child("Job", "t0"),))
    fail(bench, "create", RefusedError("quota", status=403))
    await bench.carry_out(creates=(bench.child("Job", "t1"),))
    sample = bench.telemetry.registry.get_sample_value
    for outcome in ("ok", "Refused"):
        labels = {"verb": "create", "kind": "Job", "outcome": outcome}
        assert sample("keelway_requests_total", labels) == 1
