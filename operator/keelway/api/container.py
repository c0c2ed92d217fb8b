"""A container of the user's that serves: a Kubernetes Container that stays as written, but for what goes wrong."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import WithJsonSchema

from keelway.api.base import cel, rules

_OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_TEXTS = {"type": "array", "items": {"type": "string"}}
_OBJECTS = {"type": "array", "items": _OPEN}
_PORT = {**_OPEN, "properties": {"containerPort": {"type": "integer"}}}
_NEEDS_IMAGE: dict[str, dict[str, Any]] = {
    "name": {"type": "string"},
    "command": _TEXTS,
    "args": _TEXTS,
    "env": _OBJECTS,
    "ports": {"type": "array", "maxItems": 16, "items": _PORT},
    "resources": _OPEN,
    "volumeMounts": _OBJECTS,
}
"""What says nothing without an image."""

CONTAINER_RULES = rules(
    cel(
        f"has(self.image) || !({' || '.join(f'has(self.{field})' for field in _NEEDS_IMAGE)})",
        "a container needs an image, for example {image: REGISTRY/NAME:TAG}",
    ),
    cel(
        "!has(self.ports) || self.ports.size() == 0"
        " || has(self.ports[0].containerPort) && self.ports[0].containerPort == 8080",
        "the first of a container's ports takes the requests and must be containerPort: 8080, as it is where none is"
        " stated",
    ),
)
_SCHEMA = {**_OPEN, "properties": {"image": {"type": "string", "minLength": 1, "maxLength": 1024}, **_NEEDS_IMAGE}}

ServerContainer = Annotated[dict[str, Any], WithJsonSchema(_SCHEMA), CONTAINER_RULES]
"""A Container as JSON; `{}` is none. KServe and Kubernetes check the rest of it."""
