"""The user's pod template: a PodTemplateSpec that stays as written; the schema knows the parts that go wrong."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import WithJsonSchema

from keelway.api.base import cel, rules

MAX_CONTAINERS = 16
OURS = ("stage", "collect", "record", "measure")
EXAMPLE = "template: {spec: {containers: [{name: train, image: REGISTRY/NAME:TAG}]}}"


def _open(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": properties}


def _list(items: dict[str, Any], limit: int) -> dict[str, Any]:
    return {"type": "array", "maxItems": limit, "items": items}


_NAME = {"type": "string", "maxLength": 63}
_MOUNTS = _list(_open(mountPath={"type": "string", "maxLength": 512}), 32)
_CONTAINERS = _list(
    _open(name=_NAME, image={"type": "string", "maxLength": 1024}, volumeMounts=_MOUNTS), MAX_CONTAINERS
)
_SPEC = _open(containers=_CONTAINERS, initContainers=_CONTAINERS, volumes=_list(_open(name=_NAME), 64))

TEMPLATE_RULES = rules(
    cel(
        "has(self.spec) && has(self.spec.containers) && self.spec.containers.size() > 0",
        f"template must be a pod template with spec.containers, for example {EXAMPLE}",
    ),
    cel(
        "!has(self.spec) || !has(self.spec.containers) || self.spec.containers.all(c, has(c.name) && has(c.image))",
        f"every container needs a name and an image, for example {EXAMPLE}",
    ),
    *(
        cel(
            f"!has(self.spec) || !has(self.spec.{containers})"
            f" || !self.spec.{containers}.exists(c, has(c.name) && c.name in {list(OURS)})",
            f"a container may not be named {', '.join(OURS)}: Keelway adds containers of these names: rename it",
        )
        for containers in ("containers", "initContainers")
    ),
    *(
        cel(
            f"!has(self.spec) || !has(self.spec.{containers}) || !self.spec.{containers}.exists(c, has(c.volumeMounts)"
            " && c.volumeMounts.exists(m, has(m.mountPath) && (m.mountPath + '/').startsWith('/keelway/')))",
            "a mount below /keelway hides what Keelway puts there: mount it elsewhere",
        )
        for containers in ("containers", "initContainers")
    ),
    cel(
        "!has(self.spec) || !has(self.spec.volumes)"
        " || !self.spec.volumes.exists(v, has(v.name) && v.name.startsWith('keelway-'))",
        "volumes that begin with keelway- are Keelway's: rename yours",
    ),
)

PodTemplate = Annotated[dict[str, Any], WithJsonSchema(_open(metadata=_open(), spec=_SPEC)), TEMPLATE_RULES]
"""A PodTemplateSpec as JSON. Kubernetes checks the rest of it when the Job is made."""
