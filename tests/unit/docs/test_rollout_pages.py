"""What the pages about rollouts say is so: fields, defaults, phases, conditions, reasons, queries."""

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from dev.places import ROOT
from keelway.api.base import Model
from keelway.api.jobs import FailureReason
from keelway.api.kinds import OWN_KINDS
from keelway.api.model_deployment import ModelDeployment, ModelDeploymentSpec, Outcome, Phase
from keelway.api.reasons import EventReason, Reason
from keelway.lifecycle.model_deployment import outcome
from keelway.lifecycle.model_deployment.analysis import filled_in
from keelway.lifecycle.model_deployment.world import ON_THE_WAY
from tests.unit.docs.pages import (
    PAGES,
    fields_below,
    named_in_first_column,
    objects_on,
    schema_of,
    unnamed,
)

PAGE = ROOT / "docs/model-deployments.md"
TROUBLES = ROOT / "docs/reference/what-happens-when.md"


def table_after(header: str) -> str:
    """The table that begins with this."""
    _, found, table = PAGE.read_text().partition(header)
    assert found, header
    return table.partition("\n\n")[0]


def test_every_field_is_named_however_deep() -> None:
    (kind,) = [kind for kind in OWN_KINDS if kind.name == "ModelDeployment"]
    schema = schema_of(kind)
    spec, status = schema["spec"]["properties"], schema["status"]["properties"]
    # Pod templates and containers belong to Kubernetes, and conditions are alike in every kind.
    del spec["gates"]["items"]["properties"]["template"]["properties"]
    for container in ("container", "transformer"):
        spec["serving"]["properties"][container].pop("properties", None)
    del status["conditions"]
    wanted = {*fields_below(schema["spec"]), *fields_below(schema["status"])} - {"observedGeneration"}
    assert unnamed(wanted - set(fields_below(spec["owner"])), PAGE) == []


def test_every_field_of_an_evaluation_is_named() -> None:
    (kind,) = [kind for kind in OWN_KINDS if kind.name == "ModelVersion"]
    evaluations = schema_of(kind)["status"]["properties"]["evaluations"]
    assert unnamed(set(fields_below(evaluations)), ROOT / "docs/model-versions.md") == []


def model_in(annotation: Any) -> type[Model]:
    """The model that a field holds: itself, or none, or several of it."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    inner = [part for part in get_args(annotation) if part is not type(None) and part is not Ellipsis]
    return model_in(inner[0])


def default_of(model: type[Model], path: str) -> Any:
    """The default of a field, by its path as YAML has it."""
    name, _, rest = path.replace("[]", "").partition(".")
    field = next(field for field in model.model_fields.values() if field.alias == name)
    return default_of(model_in(field.annotation), rest) if rest else field.default


def stated_defaults() -> Iterator[tuple[str, str]]:
    """Field and default of every row that speaks of one field and shows a value."""
    yield from re.findall(r"^\| `([\w.\[\]]+)` \| .* \| `([^`]+)` \|$", PAGE.read_text(), re.MULTILINE)


@pytest.mark.parametrize(("path", "stated"), [pytest.param(*row, id=row[0]) for row in stated_defaults()])
def test_defaults_are_as_stated(path: str, stated: str) -> None:
    default = default_of(ModelDeploymentSpec, path)
    assert stated == (str(default).lower() if isinstance(default, bool) else str(default))


def test_defaults_are_stated() -> None:
    assert {"gates[].timeout", "rollout.soak", "rollout.holdDown", "rollout.progressDeadline"} <= {
        path for path, _ in stated_defaults()
    }


def test_every_phase_is_explained_and_those_on_the_way_in_their_order() -> None:
    phases = re.findall(r"^\| `(\w+)` \|", table_after("| `candidate.phase` |"), re.MULTILINE)
    assert set(phases) == set(get_args(Phase))
    assert [phase for phase in phases if phase in ON_THE_WAY] == list(ON_THE_WAY)


def test_every_outcome_is_explained() -> None:
    assert named_in_first_column(table_after("| `outcome` |")) == set(get_args(Outcome))


def test_every_condition_is_explained() -> None:
    known = {outcome.PROGRESSING, outcome.ROLLED_BACK, outcome.GATE_PASSED, outcome.APPROVED}
    assert named_in_first_column(table_after("| condition |")) == known | {"Ready", "Reconciling", "Stalled"}


def test_the_columns_are_those_of_kubectl() -> None:
    columns = [column.name.upper() for column in ModelDeployment.columns]
    shown = re.findall(r"`([A-Z ]+)`", PAGE.read_text().partition("`kubectl get modeldeployments` shows")[2])
    assert " ".join(shown).split()[: len(columns)] == columns


def test_only_variables_that_are_filled_in_are_explained_and_shown() -> None:
    deployment = ModelDeployment.model_validate(
        {"metadata": {"name": "churn", "namespace": "ml"}, "spec": {"model": {"name": "churn"}}}
    )
    explained = re.findall(r"\{\{\w+\}\}", table_after("| in a query | becomes |"))
    assert len(explained) == 5
    pages = [text for page in PAGES if "{{" in (text := page.read_text())]
    for variable in {*explained, *(name for text in pages for name in re.findall(r"\{\{\w+\}\}", text))}:
        assert filled_in(variable, deployment, "churn-v2-0123abcd", 2) not in (variable, ""), variable


def test_a_safe_rollout_that_is_shown_has_all_that_makes_it_safe() -> None:
    (shown,) = objects_on(ROOT / "docs/how-to/roll-out-safely.md")
    spec = ModelDeployment.model_validate({**shown, "metadata": {**shown["metadata"], "namespace": "ml"}}).spec
    assert spec.gates[0].dataset.split
    assert spec.gates[0].checks[0].max_regression is not None
    assert spec.rollout.smoke.requests
    weights = [step.weight for step in spec.rollout.steps]
    assert weights == sorted(set(weights)), "the CRD wants rising weights"
    assert spec.rollout.analysis
    assert spec.route


def test_troubles_lead_to_phases_and_reasons_that_there_are() -> None:
    words = set(re.findall(r"`([A-Z][A-Za-z]+)`", TROUBLES.read_text()))
    known = {*Reason, *EventReason, *get_args(Phase), *get_args(FailureReason)}
    assert sorted(words - known - {"READY"}) == []


@pytest.mark.parametrize(
    "reason",
    [
        *(Reason.ARTIFACT_MISSING, Reason.ARTIFACT_DIGEST_MISMATCH, Reason.GATE_FAILED, Reason.METRIC_MISSING),
        *(Reason.GATE_LEAKS_TRAINING_DATA, Reason.EVALUATOR_FAILED, Reason.AWAITING_APPROVAL, Reason.SMOKE_FAILED),
        *(Reason.IMAGE_PULL_FAILED, Reason.MODEL_LOAD_FAILED, Reason.ANALYSIS_FAILED, Reason.NO_SAMPLES),
        *(Reason.PROMETHEUS_UNREACHABLE, Reason.CANDIDATE_UNREADY, Reason.TIMED_OUT, Reason.ROUTE_NOT_ACCEPTED),
    ],
)
def test_every_way_to_fail_is_among_the_troubles(reason: Reason) -> None:
    assert f"`{reason}`" in TROUBLES.read_text()
