"""Objects against the CRDs as the API server reads them, without one."""

from typing import Any

import jsonschema
import yaml

from dev.places import ROOT

Manifest = dict[str, Any]


def validator(kind: str) -> jsonschema.Draft4Validator:
    """Checks objects of a kind by its CRD; CRDs write exclusive bounds as draft 4 does."""
    crds = [yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("*.yaml")]
    (schema,) = [
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for crd in crds if crd["spec"]["names"]["kind"] == kind
    ]
    return jsonschema.Draft4Validator(closed(schema))


def closed(schema: Manifest) -> Manifest:
    """The schema as the API server prunes by it: what it does not name is refused."""
    inner = {name: closed(part) for name, part in schema.get("properties", {}).items()}
    items = {"items": closed(schema["items"])} if "items" in schema else {}
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or not inner
    return {**schema, **items, "properties": inner, **({} if open_ended else {"additionalProperties": False})}
