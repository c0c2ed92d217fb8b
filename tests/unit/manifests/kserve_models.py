"""Says what KServe's own client has against InferenceServices: a list of them on stdin, a list of lists on stdout.

Runs in an environment that has `kserve`, apart from the tests. A field that the models do not know, a value of another
type, and a value that a model's constructor refuses are each one line.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

KSERVE, KUBERNETES = importlib.import_module("kserve.models"), importlib.import_module("kubernetes.client")
NATIVE: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def problems(value: Any, type_: str, path: str) -> Iterator[str]:
    """What is wrong with a value that should be of this type of the models."""
    if of := re.fullmatch(r"list\[(.*)\]", type_):
        for number, item in enumerate(value):
            yield from problems(item, of[1], f"{path}[{number}]")
    elif of := re.fullmatch(r"dict\([^,]*, (.*)\)", type_):
        for name, item in value.items():
            yield from problems(item, of[1], f"{path}.{name}")
    elif type_ in NATIVE:
        if not isinstance(value, NATIVE[type_]) or (type_ != "bool" and isinstance(value, bool)):
            yield f"{path}: {value!r} is no {type_}"
    else:
        yield from _of_model(value, type_, path)


def _of_model(value: Any, type_: str, path: str) -> Iterator[str]:
    own = getattr(KSERVE, type_, None)
    if own is None or not own.__module__.startswith("kserve."):
        yield from _of_kubernetes(value, getattr(KUBERNETES, type_, None), path)
        return
    fields = {own.attribute_map[name]: (name, of) for name, of in own.openapi_types.items()}
    yield from (f"{path}: {type_} has no {field}" for field in value.keys() - fields.keys())
    known = {field: inner for field, inner in value.items() if field in fields}
    for field, inner in known.items():
        yield from problems(inner, fields[field][1], f"{path}.{field}")
    try:
        own(**{fields[field][0]: inner for field, inner in known.items()})
    except ValueError as error:
        yield f"{path}: {error}"


def _of_kubernetes(value: Any, model: Any, path: str) -> Iterator[str]:
    """Kubernetes' models leave out what they do not know."""
    if model is None or not isinstance(value, dict):
        return
    try:
        kept = model.from_dict(value).model_dump(mode="json", by_alias=True, exclude_none=True)
    except ValueError as error:
        yield f"{path}: {error}"
        return
    if kept != value:
        yield f"{path}: of {value} the model keeps {kept}"


if __name__ == "__main__":
    json.dump([[*problems(one, "V1beta1InferenceService", "")] for one in json.load(sys.stdin)], sys.stdout)
