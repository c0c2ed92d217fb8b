"""The command line, against a small API server on loopback."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from keelway.api.kinds import Key
from keelway.cli import main
from tests.unit.cli.api_server import Records
from tests.unit.cli.conftest import configuration
from tests.unit.cli.records import ARTIFACT, NAMESPACE, an_experiment


def keelway(kubeconfig: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["lineage", "--kubeconfig", str(kubeconfig), *words])


def test_prints_the_chain_in_the_namespace_of_the_context(kubeconfig: Path) -> None:
    result = keelway(kubeconfig, "modeldeployment/tumour")
    assert result.exit_code == 0, result.output
    order = [
        "ModelDeployment tumour",
        "ModelVersion tumour-v3",
        "Experiment tumour-search",
        "Source s3://lake/tumours/",
    ]
    places = [result.output.index(text) for text in order]
    assert places == sorted(places)
    assert ARTIFACT in result.output


def test_takes_short_names_and_another_namespace(kubeconfig: Path) -> None:
    result = keelway(kubeconfig, "mdeploy/tumour", "--context", "bare", "-n", NAMESPACE)
    assert result.exit_code == 0, result.output


def test_json_can_be_read_by_programs(kubeconfig: Path) -> None:
    result = keelway(kubeconfig, "modelversion/tumour-v3", "-o", "json")
    assert json.loads(result.stdout)["facts"]["digest"] == ARTIFACT


def test_a_context_without_namespace_means_default(kubeconfig: Path) -> None:
    result = keelway(kubeconfig, "modelversion/tumour-v3", "--context", "bare")
    assert result.exit_code == 1
    assert "there is no such object" in result.output


def test_a_broken_chain_is_printed_as_far_as_it_goes_and_fails(records: Records, kubeconfig: Path) -> None:
    records.remove(Key("DatasetVersion", NAMESPACE, "tumours-v7-dddddddddddd"))
    result = keelway(kubeconfig, "modeldeployment/tumour")
    assert result.exit_code == 1
    assert "Experiment tumour-search" in result.stdout
    assert "DatasetVersion tumours-v7-dddddddddddd: its record was deleted" in result.stderr


DONE = {"modelVersion": "tumour-v3", "recordedDigest": ARTIFACT, "startTime": "2026-01-02T03:00:00Z"}
OUTCOMES = [
    ({"state": "Running"}, "is being trained again by Experiment audit"),
    ({"state": "Reproduced", "digest": ARTIFACT}, "yes, the same bytes by Experiment audit"),
    ({"state": "Reproduced", "digest": "sha256:other"}, "yes, other bytes with the same metrics by Experiment audit"),
    ({"state": "Differs", "digest": "sha256:other"}, "no, metrics differ by Experiment audit"),
    ({"state": "Failed", "message": "no data"}, "could not be: no data by Experiment audit"),
]


@pytest.mark.parametrize(("outcome", "said"), OUTCOMES, ids=str)
def test_says_of_a_model_whether_any_experiment_reproduced_it(
    records: Records, kubeconfig: Path, outcome: dict[str, Any], said: str
) -> None:
    audit = an_experiment("audit", reproduction={**DONE, **outcome, "completionTime": "2026-01-02T04:00:00Z"})
    records.put(Key("Experiment", NAMESPACE, "audit"), audit)
    result = keelway(kubeconfig, "modelversion/tumour-v3", "-o", "json")
    facts = json.loads(result.stdout)["facts"]
    assert facts["reproduced"] == f"{said} at 2026-01-02T04:00:00Z"
    assert "reproduced" in keelway(kubeconfig, "modeldeployment/tumour").output


@pytest.mark.parametrize("other", [{"modelVersion": "tumour-v2"}, {"recordedDigest": "sha256:another"}], ids=str)
def test_does_not_say_it_of_another_model(records: Records, kubeconfig: Path, other: dict[str, Any]) -> None:
    audit = an_experiment("audit", reproduction={**DONE, "state": "Reproduced", **other})
    records.put(Key("Experiment", NAMESPACE, "audit"), audit)
    result = keelway(kubeconfig, "modelversion/tumour-v3", "-o", "json")
    assert "reproduced" not in json.loads(result.stdout)["facts"]


def test_says_what_the_api_server_refuses(kubeconfig: Path) -> None:
    result = keelway(kubeconfig, "modelversion/tumour-v3", "-n", "closed")
    assert result.exit_code == 1
    assert "refused to show ModelVersion/closed/tumour-v3: Forbidden" in result.output


def test_says_that_no_api_server_answers(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(yaml.safe_dump(configuration("http://127.0.0.1:9")))
    result = keelway(config, "modelversion/tumour-v3")
    assert result.exit_code == 1
    assert "does not answer" in result.output


def test_says_that_there_is_no_kubeconfig(tmp_path: Path) -> None:
    result = keelway(tmp_path / "none", "modelversion/tumour-v3")
    assert result.exit_code == 1
    assert "no usable kubeconfig" in result.output


@pytest.mark.parametrize("target", ["tumour", "pod/tumour", "modeldeployment/"])
def test_explains_what_can_be_traced(kubeconfig: Path, target: str) -> None:
    result = keelway(kubeconfig, target)
    assert result.exit_code == 2
    assert "modeldeployment, mdeploy, modelversion" in result.output
