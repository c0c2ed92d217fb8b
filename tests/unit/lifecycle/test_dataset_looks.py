"""When a Dataset is looked at, and what a look adds."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.api.kinds import Key
from keelway.engine.objects import key_of
from tests.unit.lifecycle.builders import DATASET, NAMESPACE, a_dataset
from tests.unit.lifecycle.looks import FIRST, SECOND, begun, finds, look_again, newest, recorded
from tests.unit.lifecycle.pods import (
    observe_finds,
)
from tests.unit.lifecycle.scene import Scene, names


def test_a_new_dataset_is_looked_at_at_once() -> None:
    scene = begun()
    assert scene.writes == ["create Job", "status Dataset"]
    assert scene.standing(DATASET) == "Reconciling Observing"


def test_the_first_look_is_recorded_and_told() -> None:
    scene = begun()
    observe_finds(scene, FIRST)
    reasons = scene.settle(DATASET)
    scene.settle()
    assert reasons == ["report wanted", "version recorded", "version described", "version published"]
    version = scene.only("DatasetVersion")
    status = scene.status(DATASET)
    assert scene.standing(DATASET) == "Ready Ready"
    assert status["lastGood"] == {"version": 1, "name": version["metadata"]["name"], "digest": FIRST.digest}
    assert status["current"]["rows"] == 100
    assert status["current"]["shortDigest"] == f"listing:{FIRST.digest[-64:][:12]}"
    assert scene.told() == ["VersionCreated"]
    assert scene.all("Job") == []
    assert scene.status(key_of(scene.only("DatasetVersion")))["verdict"] == "Valid"


def test_a_version_says_all_that_is_needed_to_read_it_again() -> None:
    scene = recorded(access={"endpoint": "http://minio:9000", "secretRef": {"name": "lake"}}, splitKey="id")
    spec = scene.only("DatasetVersion")["spec"]
    assert spec["source"]["access"] == {
        "endpoint": "http://minio:9000",
        "secretRef": {"name": "lake"},
        "region": "",
        "serviceAccountName": "",
    }
    assert spec["splits"] == [{"name": "train", "rows": 80}, {"name": "holdout", "rows": 20}]
    assert spec["splitRule"]["key"] == "id"
    assert spec["schema"]["total"] == 2
    files = scene.get(Key("ConfigMap", NAMESPACE, spec["manifest"]["ref"]["configMap"]))
    assert files["immutable"] is True


def test_nothing_new_costs_one_job_and_one_status() -> None:
    scene = recorded()
    before = scene.status(DATASET)
    scene.wait(600)
    scene.writes.clear()
    scene.settle()
    observe_finds(scene, FIRST)
    scene.settle()
    assert scene.writes == ["create Job", "status Dataset", "delete Job"]
    assert scene.status(DATASET)["current"] == before["current"]
    assert scene.told() == ["VersionCreated"]


def test_before_its_time_nothing_happens_and_the_next_look_is_arranged() -> None:
    scene = recorded()
    scene.wait(599)
    scene.writes.clear()
    assert scene.settle() == []
    assert scene.decide(DATASET).look_again_after == 1.0


def test_new_bytes_are_the_next_version() -> None:
    scene = recorded()
    finds(scene, SECOND)
    status = scene.status(DATASET)
    assert (status["lastGood"]["version"], status["current"]["rows"]) == (2, 120)
    assert scene.told() == ["VersionCreated"] * 2
    assert len(scene.all("DatasetVersion")) == 2


def test_bytes_that_were_there_before_are_the_version_they_were() -> None:
    scene = recorded()
    finds(scene, SECOND)
    finds(scene, FIRST)
    assert scene.status(DATASET)["lastGood"]["version"] == 1
    assert len(scene.all("DatasetVersion")) == 2


def test_a_changed_source_is_looked_at_at_once_and_the_look_at_the_old_one_ends() -> None:
    scene = recorded()
    look_again(scene)
    old = names(scene.all("Job"))
    scene.change(DATASET, source={"uri": "s3://lake/elsewhere/"})
    scene.settle()
    assert scene.standing(DATASET) == "Reconciling Observing"
    assert len(scene.all("Job")) == 1
    assert names(scene.all("Job")) != old
    observe_finds(scene, FIRST)
    scene.settle()
    assert newest(scene)["spec"]["source"]["uri"] == "s3://lake/elsewhere/"


def test_other_splits_of_the_same_bytes_are_another_version() -> None:
    scene = recorded()
    scene.change(DATASET, splits=[{"name": "train", "percent": 50}])
    scene.settle()
    observe_finds(scene, FIRST)
    scene.settle()
    assert scene.status(DATASET)["lastGood"]["version"] == 2
    assert newest(scene)["spec"]["splits"] == [{"name": "train", "rows": 50}]


@pytest.mark.parametrize("field", ["resources", "nodeSelector", "tolerations", "serviceAccountName"])
def test_a_look_whose_pod_cannot_start_begins_anew_when_its_job_is_changed(field: str) -> None:
    values: dict[str, Any] = {
        "resources": {"limits": {"memory": "2Gi"}},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "serviceAccountName": "reader",
    }
    scene = begun()
    before = names(scene.all("Job"))
    scene.change(DATASET, job={field: values[field]})
    scene.settle()
    assert len(scene.all("Job")) == 1
    assert names(scene.all("Job")) != before


def test_what_does_not_bear_on_a_look_does_not_disturb_it() -> None:
    scene = begun()
    before = names(scene.all("Job"))
    scene.change(DATASET, owner={"team": "growth"}, historyLimit=3, refresh={"interval": "1h"})
    scene.settle()
    assert names(scene.all("Job")) == before
    assert scene.status(DATASET)["observedGeneration"] == 2


def test_a_generation_that_needs_no_look_is_observed_all_the_same() -> None:
    scene = recorded()
    scene.change(DATASET, owner={"team": "growth"})
    scene.settle()
    assert scene.status(DATASET)["observedGeneration"] == 2
    assert scene.standing(DATASET) == "Ready Ready"
    assert scene.all("Job") == []


def test_the_annotation_asks_for_a_look_now_and_once() -> None:
    scene = recorded()
    scene.annotate(DATASET, reconcile="1")
    scene.settle()
    assert len(scene.all("Job")) == 1
    observe_finds(scene, FIRST)
    scene.settle()
    assert scene.all("Job") == []
    assert scene.decide(DATASET).look_again_after == 600


def test_suspended_means_no_look_and_consumers_keep_what_they_have() -> None:
    scene = recorded()
    scene.change(DATASET, suspend=True)
    scene.wait(6000)
    scene.settle()
    assert scene.all("Job") == []
    assert scene.standing(DATASET) == "Ready Suspended"
    scene.change(DATASET, suspend=False)
    scene.settle()
    assert len(scene.all("Job")) == 1


def test_an_end_of_the_suspension_shows_before_the_next_look_is_due() -> None:
    scene = recorded()
    for suspend in (True, False):
        scene.change(DATASET, suspend=suspend)
        scene.settle()
    assert scene.standing(DATASET) == "Ready Ready"
    assert scene.status(DATASET)["observedGeneration"] == 3


def test_suspended_from_the_start_there_is_nothing_to_have() -> None:
    scene = Scene(a_dataset(suspend=True))
    scene.settle()
    assert scene.standing(DATASET) == "- Suspended"
    assert "no version yet" in scene.message(DATASET)
