"""The CRDs as the API server holds objects to them: what the schema refuses, and what it would silently drop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft4Validator

from keelway.api.base import Manifest
from keelway.api.kinds import KINDS

CRDS = Path(__file__).parents[3] / "crds"


@cache
def schema_of(kind: str) -> Mapping[str, Any]:
    """The structural schema of one of our kinds."""
    definition = yaml.safe_load((CRDS / f"{KINDS[kind].group}_{KINDS[kind].plural}.yaml").read_text())
    schema: Mapping[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


@cache
def _validator(kind: str) -> Draft4Validator:
    # OpenAPI v3.0 has draft 4's boolean exclusiveMinimum.
    return Draft4Validator(schema_of(kind))


def refusals(manifest: Manifest) -> Iterator[str]:
    """What the API server would refuse or drop of an object; a dropped status field would be written again for ever."""
    kind = manifest["kind"]
    for error in _validator(kind).iter_errors(manifest):
        yield f"{error.json_path}: {error.message[:200]}"
    for part in ("spec", "status"):
        yield from (
            f"{path} is dropped" for path in _dropped(manifest.get(part), schema_of(kind)["properties"][part], part)
        )


def _dropped(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _dropped(item, schema.get("items", {}), f"{path}[]")
    if not isinstance(value, Mapping) or schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    others = schema.get("additionalProperties")
    for name, inner in value.items():
        known = schema.get("properties", {}).get(name, others)
        if known is None:
            yield f"{path}.{name}"
        else:
            yield from _dropped(inner, known, f"{path}.{name}")
