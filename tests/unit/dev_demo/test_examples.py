"""The files in `examples/` fit the CRDs and each other."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dev.demo.data import columns, tumours
from dev.demo.examples import example
from dev.demo.story import EXAMPLES, RAW
from dev.images import BuiltImage
from dev.images.catalogue import IMAGES
from dev.platform.endpoints import PROMETHEUS_IN_CLUSTER
from tests.unit.dev_demo.crds import validator

Manifest = dict[str, Any]
TRAINER = BuiltImage(ref="dev.local/keelway-trainer:0123456789ab", archive=Path("none"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_fits_its_crd(name: str) -> None:
    manifest = example(name, {})
    known = {key: value for key, value in manifest.items() if key != "metadata"}
    validator(manifest["kind"]).validate(known)


def test_a_misspelt_field_would_be_noticed() -> None:
    manifest = example("dataset", {})
    with pytest.raises(jsonschema.ValidationError, match="intervall"):
        validator("Dataset").validate({"spec": {**manifest["spec"], "refresh": {"intervall": "1m"}}})


def test_each_leads_to_the_next() -> None:
    raw, clean, experiment, deployment = (example(name, {}) for name in EXAMPLES)
    (refined,) = clean["spec"]["derive"]["inputs"]
    assert refined["dataset"] == raw["metadata"]["name"]
    assert f"FROM {refined['name']}" in clean["spec"]["derive"]["sql"]
    (read,) = experiment["spec"]["datasets"]
    assert read["dataset"] == clean["metadata"]["name"]
    assert read["split"] in [split["name"] for split in clean["spec"]["splits"]]
    assert deployment["spec"]["model"]["name"] == experiment["spec"]["output"]["model"]
    (gate,) = deployment["spec"]["gates"]
    assert gate["dataset"]["dataset"] == clean["metadata"]["name"]
    assert gate["dataset"]["split"] in {split["name"] for split in clean["spec"]["splits"]} - {read["split"]}
    assert deployment["spec"]["model"]["access"] == experiment["spec"]["output"]["access"]
    assert {manifest["metadata"]["namespace"] for manifest in (raw, clean, experiment, deployment)} == {"demo"}


def test_the_raw_data_lies_where_the_demo_puts_it() -> None:
    assert example("dataset", {})["spec"]["source"]["uri"] == f"s3://lake/{RAW}/"


def test_the_smoke_request_is_about_tumours_of_both_kinds() -> None:
    deployment = example("model-deployment", {})
    (request,) = deployment["spec"]["rollout"]["smoke"]["requests"]
    assert request["path"] == f"/v2/models/{deployment['metadata']['name']}/infer"
    (tensor,) = json.loads(request["body"])["inputs"]
    rows = tumours()[18:20]
    assert tensor["shape"] == [2, len(columns()) - 1]
    assert tensor["data"] == [value for row in rows for value in row[:-1]]
    assert {row[-1] for row in rows} == {0, 1}


def test_the_analysis_asks_the_prometheus_of_the_local_cluster() -> None:
    analysis = example("model-deployment", {})["spec"]["rollout"]["analysis"]
    assert analysis["prometheus"]["url"] == PROMETHEUS_IN_CLUSTER


def test_the_evaluator_is_in_the_image() -> None:
    (gate,) = example("model-deployment", {"trainer": TRAINER})["spec"]["gates"]
    (container,) = gate["template"]["spec"]["containers"]
    assert container["image"] == TRAINER.ref
    files = [f"/app/{path}" for code in IMAGES["trainer"].code for path in code.files()]
    assert container["command"][-1] in files


def test_the_built_image_takes_the_place_of_the_placeholder() -> None:
    manifest = example("experiment", {"trainer": TRAINER})
    (container,) = manifest["spec"]["trial"]["job"]["template"]["spec"]["containers"]
    assert container["image"] == TRAINER.ref
