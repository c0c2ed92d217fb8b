"""What the pages of the documentation hold: tables, names in code, whole objects."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from dev.places import ROOT
from keelway.api.kinds import Kind

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
PAGE_OF = {
    "Dataset": "datasets.md",
    "Experiment": "experiments.md",
    "ModelDeployment": "model-deployments.md",
    "DatasetVersion": "dataset-versions.md",
    "ModelVersion": "model-versions.md",
}


def named_in_first_column(table: str) -> set[str]:
    """Words in code in the first column of a table."""
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def schema_of(kind: Kind) -> dict[str, Any]:
    """The schema of a kind as its CRD has it: spec, status."""
    crd = yaml.safe_load((ROOT / "crds" / f"{kind.group}_{kind.plural}.yaml").read_text())
    (version,) = crd["spec"]["versions"]
    properties: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]
    return properties


def fields_below(schema: dict[str, Any]) -> Iterator[str]:
    """Names of all fields, those of list items too."""
    for name, part in schema.get("properties", {}).items():
        yield name
        yield from fields_below(part)
    if "items" in schema:
        yield from fields_below(schema["items"])


def unnamed(fields: set[str], page: Path) -> list[str]:
    """Fields that no code on a page names."""
    code = " ".join(re.findall(r"`[^`\n]+`|```.*?```", page.read_text(), re.DOTALL))
    return sorted(field for field in fields if not re.search(rf"\b{field}\b", code))


def objects_on(page: Path) -> Iterator[dict[str, Any]]:
    """Whole objects of Keelway's kinds that a page shows."""
    for block in re.findall(r"^```yaml\n(apiVersion: keelway.dev.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        yield yaml.safe_load(block)
