"""What a trial's Job gets so that MLflow hears of it: which run, under which names, with whose credentials."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.api.dataset_version import DatasetVersion
from keelway.api.experiment import Experiment
from keelway.api.resource import Access
from keelway.api.tracking import MlflowOrder, TrackedInput
from keelway.manifests.staged_pod import PodInput, pod_input
from keelway.manifests.tracking import Tracking, tracking
from keelway.manifests.trial_job import REPRODUCE_ANNOTATION, TrialJob
from tests.unit.lifecycle.builders import a_dataset_version, an_experiment

SERVER = "http://mlflow.infra:5000"


def experiment(mlflow: dict[str, Any] | None) -> Experiment:
    manifest = an_experiment(
        owner={"team": "growth"}, search={"seed": 7}, tracking={"mlflow": mlflow} if mlflow else {}
    )
    manifest["metadata"]["uid"] = "u-1"
    return Experiment.model_validate(manifest)


def an_input(index: int, name: str, uri: str) -> PodInput:
    version = a_dataset_version(index + 1, "first", name=name, uid="u-0")
    version["spec"]["source"]["uri"] = uri
    access = Access.model_validate({"secretRef": {"name": "lake"}})
    return pod_input(index, f"{name}-data", DatasetVersion.model_validate(version), access, split="train")


def trial(**fields: Any) -> TrialJob:
    given: dict[str, Any] = {
        "name": "churn-gbt-t3-01234567",
        "run": "0123456789ab",
        "number": 3,
        "attempt": 1,
        "parameters": {"depth": 4, "booster": "dart", "rate": 0.1},
        "inputs": (an_input(0, "churn", "s3://lake/churn/"),),
        "destination": "s3://models/churn/0123456789ab/3",
        "run_number": 4,
        "run_hash": "f" * 64,
    }
    return TrialJob(**{**given, **fields})


def tracked(mlflow: dict[str, Any] | None = None, **fields: Any) -> Tracking:
    found = tracking(experiment({"uri": SERVER, **(mlflow or {})}), trial(**fields))
    assert found is not None
    return found


def told(**fields: Any) -> MlflowOrder:
    return tracked(**fields).order


def test_nothing_is_tracked_unless_the_spec_asks_for_it() -> None:
    assert tracking(experiment(None), trial()) is None


def test_the_server_is_told_what_the_trial_is() -> None:
    order = told()
    assert (order.uri, order.run_name, order.objective) == (SERVER, "run 4 trial 3", "auc")
    assert order.parameters == {"depth": 4, "booster": "dart", "rate": 0.1}
    assert order.artifact_uri == "s3://models/churn/0123456789ab/3"


def test_tags_lead_back_to_what_keelway_has() -> None:
    assert told().tags == {
        "keelway.namespace": "ml",
        "keelway.experiment": "churn-gbt",
        "keelway.experiment_uid": "u-1",
        "keelway.run": "4",
        "keelway.run_hash": "f" * 64,
        "keelway.trial": "3",
        "keelway.attempt": "1",
        "keelway.job": "churn-gbt-t3-01234567",
        "keelway.seed": "7",
        "keelway.model": "churn",
        "keelway.team": "growth",
        "mlflow.source.type": "JOB",
        "mlflow.source.name": "ml/churn-gbt",
    }


@pytest.mark.parametrize(("given", "expected"), [("", "ml/churn-gbt"), ("everything", "everything")])
def test_the_experiment_there_is_named_after_this_one_or_as_the_spec_says(given: str, expected: str) -> None:
    assert tracked({"experiment": given}).order.experiment == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "run 4 trial 3"),
        ({"run_number": 0}, "trial 3"),
        ({"mark": REPRODUCE_ANNOTATION}, "reproduction of run 4 trial 3"),
    ],
)
def test_a_run_is_called_by_its_numbers(fields: dict[str, Any], expected: str) -> None:
    assert told(**fields).run_name == expected


def test_attempts_of_one_trial_are_known_to_be_of_one_and_other_trials_are_not() -> None:
    first = told()
    assert told(attempt=2, name="churn-gbt-t3-89abcdef").trial == first.trial
    assert told(number=4).trial != first.trial
    assert told(run="ba9876543210").trial != first.trial


def test_data_sets_are_named_with_all_of_their_digest() -> None:
    version = a_dataset_version(1, "first", name="churn", uid="u-0")
    assert told().inputs == (
        TrackedInput(
            name="churn-data",
            dataset="churn",
            dataset_version=version["metadata"]["name"],
            digest=version["spec"]["digest"],
            uri="s3://lake/churn/",
            split="train",
        ),
    )


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("pvc://claim/codes", "pvc://claim/codes"),
        ("https://host/data.csv?sig=SECRET", "https://host/data.csv"),
    ],
)
def test_where_data_lie_is_told_without_a_signature(uri: str, expected: str) -> None:
    (given,) = told(inputs=(an_input(0, "churn", uri),)).inputs
    assert given.uri == expected


def test_the_secret_is_mounted_as_optional() -> None:
    found = tracked({"secretRef": {"name": "mlflow-login"}})
    assert (found.order.secret_dir, found.order.secret_name) == ("/keelway/access/mlflow", "mlflow-login")
    (volume,), (mount,) = found.volumes, found.mounts
    assert (volume["secret"]["secretName"], volume["secret"]["optional"]) == ("mlflow-login", True)
    assert mount == {"name": volume["name"], "mountPath": "/keelway/access/mlflow", "readOnly": True}


def test_without_a_secret_nothing_is_mounted() -> None:
    found = tracked()
    assert (found.volumes, found.mounts, found.order.secret_dir) == ((), (), "")
