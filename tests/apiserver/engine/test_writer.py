"""What a real API server makes of the writer's requests: the facts that the engine rests on."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.engine.comparison import is_settled
from keelway.engine.errors import AlreadyExistsError, ConflictError, NotFoundError, RefusedError
from keelway.engine.objects import applied_fields, key_of, uid_of, without_ballast
from keelway.kube.writer import ApiWriter
from keelway.lifecycle.plan import Event, LogRequest
from tests.apiserver.api import Api
from tests.apiserver.engine.samples import APPLIED, dataset, job, stated
from tests.apiserver.fake_node import FakeNode
from tests.apiserver.pod_script import Outcome, named
from tests.apiserver.waiting import eventually

OTHER_UID = "11111111-2222-3333-4444-555555555555"


def settled(desired: Manifest, answer: Manifest) -> bool:
    return is_settled(desired, without_ballast(answer), applied_fields(answer))


async def test_a_create_is_refused_when_the_name_is_taken(writer: ApiWriter, namespace: str) -> None:
    made = await writer.create(job(namespace, "work"))
    assert (await writer.get(key_of(made)))["metadata"]["uid"] == uid_of(made)
    with pytest.raises(AlreadyExistsError):
        await writer.create(job(namespace, "work"))


async def test_a_field_that_the_server_does_not_know_is_refused_with_its_name(
    writer: ApiWriter, namespace: str
) -> None:
    wrong = job(namespace, "work")
    wrong["spec"]["template"]["spec"]["containers"][0]["imag"] = "x"
    with pytest.raises(RefusedError, match=r"unknown field.*imag"):
        await writer.create(wrong)
    applied = stated("ConfigMap", namespace, "a", dat={})
    with pytest.raises(RefusedError, match="dat"):
        await writer.apply(applied, uid=None)


@pytest.mark.parametrize("kind", APPLIED)
async def test_what_was_applied_is_settled_until_somebody_changes_it(
    writer: ApiWriter, api: Api, namespace: str, kind: str
) -> None:
    owner = api.create(dataset(namespace))
    desired = stated(kind, namespace, "a", owner=owner, **APPLIED[kind])
    answer = await writer.apply(desired, uid=None)
    assert settled(desired, answer)
    again = await writer.apply(desired, uid=uid_of(answer))
    assert again["metadata"]["resourceVersion"] == answer["metadata"]["resourceVersion"], "the server agrees"
    edited = api.patch(kind, namespace, "a", changed_of(kind))
    assert not settled(desired, edited)
    assert settled(desired, await writer.apply(desired, uid=uid_of(answer)))
    labelled = api.patch(kind, namespace, "a", {"metadata": {"labels": {"theirs": "1"}}})
    assert settled(desired, labelled), "labels of others are none of our business"


def changed_of(kind: str) -> Manifest:
    """An edit of one field that we own."""
    changes: dict[str, Manifest] = {
        "ConfigMap": {"data": {"a": "2"}},
        "Service": {"spec": {"selector": {"app": "y"}}},
        "HTTPRoute": {"spec": {"hostnames": ["other.example.com"]}},
        "InferenceService": {"spec": {"predictor": {"minReplicas": 2}}},
    }
    return changes[kind]


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("ConfigMap", ("data", "a")),
        ("Service", ("spec", "ports", 1)),
        ("HTTPRoute", ("spec", "hostnames")),
        ("InferenceService", ("spec", "predictor", "annotations")),
    ],
)
async def test_what_is_no_longer_wanted_is_not_settled_and_the_apply_removes_it(
    writer: ApiWriter, namespace: str, kind: str, path: tuple[Any, ...]
) -> None:
    desired = stated(kind, namespace, "a", **copy.deepcopy(APPLIED[kind]))
    first = await writer.apply(desired, uid=None)
    *parents, last = path
    place: Any = desired
    for name in parents:
        place = place[name]
    del place[last]
    assert not settled(desired, first)
    second = await writer.apply(desired, uid=uid_of(first))
    assert settled(desired, second)
    assert second["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]


@pytest.mark.parametrize("kind", APPLIED)
async def test_a_first_apply_never_takes_over_what_was_there(
    writer: ApiWriter, api: Api, namespace: str, kind: str
) -> None:
    theirs = stated(kind, namespace, "a", **APPLIED[kind])
    theirs["metadata"]["labels"] = {"theirs": "1"}
    before = api.create(theirs)
    with pytest.raises(ConflictError):
        await writer.apply(stated(kind, namespace, "a", **APPLIED[kind]), uid=None)
    after = await writer.get(key_of(theirs))
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


@pytest.mark.parametrize("kind", APPLIED)
async def test_a_later_apply_meets_its_object_or_nothing(writer: ApiWriter, namespace: str, kind: str) -> None:
    desired = stated(kind, namespace, "a", **APPLIED[kind])
    with pytest.raises(ConflictError):
        await writer.apply(desired, uid=OTHER_UID)
    with pytest.raises(NotFoundError):
        await writer.get(key_of(desired))
    await writer.apply(desired, uid=None)
    with pytest.raises(ConflictError):
        await writer.apply(desired, uid=OTHER_UID)


async def test_a_status_is_written_for_exactly_the_version_it_was_decided_on(
    writer: ApiWriter, api: Api, namespace: str
) -> None:
    seen = api.create(dataset(namespace))
    answer = await writer.apply_status(
        seen, {"observedGeneration": 1, "lastGood": {"version": 1, "name": "a", "digest": "x"}}
    )
    assert answer["status"]["observedGeneration"] == 1
    with pytest.raises(ConflictError):
        await writer.apply_status(seen, {"observedGeneration": 2})
    fuller = await writer.apply_status(answer, {"observedGeneration": 2})
    assert fuller["status"] == {"observedGeneration": 2}, "what is not said any more is removed"
    assert fuller["metadata"]["generation"] == 1
    api.delete("Dataset", namespace, "churn")
    with pytest.raises(NotFoundError):
        await writer.apply_status(fuller, {"observedGeneration": 3})


async def test_a_status_of_a_former_object_does_not_reach_the_new_one(
    writer: ApiWriter, api: Api, namespace: str
) -> None:
    former = api.create(dataset(namespace))
    api.delete("Dataset", namespace, "churn")
    api.create(dataset(namespace))
    with pytest.raises(ConflictError):
        await writer.apply_status(former, {"observedGeneration": 7})


async def test_only_the_incarnation_that_was_meant_is_deleted(writer: ApiWriter, namespace: str) -> None:
    made = await writer.create(job(namespace, "work"))
    with pytest.raises(ConflictError):
        await writer.delete(key_of(made), uid=OTHER_UID, grace_seconds=None)
    assert await writer.delete(key_of(made), uid=uid_of(made), grace_seconds=5) is None
    with pytest.raises(NotFoundError):
        await writer.delete(key_of(made), uid=uid_of(made), grace_seconds=None)


async def test_what_finalizers_hold_is_told(writer: ApiWriter, api: Api, namespace: str) -> None:
    held = stated("ConfigMap", namespace, "a")
    held["metadata"]["finalizers"] = ["test.keelway.dev/held"]
    made = api.create(held)
    left = await writer.delete(key_of(made), uid=uid_of(made), grace_seconds=None)
    assert left
    assert left["metadata"]["deletionTimestamp"]
    api.patch("ConfigMap", namespace, "a", {"metadata": {"finalizers": None}})


async def test_a_deleted_owner_takes_its_children_along(writer: ApiWriter, api: Api, namespace: str) -> None:
    owner = api.create(dataset(namespace))
    await writer.apply(stated("ConfigMap", namespace, "a", owner=owner, data={}), uid=None)
    key = Key("Dataset", namespace, "churn")
    assert await writer.delete(key, uid=uid_of(owner), grace_seconds=None) is None
    await asyncio.to_thread(
        eventually, lambda: api.get("ConfigMap", namespace, "a") is None, what="the child is collected"
    )


async def test_a_log_is_read(writer: ApiWriter, api: Api, namespace: str, node: FakeNode) -> None:
    with node.script(named("main", namespace=namespace), Outcome(log="first\nKEELWAY-REPORT {}\n")):
        await writer.create(job(namespace, "work"))
        pod = await asyncio.to_thread(eventually, lambda: ended_pod(api, namespace), what="the pod ends")
    name, uid = pod["metadata"]["name"], uid_of(pod)
    assert await writer.read_log(LogRequest(namespace, name, uid, "main")) == "first\nKEELWAY-REPORT {}\n"
    for pod_name, container in ((name, "other"), ("gone", "main")):
        with pytest.raises(NotFoundError):
            await writer.read_log(LogRequest(namespace, pod_name, uid, container))


def ended_pod(api: Api, namespace: str) -> Manifest | None:
    pods = [pod for pod in api.list("Pod", namespace) if pod.get("status", {}).get("phase") == "Succeeded"]
    return pods[0] if pods else None


async def test_an_event_is_posted_once_and_shows_with_its_resource(writer: ApiWriter, api: Api, namespace: str) -> None:
    resource = api.create(dataset(namespace))
    for _ in range(3):
        await writer.post_event(resource, Event("Warning", "SourceUnreachable", "bucket lake does not answer"))
    (event,) = api.list("Event", namespace)
    assert (event["type"], event["reason"]) == ("Warning", "SourceUnreachable")
    assert event["message"] == "bucket lake does not answer"
    assert event["involvedObject"]["uid"] == uid_of(resource)
