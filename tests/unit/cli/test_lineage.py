"""The chain from a live model down to the bytes, built from objects."""

from typing import Any

import pytest

from keelway.api.kinds import Key
from keelway.cli.lineage import Lineage, trace
from tests.unit.cli.records import (
    ARTIFACT,
    CODE,
    DIGEST,
    LIVE,
    MODEL_VERSION,
    NAMESPACE,
    RAW_DIGEST,
    chain,
    dataset,
    model_deployment,
)

DEPLOYMENT = Key("ModelDeployment", NAMESPACE, "tumour")
MODEL = Key("ModelVersion", NAMESPACE, "tumour-v3")
DATA = Key("DatasetVersion", NAMESPACE, "tumours-v7-dddddddddddd")
DERIVED = Key("Dataset", NAMESPACE, "clean")


def traced(target: Key = DEPLOYMENT, **changes: Any) -> Lineage:
    """The lineage of `target` in a world where the objects of `changes`, by kind, are others; None removes one."""
    objects: dict[Key, Any] = {key: changes.get(key.kind, value) for key, value in chain().items()}
    return trace(target, objects.get)


def link(lineage: Lineage, kind: str) -> Lineage:
    (found,) = [link for link in lineage.links() if link.kind == kind]
    return found


def facts(lineage: Lineage, kind: str) -> dict[str, str]:
    return dict(link(lineage, kind).facts)


def test_goes_from_the_live_model_to_the_source_without_a_gap() -> None:
    links = [(link.kind, link.name) for link in traced().links()]
    assert links == [
        ("ModelDeployment", "tumour"),
        ("ModelVersion", "tumour-v3"),
        ("Experiment", "tumour-search"),
        ("DatasetVersion", "tumours-v7-dddddddddddd"),
        ("Source", "s3://lake/tumours/"),
    ]
    assert all(not link.missing for link in traced().links())


def test_names_what_serves_and_who_answers_for_it() -> None:
    known = facts(traced(), "ModelDeployment")
    assert known["live"] == "version 3 with 100 % of the traffic since 2026-01-02T03:04:05Z"
    assert known["owner"] == "oncology #oncology"
    assert known["url"] == "http://tumour.example.com/"


HISTORY: list[dict[str, Any]] = [
    {
        "version": 4,
        "name": "tumour-v4",
        "from": "2026-01-03T00:00:00Z",
        "to": "2026-01-03T00:01:00Z",
        "outcome": "RolledBack",
        "reason": "AnalysisFailed",
        "message": "errors 1 is not at most 0.05 at 10 %",
    },
    {"version": 3, "name": "tumour-v3", "from": "2026-01-02T03:04:05Z", "outcome": "Promoted"},
]
APPROVED = {"value": "3", "by": "argocd-controller", "at": "2026-01-02T03:04:00Z"}


def test_tells_what_else_was_tried_and_how_it_ended() -> None:
    lineage = traced(ModelDeployment=model_deployment(**LIVE, history=HISTORY))
    told = [value for label, value in link(lineage, "ModelDeployment").facts if label == "history"]
    assert told == [
        "version 4 RolledBack from 2026-01-03T00:00:00Z until 2026-01-03T00:01:00Z: "
        "AnalysisFailed: errors 1 is not at most 0.05 at 10 %",
        "version 3 Promoted from 2026-01-02T03:04:05Z",
    ]
    assert lineage.to_json()["facts"]["history"] == told


@pytest.mark.parametrize(
    ("mode", "approved", "said"),
    [
        ("Automatic", None, "automatically"),
        ("Manual", APPROVED, "'3' by argocd-controller at 2026-01-02T03:04:00Z"),
        ("Manual", {"value": "3", "at": "2026-01-02T03:04:00Z"}, "'3' at 2026-01-02T03:04:00Z"),
        ("Manual", None, None),
    ],
)
def test_names_who_let_it_through(mode: str, approved: dict[str, str] | None, said: str | None) -> None:
    tried, live = HISTORY
    history = [tried, {**live, **({"approved": approved} if approved else {})}]
    found = model_deployment(**LIVE, history=history)
    found["spec"]["approval"] = {"mode": mode}
    assert facts(traced(ModelDeployment=found), "ModelDeployment").get("approved") == said


def test_gives_the_numbers_of_every_gate_with_the_rows_that_they_are_about() -> None:
    given = {"evaluator": "abc", "digest": DIGEST}
    evaluations = [
        {**given, "datasetVersion": "tumours-v7", "split": "holdout", "metrics": {"auc": 0.9, "accuracy": 0.85}},
        {**given, "datasetVersion": "tumours-v8", "metrics": {"auc": 0.91}},
    ]
    lineage = traced(ModelVersion={**MODEL_VERSION, "status": {"evaluations": evaluations}})
    said = [value for label, value in link(lineage, "ModelVersion").facts if label == "evaluated"]
    assert said == [
        "auc=0.91 on tumours-v8, evaluator abc",
        "auc=0.9, accuracy=0.85 on tumours-v7 split holdout, evaluator abc",
    ]
    assert lineage.to_json()["origins"][0]["facts"]["evaluated"] == said


def test_names_the_bytes_of_the_model_and_what_they_scored() -> None:
    known = facts(traced(), "ModelVersion")
    assert known["digest"] == ARTIFACT
    assert known["metrics"] == "auc=0.9876, rows=455"
    assert known["format"] == "sklearn 1"


def test_names_the_run_with_all_that_determined_it() -> None:
    known = facts(traced(), "Experiment")
    assert known["run"] == "2, hash 0123456789ab, best trial 5"
    assert known["parameters"] == "depth=4, learning_rate=0.05, booster=gbtree"
    assert known["seed"] == "42"
    assert known["image"] == "dev.local/trainer:1"
    assert known["image digest"] == f"sha256:{'e' * 64}"


def test_names_the_data_with_the_split_that_was_read() -> None:
    known = facts(traced(), "DatasetVersion")
    assert known["digest"] == DIGEST
    assert known["split"] == "train"
    assert known["rows"] == "569 train=455 holdout=114"
    assert known["schema"] == "31 columns, 999999999999"
    assert facts(traced(), "Source")["endpoint"] == "http://s3.storage"
    assert facts(traced(), "Source")["files"] == "3 files, 90000 bytes"


@pytest.mark.parametrize(("target", "first"), [(MODEL, "ModelVersion"), (DATA, "DatasetVersion")])
def test_starts_at_any_record(target: Key, first: str) -> None:
    links = list(traced(target).links())
    assert links[0].kind == first
    assert links[-1].kind == "Source"


def test_goes_on_from_a_derived_data_set_to_the_raw_bytes_of_every_input() -> None:
    links = [(link.kind, link.name) for link in traced(DERIVED).links()]
    assert links == [
        ("Dataset", "clean"),
        ("DatasetVersion", "clean-v2-eeeeeeee"),
        ("Derivation", "777777777777"),
        ("DatasetVersion", "raw-v3-bbbbbbbb"),
        ("Source", "s3://lake/raw/"),
        ("DatasetVersion", "tumours-v7-dddddddddddd"),
        ("Source", "s3://lake/tumours/"),
    ]
    known = facts(traced(DERIVED), "Derivation")
    assert (known["code"], known["hash"], known["written to"]) == (CODE, "7" * 64, "s3://lake/clean/777777777777/")
    raw, tumours = traced(DERIVED).origins[0].origins[0].origins
    assert (dict(raw.facts)["digest"], dict(raw.facts)["read as"]) == (RAW_DIGEST, "raw")
    assert dict(tumours.facts)["digest"] == DIGEST


def test_keeps_the_digest_of_an_input_whose_record_was_deleted() -> None:
    objects = {key: value for key, value in chain().items() if "raw" not in key.name}
    raw, _ = trace(DERIVED, objects.get).origins[0].origins[0].origins
    assert raw.missing == "its record was deleted"
    assert dict(raw.facts)["digest"] == RAW_DIGEST


def test_says_why_consumers_of_a_data_set_get_nothing() -> None:
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": "SourceEmpty",
        "message": "there are no files",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    waiting = traced(DERIVED, Dataset=dataset(conditions=[condition]))
    assert waiting.missing == "consumers get nothing yet: SourceEmpty, there are no files"


def test_says_that_there_is_no_such_object() -> None:
    assert traced(ModelDeployment=None) == Lineage("ModelDeployment", "tumour", missing="there is no such object")


def test_says_why_nothing_is_live_yet() -> None:
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": "NoModelVersion",
        "message": "no version of tumour yet",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    waiting = traced(ModelDeployment=model_deployment(conditions=[condition]))
    assert waiting.missing == "nothing is live yet: NoModelVersion, no version of tumour yet"
    assert waiting.origins == ()


def test_keeps_the_digest_of_data_whose_record_was_deleted() -> None:
    lineage = traced(DatasetVersion=None)
    assert link(lineage, "DatasetVersion").missing == "its record was deleted"
    assert facts(lineage, "DatasetVersion")["digest"] == DIGEST


def test_says_when_the_record_of_the_live_model_is_gone() -> None:
    assert link(traced(ModelVersion=None), "ModelVersion").missing == "there is no such object"


def test_a_model_from_elsewhere_names_its_system() -> None:
    spec = {**MODEL_VERSION["spec"], "inputs": [], "producedBy": {"external": {"system": "lab", "uri": "lab://7"}}}
    lineage = traced(ModelVersion={**MODEL_VERSION, "spec": spec})
    assert link(lineage, "External").name == "lab"
    assert facts(lineage, "External") == {"uri": "lab://7"}


def test_leaves_out_what_is_not_known() -> None:
    unknown = {**model_deployment(**{**LIVE, "url": ""}), "spec": {"model": {"name": "tumour"}}}
    assert facts(traced(ModelDeployment=unknown), "ModelDeployment").keys() == {"live"}


def test_json_holds_every_link() -> None:
    text = traced().to_json()
    assert text["kind"] == "ModelDeployment"
    assert text["origins"][0]["facts"]["digest"] == ARTIFACT
    assert text["origins"][0]["origins"][0]["origins"][0]["origins"][0]["name"] == "s3://lake/tumours/"
    assert "missing" not in text
