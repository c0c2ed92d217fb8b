"""The model that fails its clients, told against stand-ins for the cluster and the gateway."""

import json
from dataclasses import dataclass, field
from typing import Any, cast

import obstore
import pytest
from obstore.store import MemoryStore, ObjectStore

from dev.cluster import Cluster
from dev.demo.examples import example
from dev.demo.story import Story
from dev.errors import DevError
from dev.progress import console
from tests.unit.dev_demo.answering import Gateway, gateway

Manifest = dict[str, Any]

PASSED = {"name": "holdout", "state": "Passed", "datasetVersion": "tumours-v2-ab", "message": "auc 0.99 (live 0.98)"}


@dataclass
class StandIn:
    """Answers kubectl as a cluster would that gives the second version a tenth of the traffic for a while."""

    gateway: Gateway
    careless: bool = False
    """Whether the version takes all of it instead of losing it."""
    applied: list[Manifest] = field(default_factory=list)
    looks: int = 0

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        if arguments[0] == "apply":
            self.applied += json.loads(input or "")["items"]
            return "modelversion.keelway.dev/tumour-classifier-v2 created"
        if "--output=json" not in arguments:
            return "a table"
        if arguments[1] == "modelversions":
            others = [{"spec": {"model": "other", "version": 9}}]
            return json.dumps({"items": [*others, {"spec": {"model": "tumour-classifier", "version": 1}}]})
        return json.dumps(self._deployment())

    def _deployment(self) -> Manifest:
        manifest = example("model-deployment", {})
        manifest["metadata"]["generation"] = 1
        status: Manifest = {"live": {"version": 1, "weight": 100}}
        if self.applied:
            self.looks += 1
            status |= self._canary() if self.looks < 3 else self._end()
        return {**manifest, "status": status}

    def _canary(self) -> Manifest:
        self.gateway.every = 10
        return {"candidate": {"version": 2, "phase": "Canary", "weight": 10}}

    def _end(self) -> Manifest:
        self.gateway.every = 1 if self.careless else 0
        if self.careless:
            return {"live": {"version": 2, "weight": 100}}
        candidate = {"version": 2, "phase": "RolledBack", "weight": 0, "reason": "AnalysisFailed", "gates": [PASSED]}
        return {"candidate": candidate}


@dataclass
class Told(Story):
    """The story, with its bucket in memory and its gateway in this process."""

    store: ObjectStore = field(default_factory=MemoryStore)
    url: str = ""

    def _bucket(self, name: str) -> ObjectStore:
        assert name == "models"
        return self.store

    def _gateway(self) -> str:
        return self.url


def test_it_is_brought_in_and_rolled_back_while_others_are_answered() -> None:
    with gateway(fails=True) as server, console.capture() as printed:
        cluster = StandIn(server)
        told = Told(cluster=cast(Cluster, cluster), url=server.url)
        told.bring_in()
    (record,) = cluster.applied
    assert record["metadata"]["name"] == "tumour-classifier-v2"
    path = record["spec"]["artifact"]["uri"].removeprefix("s3://models/")
    assert [entry["path"] for page in obstore.list(told.store) for entry in page] == [f"{path}model.joblib"]
    said = " ".join(printed.get().split())
    assert "gate holdout on tumours-v2-ab: auc 0.99 (live 0.98)" in said
    assert "requests failed, all of version 2" in said
    assert "version 1" in said.partition("all others")[2]


def test_it_fails_loudly_when_the_model_takes_over() -> None:
    with gateway() as server:
        told = Told(cluster=cast(Cluster, StandIn(server, careless=True)), url=server.url)
        with pytest.raises(DevError, match="version 2 should have been rolled back"):
            told.bring_in()


def test_it_fails_loudly_when_no_request_failed() -> None:
    with gateway() as server:
        told = Told(cluster=cast(Cluster, StandIn(server)), url=server.url)
        with pytest.raises(DevError, match="should have failed by version 2"):
            told.bring_in()
