"""The documentation speaks of what exists: every reason, field, condition and check, every file that it links to."""

import re
from pathlib import Path

import pytest

from dev.places import ROOT
from keelway.api.base import Model
from keelway.api.checks import ColumnExpectation, ImagesExpectation, RowsExpectation
from keelway.api.kinds import OWN_KINDS, Kind
from keelway.api.reasons import EventReason, Reason
from keelway.lifecycle.dataset import failures, judgement, outcome
from tests.unit.dev_demo.crds import validator
from tests.unit.docs.pages import (
    PAGE_OF,
    PAGES,
    fields_below,
    named_in_first_column,
    objects_on,
    schema_of,
    unnamed,
)


def test_every_reason_is_explained_and_no_other() -> None:
    conditions, _, events = (ROOT / "docs/reference/reasons.md").read_text().partition("## Events")
    assert named_in_first_column(conditions) == set(Reason)
    assert named_in_first_column(events) == set(EventReason)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#\s]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("kind", OWN_KINDS, ids=lambda kind: kind.name)
def test_every_field_of_a_spec_is_named_on_its_page(kind: Kind) -> None:
    fields = schema_of(kind)["spec"]["properties"]
    page = (ROOT / "docs" / PAGE_OF[kind.name]).read_text()
    assert [field for field in fields if not re.search(rf"`{field}\b", page)] == []


def test_every_field_of_a_dataset_is_named_however_deep() -> None:
    (dataset,) = [kind for kind in OWN_KINDS if kind.name == "Dataset"]
    schema = schema_of(dataset)
    # A pod template belongs to Kubernetes, and conditions are alike in every kind.
    del schema["spec"]["properties"]["derive"]["properties"]["job"]["properties"]["template"]["properties"]
    del schema["status"]["properties"]["conditions"]["items"]
    wanted = {*fields_below(schema["spec"]), *fields_below(schema["status"])} - {"observedGeneration", "conditions"}
    assert unnamed(wanted, ROOT / "docs/datasets.md") == []


def test_every_field_of_a_version_is_named_but_those_it_has_of_its_dataset() -> None:
    (version,) = [kind for kind in OWN_KINDS if kind.name == "DatasetVersion"]
    schema = schema_of(version)
    del schema["spec"]["properties"]["source"]["properties"]["access"]["properties"]
    del schema["status"]["properties"]["conditions"]
    wanted = {*fields_below(schema["spec"]), *fields_below(schema["status"])} - {"observedGeneration"}
    assert unnamed(wanted, ROOT / "docs/dataset-versions.md") == []


def test_every_condition_of_a_dataset_is_explained() -> None:
    known = {failures.REACHABLE, failures.DERIVED, outcome.INPUTS, outcome.MOVED}
    known |= {judgement.VALIDATED, judgement.SCHEMA, judgement.DRIFT, "Ready", "Reconciling", "Stalled"}
    _, _, table = (ROOT / "docs/datasets.md").read_text().partition("| condition |")
    assert named_in_first_column(table.partition("\n\n")[0]) == known


@pytest.mark.parametrize(
    ("expectation", "prefix"),
    [(RowsExpectation, "rows"), (ColumnExpectation, "columns.NAME"), (ImagesExpectation, "images")],
)
def test_what_every_check_counts_is_said(expectation: type[Model], prefix: str) -> None:
    page = (ROOT / "docs/reference/expectations.md").read_text()
    rows = [row for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) if row.startswith(f"`{prefix}.")]
    said = {name for row in rows for name in re.findall(r"\.(\w+)`", row)}
    fields = {field.alias for field in expectation.model_fields.values()}
    assert said == fields - {"name", "severity"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_objects_that_are_shown_fit_their_crds(page: Path) -> None:
    for shown in objects_on(page):
        validator(shown["kind"]).validate({key: value for key, value in shown.items() if key != "metadata"})


def test_objects_are_shown() -> None:
    shown = {manifest["kind"] for page in PAGES for manifest in objects_on(page)}
    assert shown >= {"Dataset", "Experiment", "ModelDeployment"}
