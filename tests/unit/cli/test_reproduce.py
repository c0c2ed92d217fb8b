"""`keelway reproduce`: which Experiment is asked, and what is said where none can be."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from keelway.api.kinds import Key
from keelway.cli import main
from keelway.kube.paths import object_path
from tests.property.lifecycle.crds import refusals
from tests.unit.cli.api_server import Records
from tests.unit.cli.records import MODEL_VERSION, NAMESPACE, an_experiment

MAKER = Key("Experiment", NAMESPACE, "tumour-search")
MODEL = Key("ModelVersion", NAMESPACE, "tumour-v3")
TEMPLATE = an_experiment()["spec"]["trial"]["job"]["template"]


def reproduce(kubeconfig: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["reproduce", "--kubeconfig", str(kubeconfig), *words])


def model(**origin: Any) -> dict[str, Any]:
    found = copy.deepcopy(MODEL_VERSION)
    found["spec"]["producedBy"] |= origin
    found["spec"]["objective"] = "auc"
    found["spec"]["artifact"]["uri"] = "s3://models/tumour/0123456789ab/5/aaaaaaaaaaaa"
    return found


def test_asks_the_experiment_that_made_the_model(records: Records, kubeconfig: Path) -> None:
    records.put(MAKER, an_experiment())
    result = reproduce(kubeconfig, "tumour-v3")
    assert result.exit_code == 0, result.output
    patch = (object_path(MAKER), "application/merge-patch+json", {"spec": {"reproduce": "tumour-v3"}})
    assert records.patches == [patch]
    assert "Experiment tumour-search trains tumour-v3 again from its record." in result.output
    assert f"kubectl get experiment tumour-search -n {NAMESPACE} -w" in result.output
    assert f"kubectl keelway lineage modelversion/tumour-v3 -n {NAMESPACE}" in result.output


@pytest.mark.parametrize("target", ["modelversion/tumour-v3", "modelv/tumour-v3"])
def test_takes_a_model_as_lineage_names_it(records: Records, kubeconfig: Path, target: str) -> None:
    records.put(MAKER, an_experiment())
    assert "trains tumour-v3 again" in reproduce(kubeconfig, target).output


@pytest.mark.parametrize("target", ["dataset/tumours", "pod/tumour", "modelversion/"])
def test_explains_what_can_be_reproduced(kubeconfig: Path, target: str) -> None:
    assert reproduce(kubeconfig, target).exit_code == 2


RUNNING = {"number": 4, "hash": "h", "specHash": "s", "reason": "Created", "startTime": "2026-01-02T03:00:00Z"}


@pytest.mark.parametrize(
    ("spec", "status", "said"),
    [
        ({}, {"run": {**RUNNING, "state": "Running"}}, "when its run 4 is over"),
        ({}, {"run": {**RUNNING, "state": "Succeeded"}}, "from its record."),
        ({"suspend": True}, {}, "as soon as its spec.suspend is false"),
    ],
    ids=["a run goes on", "no run goes on", "suspended"],
)
def test_says_when_it_begins(
    records: Records, kubeconfig: Path, spec: dict[str, Any], status: dict[str, Any], said: str
) -> None:
    records.put(MAKER, an_experiment(spec=spec, **status))
    assert said in reproduce(kubeconfig, "tumour-v3").output


def test_says_what_came_out_before_and_does_it_again_when_asked(records: Records, kubeconfig: Path) -> None:
    condition = {
        "type": "Reproduced",
        "status": "False",
        "reason": "MetricsDiffer",
        "message": "auc 0.9 -> 0.8 (-0.1)",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    records.put(MAKER, an_experiment(spec={"reproduce": "tumour-v3"}, conditions=[condition]))
    result = reproduce(kubeconfig, "tumour-v3")
    assert result.exit_code == 1
    assert "before: MetricsDiffer: auc 0.9 -> 0.8 (-0.1); do it once more with --again" in result.output
    assert records.patches == []
    assert reproduce(kubeconfig, "tumour-v3", "--again").exit_code == 0
    ((_, _, patch),) = records.patches
    assert patch["spec"] == {"reproduce": "tumour-v3"}
    assert patch["metadata"]["annotations"]["keelway.dev/reconcile"].startswith("reproduce 20")


def test_writes_the_experiment_to_apply_where_the_one_that_made_it_is_gone(records: Records, kubeconfig: Path) -> None:
    records.put(MODEL, model(template=TEMPLATE, container="train"))
    result = reproduce(kubeconfig, "tumour-v3")
    assert result.exit_code == 1
    said, _, written = result.output.partition("\n\n")
    assert "Experiment tumour-search, which made tumour-v3, is gone" in said
    experiment = yaml.safe_load(written)
    assert experiment["metadata"] == {"name": "tumour-v3-again", "namespace": NAMESPACE}
    assert experiment["spec"]["reproduce"] == "tumour-v3"
    assert experiment["spec"]["output"]["uri"] == "s3://models/tumour/"
    assert experiment["spec"]["trial"] == {"job": {"template": TEMPLATE}, "container": "train"}
    assert list(refusals(experiment)) == [], "the API server takes it as it is"


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ({}, "is gone, and the record holds no pod template"),
        ({"external": {"system": "lab"}, "experiment": ""}, "was trained outside of Keelway"),
    ],
    ids=["no template", "from outside"],
)
def test_says_where_a_record_is_not_enough(
    records: Records, kubeconfig: Path, origin: dict[str, Any], said: str
) -> None:
    records.put(MODEL, model(**origin))
    result = reproduce(kubeconfig, "tumour-v3")
    assert result.exit_code == 1
    assert said in result.output


def test_says_that_there_is_no_such_model(kubeconfig: Path) -> None:
    result = reproduce(kubeconfig, "nothing")
    assert result.exit_code == 1
    assert f"there is no ModelVersion nothing in namespace {NAMESPACE}" in result.output


def test_says_what_the_api_server_refuses(kubeconfig: Path) -> None:
    result = reproduce(kubeconfig, "tumour-v3", "-n", "closed")
    assert result.exit_code == 1
    assert "refused to show ModelVersion/closed/tumour-v3: Forbidden" in result.output
