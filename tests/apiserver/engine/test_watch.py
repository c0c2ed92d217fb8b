"""Watches of both kinds on a real API server: what happens comes in, whoever does it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from keelway.api.base import Manifest
from keelway.api.kinds import KINDS, OWN_KINDS, Key, Kind
from keelway.engine.intake import Intake
from keelway.engine.objects import key_of
from keelway.engine.queue import Queue
from keelway.engine.store import Store
from keelway.engine.telemetry import Telemetry
from keelway.kube import watch as watch_module
from keelway.kube.client import Client
from keelway.kube.kopf_watch import KopfWatch
from keelway.kube.watch import Collection, EventSource, Watch
from tests.apiserver.api import Api
from tests.apiserver.engine.samples import dataset, stated

DEADLINE = 20.0


class Desk:
    """A store that watches fill."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.store = Store(subjects=lambda m: frozenset({key_of(m)}), references=lambda _: frozenset())
        self.intake = Intake(store=self.store, queue=Queue(), kinds=())
        self.telemetry = Telemetry()

    def collection(self, kind: Kind, namespace: str) -> Collection:
        return Collection(kind, namespace, client=self.client, intake=self.intake, telemetry=self.telemetry)

    def kopf(self, *namespaces: str) -> KopfWatch:
        return KopfWatch(OWN_KINDS, namespaces, client=self.client, intake=self.intake, telemetry=self.telemetry)

    async def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait until the store shows something."""
        try:
            async with asyncio.timeout(DEADLINE):
                while not holds():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"{what}: not seen; the store holds {self.store.counts()}") from None


@pytest.fixture
def desk(client: Client) -> Desk:
    return Desk(client)


@asynccontextmanager
async def running(source: EventSource) -> AsyncIterator[None]:
    task = asyncio.create_task(source.run())
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def test_the_life_of_a_child(desk: Desk, api: Api, namespace: str) -> None:
    key = Key("ConfigMap", namespace, "a")
    api.create(stated("ConfigMap", namespace, "a", data={"x": "1"}))
    api.create({**stated("ConfigMap", namespace, "b"), "metadata": {"name": "b", "namespace": namespace}})
    async with running(Watch(desk.collection(KINDS["ConfigMap"], namespace))):
        await desk.until(lambda: desk.store.get(key), "the child that was there")
        api.patch("ConfigMap", namespace, "a", {"data": {"x": "2"}})
        await desk.until(lambda: data_of(desk, key) == {"x": "2"}, "its change")
        api.delete("ConfigMap", namespace, "a")
        await desk.until(lambda: not desk.store.get(key), "its end")
    assert desk.store.counts() == {"ConfigMap": 0}, "what lacks our label was never seen"


def data_of(desk: Desk, key: Key) -> Manifest:
    data: Manifest = (desk.store.get(key) or {}).get("data", {})
    return data


async def test_a_list_of_several_pages_is_complete(
    desk: Desk, api: Api, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "PAGE", 3)
    for number in range(8):
        api.create(stated("ConfigMap", namespace, f"a{number}"))
    collection = desk.collection(KINDS["ConfigMap"], namespace)
    await collection.list()
    assert desk.store.counts() == {"ConfigMap": 8}
    api.delete("ConfigMap", namespace, "a3")
    await collection.list()
    assert desk.store.counts() == {"ConfigMap": 7}


async def test_a_watch_from_a_version_that_is_too_old_lists_again(desk: Desk, api: Api, namespace: str) -> None:
    """Custom resources: the server remembers them from when their CRD was installed, long after version 1."""
    api.create(dataset(namespace))
    collection = desk.collection(KINDS["Dataset"], namespace)
    collection.version = "1"
    async with running(Watch(collection)):
        await desk.until(lambda: desk.store.counts().get("Dataset") == 1, "the object of the new list")
    labels = {"kind": "Dataset", "reason": "Gone"}
    assert desk.telemetry.registry.get_sample_value("keelway_watch_restarts_total", labels) == 1


def gizmo_crd() -> Manifest:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gizmos.test.keelway.dev"},
        "spec": {
            "group": "test.keelway.dev",
            "scope": "Namespaced",
            "names": {"kind": "Gizmo", "plural": "gizmos"},
            "versions": [version],
        },
    }


async def test_a_kind_whose_crd_comes_and_goes(
    desk: Desk, api: Api, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "ABSENT_SECONDS", 0.2)
    monkeypatch.setattr(watch_module, "OPTIONAL_GROUPS", {"test.keelway.dev"})
    gizmo = {"apiVersion": "test.keelway.dev/v1", "kind": "Gizmo", "metadata": {"name": "g", "namespace": namespace}}
    path = f"/apis/test.keelway.dev/v1/namespaces/{namespace}/gizmos"
    async with running(Watch(desk.collection(Kind("Gizmo", "test.keelway.dev", "v1", "gizmos"), namespace))):
        await desk.until(lambda: not desk.store.served("Gizmo"), "the kind is absent")
        api.create(gizmo_crd())
        await desk.until(lambda: desk.store.served("Gizmo"), "the kind is served")
        api.request("POST", path, body=gizmo)
        await desk.until(lambda: desk.store.counts().get("Gizmo") == 1, "its object")
        api.delete("CustomResourceDefinition", "", "gizmos.test.keelway.dev")
        await desk.until(lambda: not desk.store.served("Gizmo"), "the kind is gone")
    assert desk.store.counts() == {"Gizmo": 0}


@pytest.mark.parametrize("everywhere", [True, False])
async def test_the_life_of_a_resource_by_kopf_which_leaves_no_mark_on_it(
    desk: Desk, api: Api, namespace: str, everywhere: bool
) -> None:
    key = Key("Dataset", namespace, "churn")
    api.create(dataset(namespace))
    async with running(desk.kopf() if everywhere else desk.kopf(namespace)):
        await desk.until(lambda: desk.store.get(key), "the resource that was there")
        api.patch("Dataset", namespace, "churn", {"spec": {"suspend": True}})
        await desk.until(lambda: (desk.store.get(key) or {})["spec"]["suspend"], "its change")
        seen = api.get("Dataset", namespace, "churn") or {}
        assert "annotations" not in seen["metadata"]
        assert "finalizers" not in seen["metadata"]
        api.delete("Dataset", namespace, "churn")
        await desk.until(lambda: not desk.store.get(key), "its end")


async def test_kopf_gives_the_signals_back(desk: Desk, namespace: str) -> None:
    started: list[bool] = []
    source = desk.kopf(namespace)
    source._started = lambda: started.append(True)
    async with running(source):
        await desk.until(lambda: started, "kopf has started")
        assert source.age() == 0


async def test_kopf_ends_quickly(desk: Desk, namespace: str) -> None:
    clock = asyncio.get_running_loop().time
    started: list[bool] = []
    source = desk.kopf(namespace)
    source._started = lambda: started.append(True)
    async with running(source):
        await desk.until(lambda: started, "kopf has started")
        await asyncio.sleep(0)
        before = clock()
    assert clock() - before < 2
