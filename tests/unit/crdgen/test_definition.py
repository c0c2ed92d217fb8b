"""The CRDs of the five kinds: structural, complete in their defaults, and with the columns that people see."""

from collections.abc import Iterator
from typing import Any

import pytest

from keelway.api.dataset import Dataset
from keelway.api.experiment import Experiment
from keelway.api.kinds import OWN_KINDS
from keelway.api.model_deployment import ModelDeployment
from keelway.api.resource import Resource
from keelway.crdgen.definition import RESOURCES, custom_resource_definition
from keelway.crdgen.schema import fill

FORBIDDEN = {"title", "anyOf", "oneOf", "allOf", "not", "$ref", "$defs", "nullable", "const", "discriminator"}
DEFINITIONS = {resource.__name__: custom_resource_definition(resource) for resource in RESOURCES}

CONTAINERS = {"containers": [{"name": "train", "image": "dev.local/train:1"}]}
SHORTEST: dict[type[Resource], dict[str, Any]] = {
    Dataset: {"source": {"uri": "s3://lake/churn/"}},
    Experiment: {
        "datasets": [{"name": "training", "dataset": "churn"}],
        "objective": {"metric": "auc"},
        "trial": {"job": {"template": {"spec": CONTAINERS}}},
        "output": {"model": "churn", "format": {"name": "sklearn"}, "uri": "s3://models/churn/"},
    },
    ModelDeployment: {"model": {"name": "churn"}},
}


def version_of(kind: str) -> dict[str, Any]:
    """The only version of a kind."""
    (version,) = DEFINITIONS[kind]["spec"]["versions"]
    found: dict[str, Any] = version
    return found


def schema_of(kind: str) -> dict[str, Any]:
    """The schema of whole objects of a kind."""
    schema: dict[str, Any] = version_of(kind)["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of a schema with its path."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            yield from nodes(schema[keyword], f"{path}[]")


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_every_node_has_one_type_and_nothing_that_chooses(kind: str) -> None:
    for path, node in nodes(schema_of(kind)):
        assert "type" in node or node.get("x-kubernetes-int-or-string"), path
        assert not FORBIDDEN & node.keys(), path
        assert not ("properties" in node and "additionalProperties" in node), path


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_every_rule_says_what_to_write_instead(kind: str) -> None:
    rules = [rule for _, node in nodes(schema_of(kind)) for rule in node.get("x-kubernetes-validations", [])]
    assert all(rule["rule"] and len(rule["message"]) > 20 and "\n" not in rule["message"] for rule in rules)


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_names_are_those_by_which_the_operator_asks(kind: str) -> None:
    (known,) = [own for own in OWN_KINDS if own.name == kind]
    definition = DEFINITIONS[kind]
    assert definition["metadata"]["name"] == f"{known.plural}.{known.group}"
    assert definition["spec"]["group"] == known.group
    assert version_of(kind)["name"] == known.version
    assert definition["spec"]["names"]["plural"] == known.plural
    assert definition["spec"]["names"]["categories"] == ["keelway"]
    assert definition["spec"]["scope"] == "Namespaced"


def test_there_is_a_definition_of_every_kind() -> None:
    assert DEFINITIONS.keys() == {kind.name for kind in OWN_KINDS}


@pytest.mark.parametrize("resource", SHORTEST, ids=lambda resource: resource.__name__)
def test_stored_defaults_are_those_of_the_model(resource: type[Resource]) -> None:
    spec = SHORTEST[resource]
    stored = fill(schema_of(resource.__name__)["properties"]["spec"], spec)
    model: Any = resource.model_validate({"metadata": {"name": "churn"}, "spec": spec})
    assert stored == model.spec.to_json()


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_status_starts_unobserved_and_is_otherwise_left_to_its_writer(kind: str) -> None:
    status = schema_of(kind)["properties"]["status"]
    defaults = {path for path, node in nodes(status) if "default" in node}
    assert status["default"] == {"observedGeneration": -1}
    assert defaults == {"", ".observedGeneration"}
    assert version_of(kind)["subresources"] == {"status": {}}


@pytest.mark.parametrize("kind", ["DatasetVersion", "ModelVersion"])
def test_spec_of_a_record_is_immutable(kind: str) -> None:
    rules = schema_of(kind)["properties"]["spec"]["x-kubernetes-validations"]
    assert "self == oldSelf" in [rule["rule"] for rule in rules]


@pytest.mark.parametrize("kind", ["Dataset", "Experiment", "ModelDeployment"])
def test_intent_can_change(kind: str) -> None:
    rules = schema_of(kind)["properties"]["spec"].get("x-kubernetes-validations", [])
    assert "self == oldSelf" not in [rule["rule"] for rule in rules]


@pytest.mark.parametrize(
    ("kind", "short_name", "columns"),
    [
        ("Dataset", "dset", "Version Digest Rows Size Valid Drift Ready Reason Age"),
        ("DatasetVersion", "dsetv", "Dataset Version Rows Change Schema-Change Valid Age"),
        ("Experiment", "exper", "Run Trials Best Metric Model Ready Reason Age"),
        ("ModelVersion", "modelv", "Model Version Metric Experiment Dataset State Age"),
        ("ModelDeployment", "mdeploy", "Live Candidate Phase Step Weight URL Ready Reason Age"),
    ],
)
def test_columns_and_short_name(kind: str, short_name: str, columns: str) -> None:
    shown = [column for column in version_of(kind)["additionalPrinterColumns"] if not column.get("priority")]
    assert " ".join(column["name"] for column in shown) == columns
    assert DEFINITIONS[kind]["spec"]["names"]["shortNames"] == [short_name]


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_columns_point_at_fields_of_the_schema(kind: str) -> None:
    known = {path.replace("[]", "") for path, _ in nodes(schema_of(kind))}
    for column in version_of(kind)["additionalPrinterColumns"]:
        path = column["jsonPath"].split("[?(")[0].replace("[0]", "")
        assert path in known or path.startswith(".metadata."), column
