"""Names are stable (golden values), valid and short enough for what Kubernetes and KServe derive from them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.api.model_deployment import ModelDeployment
from keelway.api.model_version import ModelVersion
from keelway.manifests.names import child_name, hash8, label_value, variable
from keelway.manifests.serving import inference_service_name, revision
from tests.unit.lifecycle.builders import a_model_deployment, a_model_version

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", fullmatch=True)


@pytest.mark.parametrize(
    ("parent", "role", "name"),
    [
        ("churn", "observe", "churn-observe-0123abcd"),
        ("churn", "", "churn-0123abcd"),
        ("churn.v2.eu", "t12", "churn-v2-eu-t12-0123abcd"),
        ("a" * 63, "observe", f"{'a' * 35}-observe-0123abcd"),
        ("a" * 253, "observe", f"{'a' * 35}-observe-0123abcd"),
        (f"{'a' * 34}.b", "observe", f"{'a' * 34}-observe-0123abcd"),
        (f"{'a' * 33}---b", "observe", f"{'a' * 33}-observe-0123abcd"),
    ],
)
def test_names_of_children(parent: str, role: str, name: str) -> None:
    assert child_name(parent, role, "0123abcd") == name
    assert len(name) <= 52


@given(NAMES, st.sampled_from(["observe", "trials", "t0", "t9999"]))
def test_a_childs_name_is_a_label_and_leaves_room_for_a_pods_suffix(parent: str, role: str) -> None:
    name = child_name(parent, role, hash8(parent))
    assert LABEL.fullmatch(name)
    assert len(name) <= 52


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("churn", "churn"),
        ("churn.v2", "churn.v2"),
        ("a" * 63, "a" * 63),
        ("a" * 64, f"{'a' * 50}-659184ac8182"),
        (f"{'a' * 49}.{'b' * 200}", f"{'a' * 49}-5f09d783f2af"),
    ],
)
def test_names_as_labels(name: str, label: str) -> None:
    assert label_value(name) == label


@given(NAMES)
def test_every_name_has_a_label(name: str) -> None:
    assert LABEL_VALUE.fullmatch(label_value(name))
    assert len(label_value(name)) <= 63


@given(st.lists(NAMES.map(lambda name: "x" * 60 + name), min_size=2, max_size=4, unique=True))
def test_different_names_have_different_labels(names: list[str]) -> None:
    assert len({label_value(name) for name in names}) == len(names)


def test_hashes_are_stable() -> None:
    assert hash8("uid", 3, "x") == "94e1a1ac"
    assert hash8("uid", 3) != hash8("uid", "3")


@pytest.mark.parametrize(
    ("name", "text"),
    [("learning_rate", "LEARNING_RATE"), ("zip-codes", "ZIP_CODES"), ("Depth2", "DEPTH2")],
)
def test_names_as_variables(name: str, text: str) -> None:
    assert variable(name) == text


def deployment(name: str = "churn", **serving: object) -> ModelDeployment:
    return ModelDeployment.model_validate(a_model_deployment(name, serving=serving))


def version(number: int) -> ModelVersion:
    return ModelVersion.model_validate(a_model_version(number))


def test_names_of_inference_services_are_stable() -> None:
    assert inference_service_name(deployment(), version(4)) == "churn-v4-c6dcb859"
    assert revision(deployment(), version(4))[:8] == "c6dcb859"


def test_replicas_make_no_other_inference_service_and_everything_else_does() -> None:
    known = revision(deployment(), version(4))
    assert revision(deployment(minReplicas=2, maxReplicas=9), version(4)) == known
    others = [
        revision(deployment(), version(5)),
        revision(deployment("other"), version(4)),
        revision(deployment(runtime="mine"), version(4)),
        revision(deployment(protocol="v1"), version(4)),
        revision(deployment(serviceAccountName="models"), version(4)),
        revision(deployment(resources={"limits": {"memory": "1Gi"}}), version(4)),
        revision(deployment(minReplicas=3, maxReplicas=3), version(4)),
    ]
    assert len({known, *others}) == len(others) + 1


@given(st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True), st.integers(1, 10**9))
def test_kserve_can_derive_its_names_from_an_inference_services(name: str, number: int) -> None:
    server = inference_service_name(deployment(name), version(number))
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", server)
    assert len(f"{server}-predictor") <= 53
