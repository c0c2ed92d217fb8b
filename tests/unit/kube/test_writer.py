"""The writer's own part of each request; what an API server makes of them is tested against a real one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from keelway.api.kinds import Key
from keelway.engine.errors import ApiError, ConflictError, NotFoundError, RefusedError, UnavailableError
from keelway.kube import writer
from keelway.kube.writer import MUST_NOT_EXIST, NOTE_BYTES, ApiWriter, event_manifest
from keelway.lifecycle.plan import Event, LogRequest
from tests.unit.engine.objects import thing, wanted
from tests.unit.kube.scripted_server import answer, connected, refusal

MAP = thing("ConfigMap", "a", data={"k": "v"})
JOB = Key("Job", "ml", "j")
EVENT = Event("Warning", "TrialFailed", "trial 3 failed")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DATASET = {**thing("Dataset", "churn", version=7, uid="uid-1"), "apiVersion": "keelway.dev/v1alpha1", "spec": {}}


async def test_a_first_apply_must_create_and_a_later_one_must_meet_its_object(tmp_path: Path) -> None:
    async with connected(answer(MAP), tmp_path) as (server, client):
        writer = ApiWriter(client, instance="pod-1")
        await writer.apply(wanted(MAP), uid=None)
        await writer.apply(wanted(MAP), uid="uid-a")
    first, later = (asked.body["metadata"] for asked in server.asked)
    assert (first["resourceVersion"], later["uid"]) == (MUST_NOT_EXIST, "uid-a")
    assert "uid" not in first
    assert "resourceVersion" not in later
    query = {"fieldManager": "keelway", "force": "true", "fieldValidation": "Strict"}
    assert [asked.query for asked in server.asked] == [query, query]
    assert "resourceVersion" not in wanted(MAP)["metadata"], "the plan's manifest is left alone"


@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        (422, 'ConfigMap "a" is invalid: metadata.uid: Invalid value: "x": field is immutable', ConflictError),
        (422, 'ConfigMap "a" is invalid: data: Required value', RefusedError),
        (409, "uid mismatch: no existing object was found", ConflictError),
        (
            500,
            "failed to create typed patch object (ml/a; /v1, Kind=ConfigMap): .dat: field not declared in schema",
            RefusedError,
        ),
        (500, "etcdserver: request timed out", UnavailableError),
    ],
)
async def test_refusals_of_an_apply_are_told_apart(
    code: int, message: str, error: type[ApiError], tmp_path: Path
) -> None:
    async with connected(answer(refusal(code, "Invalid", message), code), tmp_path) as (_, client):
        with pytest.raises(error):
            await ApiWriter(client, instance="pod-1").apply(wanted(MAP), uid="uid-a")


async def test_a_status_carries_the_version_it_was_decided_on_and_nothing_of_the_spec(tmp_path: Path) -> None:
    async with connected(answer(DATASET), tmp_path) as (server, client):
        await ApiWriter(client, instance="pod-1").apply_status(DATASET, {"phase": "x"})
    (asked,) = server.asked
    assert asked.path == "/apis/keelway.dev/v1alpha1/namespaces/ml/datasets/churn/status"
    assert asked.body == {
        "apiVersion": "keelway.dev/v1alpha1",
        "kind": "Dataset",
        "metadata": {"name": "churn", "namespace": "ml", "uid": "uid-1", "resourceVersion": "7"},
        "status": {"phase": "x"},
    }


@pytest.mark.parametrize(("said", "left"), [({"kind": "Status", "status": "Success"}, None), (MAP, MAP)])
async def test_a_delete_tells_what_is_left(said: Any, left: Any, tmp_path: Path) -> None:
    async with connected(answer(said), tmp_path) as (server, client):
        assert await ApiWriter(client, instance="pod-1").delete(JOB, uid="uid-j", grace_seconds=5) == left
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("DELETE", "/apis/batch/v1/namespaces/ml/jobs/j")
    assert asked.body["preconditions"] == {"uid": "uid-j"}
    assert (asked.body["propagationPolicy"], asked.body["gracePeriodSeconds"]) == ("Background", 5)


@pytest.mark.parametrize("code", [400, 404])
async def test_a_log_that_is_not_there_is_not_found(code: int, tmp_path: Path) -> None:
    async with connected(answer(refusal(code, "x", "container is gone"), code), tmp_path) as (_, client):
        with pytest.raises(NotFoundError):
            await ApiWriter(client, instance="pod-1").read_log(LogRequest("ml", "p", "uid-p", "main"))


async def test_a_log_that_is_read_again_soon_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(writer, "FOLLOW_TIMEOUT", aiohttp.ClientTimeout(total=0.1))
    released = asyncio.Event()

    async def silent(_: web.BaseRequest) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    async with connected(silent, tmp_path) as (_, client):
        with pytest.raises(UnavailableError, match="timed out"):
            async with asyncio.timeout(10):
                await ApiWriter(client, instance="pod-1").read_log(LogRequest("ml", "p", "uid-p", "collect", max_age=5))
        released.set()


async def test_a_log_that_is_forbidden_is_refused(tmp_path: Path) -> None:
    async with connected(answer(refusal(403, "Forbidden", "no"), 403), tmp_path) as (_, client):
        with pytest.raises(RefusedError):
            await ApiWriter(client, instance="pod-1").read_log(LogRequest("ml", "p", "uid-p", "main"))


async def test_an_event_that_is_known_already_is_posted(tmp_path: Path) -> None:
    async with connected(answer(refusal(409, "AlreadyExists", "exists"), 409), tmp_path) as (server, client):
        await ApiWriter(client, instance="pod-1").post_event(DATASET, EVENT)
    assert server.asked[0].path == "/apis/events.k8s.io/v1/namespaces/ml/events"


def test_the_same_event_has_the_same_name_and_another_one_another() -> None:
    first, again = (event_manifest(DATASET, EVENT, "pod-1", NOW) for _ in range(2))
    other = event_manifest(DATASET, Event("Warning", "TrialFailed", "trial 4 failed"), "pod-1", NOW)
    assert first["metadata"]["name"] == again["metadata"]["name"] != other["metadata"]["name"]
    assert first["eventTime"] == "2026-01-02T03:04:05.000000Z"
    assert first["regarding"]["uid"] == "uid-1"


def test_an_event_keeps_within_the_limits_of_the_api() -> None:
    long = {**DATASET, "metadata": {**DATASET["metadata"], "name": "a" * 253}}
    manifest = event_manifest(long, Event("Normal", "X", "é" * 2000), "i" * 300, NOW)
    assert len(manifest["metadata"]["name"]) <= 253
    assert len(manifest["note"].encode()) <= NOTE_BYTES
    assert len(manifest["reportingInstance"]) <= 128
