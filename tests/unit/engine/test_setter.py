"""Who last set a field that decisions want to know that of."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.api.kinds import Key
from keelway.engine.store import Store

PATH = ("spec", "approval", "approved")
KEY = Key("ModelDeployment", "ml", "churn")


def entry(manager: str, minute: int, fields: dict[str, Any], **more: str) -> dict[str, Any]:
    return {"manager": manager, "time": f"2026-03-01T12:{minute:02}:00Z", "fieldsV1": fields, **more}


APPROVED: dict[str, Any] = {"f:spec": {"f:approval": {"f:approved": {}}}}
MODE: dict[str, Any] = {"f:spec": {"f:approval": {"f:mode": {}}}}

CASES: dict[str, tuple[list[dict[str, Any]], str]] = {
    "nobody is known": ([], ""),
    "the one who set it": (
        [entry("argocd-controller", 1, APPROVED), entry("kubectl-edit", 2, MODE)],
        "argocd-controller",
    ),
    "the last of several": ([entry("kubectl-edit", 2, APPROVED), entry("flux", 1, APPROVED)], "kubectl-edit"),
    "a status is no word of anybody": ([entry("keelway", 3, APPROVED, subresource="status")], ""),
}


@pytest.mark.parametrize(("managed", "setter"), CASES.values(), ids=CASES)
def test_the_store_knows_who_set_the_attributed_field(managed: list[dict[str, Any]], setter: str) -> None:
    store = Store(
        subjects=lambda _: frozenset(), references=lambda _: frozenset(), attributed={"ModelDeployment": PATH}
    )
    metadata = {"name": "churn", "namespace": "ml", "uid": "u", "resourceVersion": "1", "managedFields": managed}
    store.upsert({"kind": "ModelDeployment", "metadata": metadata, "spec": {}})
    assert store.setter(KEY) == setter
    assert "managedFields" not in (store.get(KEY) or {})["metadata"]


def test_of_other_kinds_and_of_what_is_not_there_nothing_is_known() -> None:
    store = Store(subjects=lambda _: frozenset(), references=lambda _: frozenset())
    assert store.setter(KEY) == ""
