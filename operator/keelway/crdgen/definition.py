"""One CustomResourceDefinition for each kind of the API."""

from __future__ import annotations

from pydantic import BaseModel

from keelway.api import GROUP, VERSION
from keelway.api.base import VALIDATIONS, Manifest
from keelway.api.dataset import Dataset
from keelway.api.dataset_version import DatasetVersion
from keelway.api.experiment import Experiment
from keelway.api.kinds import KINDS
from keelway.api.model_deployment import ModelDeployment
from keelway.api.model_version import ModelVersion
from keelway.api.resource import PrinterColumn, Resource
from keelway.crdgen.schema import Schema, structural_schema

CATEGORY = "keelway"
RESOURCES: tuple[type[Resource], ...] = (Dataset, DatasetVersion, Experiment, ModelVersion, ModelDeployment)


def custom_resource_definition(resource: type[Resource]) -> Manifest:
    """The CRD of one kind: served and stored as v1alpha1, status written apart from spec."""
    kind = KINDS[resource.__name__]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "categories": [CATEGORY],
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "shortNames": list(resource.short_names),
                "singular": kind.name.lower(),
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [printer_column(column) for column in resource.columns],
                    "schema": {"openAPIV3Schema": root_schema(resource)},
                }
            ],
        },
    }


def printer_column(column: PrinterColumn) -> Manifest:
    """One column of `kubectl get`."""
    shown: Manifest = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return {**shown, "priority": column.priority} if column.priority else shown


def root_schema(resource: type[Resource]) -> Schema:
    """The schema of a whole object. Its metadata belongs to the API server."""
    schema = structural_schema(resource)
    rules = resource.rules.validations
    return {
        "description": schema["description"],
        "type": "object",
        "required": ["spec"],
        **({VALIDATIONS: list(rules)} if rules else {}),
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": schema["properties"]["spec"],
            "status": status_schema(_class_of(resource, "status")),
        },
    }


def status_schema(status: type[BaseModel]) -> Schema:
    """A status. kstatus: before anybody looked, `observedGeneration` is -1 and not absent, so that tools wait."""
    schema = structural_schema(status, defaults=False)
    schema["default"] = {"observedGeneration": -1}
    schema["properties"]["observedGeneration"]["default"] = -1
    return schema


def _class_of(resource: type[Resource], field: str) -> type[BaseModel]:
    annotation = resource.model_fields[field].annotation
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        raise TypeError(f"{resource.__name__}.{field} is not a model")
    return annotation
