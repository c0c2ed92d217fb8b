"""A ModelVersion's record is enough to train the model again."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.api.digests import canonical_json
from keelway.api.kinds import Key
from tests.unit.lifecycle.builders import EXPERIMENT, NAMESPACE, an_experiment
from tests.unit.lifecycle.pods import trial_ends
from tests.unit.lifecycle.reproductions import DIGEST, HEX, IMAGE, METRICS, TEMPLATE, job_ends, recorded_scene
from tests.unit.lifecycle.trials import begun, job_of, run, search


def origin(scene: Any) -> Manifest:
    found: Manifest = scene.only("ModelVersion")["spec"]["producedBy"]
    return found


def test_the_record_holds_all_that_determined_the_model() -> None:
    scene = recorded_scene()
    spec, made = scene.only("ModelVersion")["spec"], origin(scene)
    assert (made["template"], made["container"], made["seed"]) == (TEMPLATE, "train", 7)
    assert (made["image"], made["imageID"]) == ("registry.example.com/train:1", IMAGE)
    assert made["parameters"].keys() == {"depth"}
    assert (spec["metrics"], spec["objective"], spec["artifact"]["digest"]) == (METRICS, "auc", DIGEST)
    (read,) = spec["inputs"]
    version = scene.get(Key("DatasetVersion", NAMESPACE, read["datasetVersion"]))["spec"]
    assert (read["digest"], read["split"]) == (version["digest"], "train")


def test_the_container_that_trains_is_named_although_the_spec_does_not() -> None:
    scene = begun(trials=1)
    trial_ends(scene, job_of(scene, 0), 0.9)
    scene.settle(EXPERIMENT)
    assert origin(scene)["container"] == "train"


def padded(size: int) -> Manifest:
    """A pod template of so many bytes of canonical JSON."""
    base = {"metadata": {"annotations": {"pad": ""}}, **an_experiment()["spec"]["trial"]["job"]["template"]}
    base["metadata"]["annotations"]["pad"] = "x" * (size - len(canonical_json(base)))
    return base


@pytest.mark.parametrize(("size", "kept"), [(32 * 1024, True), (32 * 1024 + 1, False)])
def test_a_large_template_is_left_out(size: int, kept: bool) -> None:
    template = padded(size)
    scene = begun(trials=1, trial={"job": {"template": template}})
    trial_ends(scene, job_of(scene, 0), 0.9)
    scene.settle(EXPERIMENT)
    assert origin(scene).get("template") == (template if kept else None)
    assert origin(scene)["image"] == "registry.example.com/train:1"


@pytest.mark.parametrize(
    ("verdict", "tracked"),
    [
        ({}, None),
        ({"mlflowRun": "a1b2"}, {"mlflowRun": "a1b2", "error": ""}),
        ({"mlflowError": "no answer"}, {"mlflowRun": "", "error": "no answer"}),
    ],
    ids=["nobody was to be told", "told", "could not be told"],
)
def test_the_record_says_what_became_of_telling_mlflow(verdict: dict[str, Any], tracked: Any) -> None:
    scene = begun(trials=1)
    job_ends(scene, job_of(scene, 0), **verdict)
    scene.settle(EXPERIMENT)
    assert origin(scene).get("tracking") == tracked


def test_the_model_lies_where_its_run_said_at_its_beginning() -> None:
    scene = begun(trials=1, search=search())
    where = run(scene)["artifacts"]
    job_ends(scene, job_of(scene, 0))
    scene.settle(EXPERIMENT)
    assert scene.only("ModelVersion")["spec"]["artifact"]["uri"] == f"{where}/0/{HEX[:12]}"


def test_a_run_that_an_older_version_began_puts_its_models_where_that_did() -> None:
    scene = begun(trials=1, search=search())
    where = run(scene)["artifacts"]
    scene.say(EXPERIMENT, run={**run(scene), "artifacts": ""})
    job_ends(scene, job_of(scene, 0))
    scene.settle(EXPERIMENT)
    assert scene.only("ModelVersion")["spec"]["artifact"]["uri"] == f"{where}/0/{HEX[:12]}"
