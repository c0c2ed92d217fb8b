"""Who is woken by what: an object's subjects, and those that refer to them."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.api.kinds import KINDS, Key
from keelway.lifecycle.routing import ARTIFACT, DIRECTORY, MODEL, MODEL_NUMBER, references, subjects
from tests.unit.lifecycle.builders import (
    NAMESPACE,
    a_dataset,
    a_dataset_version,
    a_model_deployment,
    a_model_version,
    an_experiment,
    resource,
)


def key(kind: str, name: str) -> Key:
    return Key(kind, NAMESPACE, name)


def child(kind: str, name: str, **metadata: Any) -> Manifest:
    return {"kind": kind, "metadata": {"name": name, "namespace": NAMESPACE, **metadata}}


def owned_by(kind: str, name: str, *, controller: bool = True) -> dict[str, Any]:
    return {"ownerReferences": [{"kind": kind, "name": name, "uid": "u", "controller": controller}]}


def made_for(value: str) -> dict[str, Any]:
    return {"annotations": {"keelway.dev/for": value}}


def in_catalogue(*directories: str) -> set[Key]:
    """What a version of `churn` speaks about whose files are in the last of these nested directories."""
    found = {key(MODEL, "churn"), key(ARTIFACT, directories[-1])}
    return found | {key(DIRECTORY, directory) for directory in directories}


BY_HAND = in_catalogue("s3://models", "s3://models/churn", "s3://models/churn/3")
TRAINED = a_model_version(3, producedBy={"experiment": "churn-gbt", "uid": "u", "run": 1})
ODDLY_SPELLED = a_model_version(3)
ODDLY_SPELLED["spec"]["artifact"] = {**ODDLY_SPELLED["spec"]["artifact"], "uri": "pvc://models//churn/"}
SERVING = {**a_model_deployment(), "status": {"live": {"name": "churn-v3"}}}
HOLDING = {
    **a_model_deployment(version="7"),
    "status": {
        "live": {"name": "churn-v3"},
        "candidate": {"name": "churn-v4"},
        "soaking": {"name": "churn-v2"},
        "history": [{"name": "churn-v3"}, {"name": "churn-v1"}],
    },
}

SUBJECTS: list[tuple[str, Manifest, set[Key]]] = [
    ("a Dataset speaks of itself", a_dataset(), set()),
    ("a version speaks of its Dataset", a_dataset_version(1, "x", uid="u"), {key("Dataset", "churn")}),
    ("a model speaks of its name in the catalogue and of where its files are", a_model_version(3), BY_HAND),
    ("however that is spelled", ODDLY_SPELLED, in_catalogue("pvc://models", "pvc://models/churn")),
    ("and of the Experiment that made it", TRAINED, BY_HAND | {key("Experiment", "churn-gbt")}),
    ("a deployment speaks of the version that is live", SERVING, {key("ModelVersion", "churn-v3")}),
    (
        "and of all that it holds, and of the one that it pins by number",
        HOLDING,
        {key("ModelVersion", f"churn-v{number}") for number in (1, 2, 3, 4)} | {key(MODEL_NUMBER, "churn/7")},
    ),
    ("a Job speaks of whom it was made for", child("Job", "j", **made_for("Dataset/churn")), {key("Dataset", "churn")}),
    ("a pod speaks of its Job", child("Pod", "p", **owned_by("Job", "j")), {key("Job", "j")}),
    ("but not of an owner that is not in control", child("Pod", "p", **owned_by("Job", "j", controller=False)), set()),
    ("nor of one of a kind that nobody knows", child("Pod", "p", **owned_by("ReplicaSet", "r")), set()),
    ("nor of nonsense in the annotation", child("Job", "j", **made_for("churn")), set()),
    ("nor of a kind that nobody knows", child("Job", "j", **made_for("Team/red")), set()),
    (
        "a pod of a model speaks of its InferenceService",
        child("Pod", "p", labels={"serving.kserve.io/inferenceservice": "churn-v3"}),
        {key("InferenceService", "churn-v3")},
    ),
]


@pytest.mark.parametrize(("manifest", "others"), [pytest.param(*case[1:], id=case[0]) for case in SUBJECTS])
def test_what_an_object_speaks_about(manifest: Manifest, others: set[Key]) -> None:
    own = key(manifest["kind"], manifest["metadata"]["name"])
    assert subjects(manifest) == {own} | others


NAMING = {**an_experiment(reproduce="churn-v3"), "status": {"model": {"name": "churn-v9"}}}
RUNNING = {**an_experiment(), "status": {"run": {"datasets": [{"datasetVersion": "churn-v1-x"}]}}}
DERIVED = resource(
    "Dataset",
    "clean",
    {"derive": {"inputs": [{"name": "raw", "dataset": "churn"}, {"name": "zips", "dataset": "zip-codes"}]}},
)
MADE_OF_OTHERS = a_dataset_version(1, "x", name="clean", uid="u")
MADE_OF_OTHERS["spec"]["derivedFrom"] = [
    {"name": "raw", "dataset": "churn", "datasetVersion": "churn-v1-x", "digest": "d"}
]
REFERENCES: list[tuple[str, Manifest, set[Key]]] = [
    ("a Dataset with a source reads nothing", a_dataset(), set()),
    ("a derived Dataset reads those it is made of", DERIVED, {key("Dataset", "churn"), key("Dataset", "zip-codes")}),
    ("a version reads whether its Dataset is there", a_dataset_version(1, "x", uid="u"), {key("Dataset", "churn")}),
    (
        "a derived version keeps the versions it was made of",
        MADE_OF_OTHERS,
        {key("Dataset", "clean"), key("DatasetVersion", "churn-v1-x")},
    ),
    ("an Experiment reads its Datasets", an_experiment(), {key("Dataset", "churn")}),
    ("and the versions of its run", RUNNING, {key("Dataset", "churn"), key("DatasetVersion", "churn-v1-x")}),
    (
        "and the model that it is to reproduce, and the newest that it made",
        NAMING,
        {key("Dataset", "churn"), key("ModelVersion", "churn-v3"), key("ModelVersion", "churn-v9")},
    ),
    ("a model reads who pins it by number", a_model_version(3), {key(MODEL_NUMBER, "churn/3")}),
    (
        "and keeps the versions that it was trained on",
        a_model_version(3, inputs=[{"name": "t", "dataset": "churn", "datasetVersion": "churn-v1-x", "digest": "d"}]),
        {key("DatasetVersion", "churn-v1-x"), key(MODEL_NUMBER, "churn/3")},
    ),
    ("a deployment reads a name in the catalogue", a_model_deployment(), {key(MODEL, "churn")}),
    ("a Job reads nothing", child("Job", "j"), set()),
]


@pytest.mark.parametrize(("manifest", "expected"), [pytest.param(*case[1:], id=case[0]) for case in REFERENCES])
def test_what_an_object_reads(manifest: Manifest, expected: set[Key]) -> None:
    assert references(manifest) == expected


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_may_be_bare(kind: str) -> None:
    """As an object is that somebody has just created, or that is about to go."""
    bare = {
        "Dataset": a_dataset(),
        "DatasetVersion": a_dataset_version(1, "x", uid="u"),
        "Experiment": an_experiment(),
        "ModelVersion": resource("ModelVersion", "m", {"model": "churn", "version": 1}),
        "ModelDeployment": a_model_deployment(),
    }.get(kind, child(kind, "bare"))
    assert key(kind, bare["metadata"]["name"]) in subjects(bare)
    assert isinstance(references(bare), frozenset)
