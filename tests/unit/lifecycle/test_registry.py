"""How a resource says that its plan could not be made or carried out."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.api.kinds import OWN_KINDS, Key
from keelway.engine.objects import key_of
from keelway.lifecycle import registry
from keelway.lifecycle.plan import Plan
from tests.unit.lifecycle.builders import (
    DATASET,
    EXPERIMENT,
    a_dataset,
    a_dataset_version,
    a_model_deployment,
    a_model_version,
    an_experiment,
)
from tests.unit.lifecycle.scene import Scene

EVERY_KIND = [
    a_dataset(),
    a_dataset_version(1, "first", uid="u"),
    an_experiment(),
    a_model_version(1),
    a_model_deployment(),
]


def told(scene: Scene, key: Key, reason: str, message: str) -> None:
    """The engine has the failure told."""
    plan: Plan = registry.failed(scene.get(key), reason, message, scene.now)
    assert plan.status is not None
    scene.say(key, **plan.status)


def test_every_kind_has_a_decision() -> None:
    assert {key_of(manifest).kind for manifest in EVERY_KIND} == {kind.name for kind in OWN_KINDS}


@pytest.mark.parametrize("manifest", EVERY_KIND, ids=lambda manifest: manifest["kind"])
@pytest.mark.parametrize(
    ("reason", "standing"),
    [
        ("NameConflict", "Stalled NameConflict"),
        ("ApiRefused", "Stalled ApiRefused"),
        ("ProgressingWithRetry", "Reconciling ProgressingWithRetry"),
        ("what nobody has heard of", "Stalled InternalError"),
    ],
)
def test_a_failure_shows_on_every_kind(manifest: Manifest, reason: str, standing: str) -> None:
    scene, key = Scene(manifest), key_of(manifest)
    told(scene, key, reason, "the API server said so")
    assert scene.standing(key) == standing
    assert scene.message(key) == "the API server said so"
    assert scene.status(key)["observedGeneration"] == 1


def test_a_failure_leaves_the_rest_of_a_status_alone_and_goes_with_the_next_good_look() -> None:
    scene = Scene(a_dataset())
    scene.settle()
    before = scene.get(DATASET)["status"]
    told(scene, DATASET, "ApiRefused", "quota exceeded")
    assert {**scene.status(DATASET), "conditions": []} == {**before, "conditions": []}
    scene.remove(key_of(scene.only("Job")))
    scene.settle()
    assert scene.standing(DATASET) == "Reconciling Observing"


NEWER: list[tuple[Manifest, str]] = [
    (a_dataset(source={"uri": "s3://lake/x/", "format": "Avro"}), "spec.source.format"),
    (an_experiment(search={"algorithm": "Annealing"}), "spec.search.algorithm"),
    (a_model_deployment(serving={"protocol": "v3"}), "spec.serving.protocol"),
]


@pytest.mark.parametrize(("manifest", "path"), NEWER, ids=[path for _, path in NEWER])
def test_a_spec_of_a_newer_crd_is_said_to_be_invalid_and_nothing_is_done(manifest: Manifest, path: str) -> None:
    scene, key = Scene(manifest), key_of(manifest)
    scene.settle(key)
    assert scene.standing(key) == "Stalled InvalidSpec"
    assert scene.message(key).startswith(f"{path}: ")
    assert scene.writes == [f"status {key.kind}"]


def test_what_is_wrong_is_said_without_the_value() -> None:
    scene = Scene(a_dataset(source={"uri": "s3://lake/x/", "format": "hunter2"}))
    scene.settle()
    assert "hunter2" not in scene.message(DATASET)


def test_a_status_that_nobody_can_read_is_not_blamed_on_the_spec() -> None:
    broken: dict[str, Any] = {"run": {"number": "many"}}
    scene = Scene({**an_experiment(), "status": broken})
    with pytest.raises(ValueError, match=r"status\.run\.number"):
        scene.decide(EXPERIMENT)


def test_unknown_fields_of_a_newer_crd_are_passed_over() -> None:
    scene = Scene({**a_dataset(novelty={"a": 1}), "status": {"novelty": 1}})
    scene.settle()
    assert scene.standing(DATASET) == "Reconciling Observing"


def test_a_long_failure_is_cut_to_what_a_status_has_room_for() -> None:
    scene = Scene(a_dataset())
    told(scene, DATASET, "ApiRefused", "x" * 9000)
    assert 900 < len(scene.message(DATASET)) <= 1024
