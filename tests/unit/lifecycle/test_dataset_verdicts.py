"""What a look finds decides what consumers get, and every verdict can be read from the status."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.api.jobs import Column
from keelway.api.kinds import Key
from tests.property.lifecycle.lake import Content, content
from tests.unit.lifecycle.builders import DATASET, NAMESPACE
from tests.unit.lifecycle.looks import FIRST, begun, finds, look_again, recorded
from tests.unit.lifecycle.pods import observe_finds, observe_order
from tests.unit.lifecycle.scene import Scene

AGES = {"expectations": {"columns": [{"name": "age", "min": 0, "max": 120}]}}
OLD = content("too old", ages=(18, 900))
TEXT = (Column(name="age", type="varchar"), Column(name="churned", type="boolean", nullable=False))


def version(scene: Scene, number: int) -> Manifest:
    return next(v for v in scene.all("DatasetVersion") if v["spec"]["version"] == number)


def truth(scene: Scene, type_: str) -> str:
    found = scene.condition(DATASET, type_)
    return f"{found['status']} {found['reason']}"


def good(scene: Scene) -> int:
    return int(scene.status(DATASET)["lastGood"]["version"])


def test_a_version_that_meets_its_expectations_is_valid() -> None:
    scene = recorded(**AGES)
    assert version(scene, 1)["status"]["verdict"] == "Valid"
    assert truth(scene, "Validated") == "True ExpectationsMet"
    assert truth(scene, "SchemaCompatible") == "True SchemaCompatible"
    assert truth(scene, "DriftDetected") == "False NothingToCompare"
    assert truth(scene, "SourceMoved") == "False SourceAtVersion"
    assert scene.status(DATASET)["current"]["valid"] == "True"


def test_consumers_keep_the_last_good_version_when_an_expectation_fails() -> None:
    scene = recorded(**AGES)
    finds(scene, OLD)
    assert version(scene, 2)["status"]["verdict"] == "Invalid"
    assert version(scene, 2)["status"]["violations"][0]["check"] == "columns.age.max"
    assert (good(scene), scene.status(DATASET)["current"]["version"]) == (1, 2)
    assert scene.status(DATASET)["current"]["valid"] == "False"
    assert scene.standing(DATASET) == "Ready Ready"
    assert truth(scene, "Validated") == "False ExpectationsFailed"
    assert "columns.age.max" in scene.condition(DATASET, "Validated")["message"]
    assert truth(scene, "SourceMoved") == "True SourceMovedOn"
    assert scene.told() == ["VersionCreated", "VersionCreated", "ValidationFailed"]


def test_nothing_is_good_when_the_first_version_is_invalid() -> None:
    scene = begun(**AGES)
    observe_finds(scene, OLD)
    scene.settle()
    assert scene.standing(DATASET) == "Stalled VersionInvalid"
    assert "columns.age.max" in scene.message(DATASET)
    assert "lastGood" not in scene.status(DATASET)


def test_mended_data_are_good_again() -> None:
    scene = recorded(**AGES)
    finds(scene, OLD)
    finds(scene, content("mended"))
    assert good(scene) == 3
    assert truth(scene, "Validated") == "True ExpectationsMet"
    assert truth(scene, "SourceMoved") == "False SourceAtVersion"


def test_a_bad_batch_that_is_taken_back_leaves_everything_as_it_was() -> None:
    scene = recorded(**AGES)
    before = version(scene, 1)["status"]
    finds(scene, OLD)
    finds(scene, FIRST)
    assert (good(scene), scene.status(DATASET)["current"]["version"]) == (1, 1)
    assert truth(scene, "Validated") == "True ExpectationsMet"
    assert version(scene, 1)["status"] == before, "nobody measures it against itself"


def test_an_invalid_version_is_not_read_again_while_it_stays() -> None:
    scene = recorded(**AGES)
    finds(scene, OLD)
    look_again(scene)
    assert observe_order(scene.only("Job")).known is not None
    observe_finds(scene, OLD)
    scene.settle()
    assert scene.writes == ["status Dataset", "delete Job"]
    assert (good(scene), truth(scene, "Validated")) == (1, "False ExpectationsFailed")


def test_a_warning_is_said_and_lets_the_version_pass() -> None:
    scene = recorded(expectations={"columns": [{"name": "age", "max": 10, "severity": "Warn"}]})
    assert good(scene) == 1
    assert truth(scene, "Validated") == "True ExpectationsMet"
    assert "columns.age.max" in scene.condition(DATASET, "Validated")["message"]


def test_new_expectations_judge_the_version_that_is_there() -> None:
    scene = recorded()
    finds(scene, OLD)
    assert good(scene) == 2
    scene.change(DATASET, **AGES)
    scene.settle()
    order = observe_order(scene.only("Job"))
    assert order.known is None, "the bytes are read again although the listing is the same"
    assert order.checks.baseline is not None
    assert order.checks.baseline.version == 1, "a version is not measured against itself"
    observe_finds(scene, OLD)
    scene.settle()
    assert [v["spec"]["version"] for v in scene.all("DatasetVersion")] == [1, 2], "the bytes have a record already"
    assert version(scene, 2)["status"]["verdict"] == "Invalid"
    assert good(scene) == 1, "the newest version that is known to be good"


def test_a_schema_break_is_refused_and_accepted_when_it_is_declared() -> None:
    scene = recorded()
    finds(scene, content("text", columns=TEXT))
    assert good(scene) == 1
    assert truth(scene, "SchemaCompatible") == "False SchemaBroken"
    assert truth(scene, "Validated") == "True ExpectationsMet"
    assert version(scene, 2)["spec"]["change"]["schema"] == "Breaking"
    assert "SchemaChanged" in scene.told()
    scene.change(DATASET, schema={"columns": [{"name": "age", "type": "string"}]})
    scene.settle()
    observe_finds(scene, content("text", columns=TEXT))
    scene.settle()
    assert good(scene) == 2
    assert truth(scene, "SchemaCompatible") == "True SchemaCompatible"


def test_stale_data_are_said_when_their_time_comes_and_never_refused() -> None:
    scene = begun(expectations={"freshness": {"maxAge": "24h"}}, refresh={"interval": "100h"})
    observe_finds(scene, content("yesterday", newest=scene.now.strftime("%Y-%m-%dT%H:%M:%SZ")))
    scene.settle()
    assert truth(scene, "Validated") == "True ExpectationsMet"
    after = scene.decide(DATASET).look_again_after
    assert after is not None
    scene.wait(after)
    scene.settle()
    assert truth(scene, "Validated") == "False DataStale"
    assert (good(scene), scene.standing(DATASET)) == (1, "Ready Ready")


PINS = [
    ("1", "1"),
    (FIRST.digest, "1"),
    (FIRST.digest.rsplit(":", 1)[1][:12], "1"),
    (FIRST.digest.rsplit(":", 1)[1][:5], "Stalled PinNotFound"),
    ("7", "Stalled PinNotFound"),
]


@pytest.mark.parametrize(("pin", "expected"), PINS)
def test_consumers_are_kept_on_a_pin(pin: str, expected: str) -> None:
    scene = recorded(version={"pin": pin})
    finds(scene, content("second"))
    if expected.startswith("Stalled"):
        assert scene.standing(DATASET) == expected
        return
    assert (str(good(scene)), scene.status(DATASET)["current"]["version"]) == (expected, 2)
    assert scene.standing(DATASET) == "Ready Ready"
    scene.change(DATASET, version={"pin": ""})
    scene.settle()
    assert good(scene) == 2


def test_a_pin_to_an_invalid_version_is_refused() -> None:
    scene = recorded(**AGES)
    finds(scene, OLD)
    scene.change(DATASET, version={"pin": "2"})
    scene.settle()
    assert scene.standing(DATASET) == "Stalled PinInvalid"
    assert good(scene) == 1


def test_changes_are_counted_against_the_last_good_version() -> None:
    scene = recorded(**AGES)
    finds(scene, OLD)
    finds(scene, content("mended", rows=130))
    change = version(scene, 3)["spec"]["change"]
    assert (change["from"], change["rows"], change["schema"]) == (1, 30, "None")


def test_a_schedule_that_cannot_be_read_is_said_at_once() -> None:
    scene = begun(refresh={"schedule": "61 * * * *"})
    assert scene.standing(DATASET) == "Stalled InvalidSpec"
    assert scene.all("Job") == []


def test_a_version_comes_with_a_profile_and_a_description() -> None:
    scene = recorded()
    reference = version(scene, 1)["spec"]["profile"]
    assert scene.get(Key("ConfigMap", NAMESPACE, reference["configMap"]))["immutable"]


@pytest.mark.parametrize("part_bytes", [20, 70, 10_000])
def test_a_long_list_of_files_is_kept_in_parts(part_bytes: int) -> None:
    scene = begun()
    many: Content = content("many", files=9)
    from tests.property.lifecycle.lake import Lake
    from tests.unit.lifecycle.pods import observe_ends

    order = observe_order(scene.only("Job"))
    observe_ends(scene, *Lake({order.source.location.uri: many}, part_bytes=part_bytes).observe(order))
    scene.settle()
    spec: dict[str, Any] = version(scene, 1)["spec"]["manifest"]
    parts = -(-len(many.manifest) // part_bytes)
    assert spec["parts"] == parts
    names = [c["metadata"]["name"] for c in scene.all("ConfigMap") if "-files" in c["metadata"]["name"]]
    assert len(names) == parts
    look_again(scene)
    (volume,) = [v for v in scene.only("Job")["spec"]["template"]["spec"]["volumes"] if v["name"].endswith("known")]
    assert len(volume["projected"]["sources"]) == parts
