"""Versions that somebody deletes come back, those that nobody uses go, those in use stay."""

from __future__ import annotations

from typing import Any

from keelway.api.base import Manifest
from keelway.api.jobs import ObserveVerdict
from keelway.api.kinds import Key
from keelway.engine.objects import key_of
from tests.property.lifecycle.lake import content
from tests.unit.lifecycle.builders import DATASET, NAMESPACE, a_dataset, an_experiment, resource
from tests.unit.lifecycle.looks import FIRST, SECOND, finds, look_again, newest, recorded
from tests.unit.lifecycle.pods import (
    Ended,
    an_ended_pod_of,
    ends,
    observe_finds,
)
from tests.unit.lifecycle.scene import Scene, names


def test_a_list_of_files_that_somebody_deletes_comes_back() -> None:
    scene = recorded()
    version = key_of(scene.only("DatasetVersion"))
    (files,) = [key_of(part) for part in scene.all("ConfigMap") if part["metadata"]["name"].endswith("-files")]
    scene.remove(files)
    scene.settle()
    assert scene.standing(version) == "Stalled FilesMissing"
    observe_finds(scene, FIRST)
    scene.settle()
    assert scene.standing(version) == "Ready Ready"
    assert scene.get(files)


def test_a_version_that_somebody_deletes_comes_back() -> None:
    scene = recorded()
    finds(scene, SECOND)
    scene.remove(key_of(newest(scene)))
    scene.settle()
    observe_finds(scene, SECOND)
    scene.settle()
    assert newest(scene)["spec"]["digest"] == SECOND.digest


def test_a_version_that_somebody_deletes_during_the_look_is_not_told() -> None:
    scene = recorded()
    look_again(scene)
    job = scene.only("Job")
    scene.remove(key_of(scene.only("DatasetVersion")))
    an_ended_pod_of(scene, job, {"observe": Ended(message=ObserveVerdict(outcome="Unchanged").model_dump_json())})
    ends(scene, job)
    scene.settle()
    assert scene.condition(DATASET, "SourceReachable")["reason"] == "Disrupted"


def with_versions(count: int, **spec: Any) -> Scene:
    scene = recorded(**spec)
    for number in range(1, count):
        finds(scene, content(f"edition {number}"))
    return scene


def numbers(scene: Scene) -> list[int]:
    return sorted(version["spec"]["version"] for version in scene.all("DatasetVersion"))


def an_experiment_reading(version: Manifest) -> Manifest:
    """An Experiment that was suspended after a run on this version."""
    spec = version["spec"]
    read = {"name": "training", "dataset": "churn", "datasetVersion": version["metadata"]["name"]}
    run = {"number": 1, "hash": "h", "specHash": "s", "reason": "Created", "startTime": "2026-03-01T11:00:00Z"}
    datasets = [{**read, "version": spec["version"], "digest": spec["digest"]}]
    return {**an_experiment(suspend=True), "status": {"run": {**run, "datasets": datasets}}}


def test_old_versions_go_with_what_belongs_to_them() -> None:
    scene = with_versions(5, historyLimit=2)
    assert numbers(scene) == [4, 5]
    versions = [version["metadata"]["name"] for version in scene.all("DatasetVersion")]
    assert names(scene.all("ConfigMap")) == [f"{name}-{part}" for name in versions for part in ("files", "profile")]


def test_versions_in_use_stay() -> None:
    scene = with_versions(2, historyLimit=1000)
    first, second = sorted(scene.all("DatasetVersion"), key=lambda v: int(v["spec"]["version"]))
    read = {"name": "training", "dataset": "churn", "datasetVersion": first["metadata"]["name"], "digest": FIRST.digest}
    model = {"uri": "s3://m/1", "digest": f"sha256:{'0' * 64}", "format": {"name": "sklearn"}}
    scene.put(
        resource("ModelVersion", "churn-v1", {"model": "churn", "version": 1, "artifact": model, "inputs": [read]})
    )
    scene.put(an_experiment_reading(second))
    scene.change(DATASET, historyLimit=1)
    for number in range(3):
        finds(scene, content(f"later {number}"))
    assert numbers(scene) == [1, 2, 5]


def test_what_consumers_get_stays_although_it_is_old() -> None:
    scene = with_versions(3)
    finds(scene, FIRST)
    scene.change(DATASET, historyLimit=1)
    scene.settle()
    assert numbers(scene) == [1, 3]


def test_a_version_that_is_on_its_way_out_holds_nothing_up() -> None:
    scene = with_versions(3)
    oldest = min(scene.all("DatasetVersion"), key=lambda v: int(v["spec"]["version"]))
    ending = {**oldest["metadata"], "deletionTimestamp": "2026-03-01T12:00:00Z", "finalizers": ["example.com/hold"]}
    scene.put({**oldest, "metadata": ending})
    scene.change(DATASET, historyLimit=2)
    scene.wait(600)
    assert scene.decide(DATASET).reason == "look begins"


def test_a_deleted_dataset_takes_what_nobody_uses_with_it() -> None:
    scene = recorded()
    version = key_of(scene.only("DatasetVersion"))
    scene.remove(DATASET)
    scene.look(version)
    assert scene.all("DatasetVersion") == []


def test_a_deleted_dataset_leaves_versions_in_use() -> None:
    scene = recorded()
    version = scene.only("DatasetVersion")
    scene.put(an_experiment_reading(version))
    scene.remove(DATASET)
    scene.settle(key_of(version))
    assert names(scene.all("DatasetVersion")) == [version["metadata"]["name"]]
    scene.remove(Key("Experiment", NAMESPACE, "churn-gbt"))
    scene.look(key_of(version))
    assert scene.all("DatasetVersion") == []


def test_a_dataset_made_again_under_its_name_starts_anew_beside_the_versions_of_the_former_one() -> None:
    scene = recorded()
    former = scene.only("DatasetVersion")
    scene.put(an_experiment_reading(former))
    scene.remove(DATASET)
    scene.put(a_dataset())
    scene.settle()
    observe_finds(scene, FIRST)
    scene.settle()
    assert newest(scene)["metadata"]["name"] != former["metadata"]["name"]
    assert newest(scene)["spec"]["dataset"]["uid"] == scene.get(DATASET)["metadata"]["uid"]
    assert len(scene.all("DatasetVersion")) == 2


def test_a_dataset_that_leaves_begins_nothing() -> None:
    leaving: Manifest = a_dataset()
    leaving["metadata"].update(deletionTimestamp="2026-03-01T12:00:00Z", finalizers=["keelway.dev/x"])
    plan = Scene(leaving).decide(DATASET)
    assert (plan.reason, plan.creates, plan.status) == ("leaving", (), None)
