"""Who needs a ModelVersion: what retention must leave alone."""

from __future__ import annotations

from collections.abc import Iterator

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.api.model_version import ModelVersion
from keelway.lifecycle.plan import Observed
from keelway.lifecycle.routing import ARTIFACT, DIRECTORY, MODEL, MODEL_NUMBER
from keelway.lifecycle.uris import ancestors, normal


def held_by(version: ModelVersion, seen: Observed) -> str:
    """Who needs a model, in words; empty when nobody does."""
    return next(_holders(version, seen), "")


def _holders(version: ModelVersion, seen: Observed) -> Iterator[str]:
    namespace, spec = version.namespace, version.spec
    if _is_newest(version, seen):
        yield f"it is the newest version of model {spec.model}"
    pin = Key(MODEL_NUMBER, namespace, f"{spec.model}/{spec.version}")
    for found in (*seen.about(version.key, "ModelDeployment"), *seen.about(pin, "ModelDeployment")):
        yield f"ModelDeployment {found['metadata']['name']} serves it, did, or names it"
    for found in seen.referrers(version.key, "Experiment"):
        yield f"Experiment {found['metadata']['name']} names it"
    for found in sharing(version, seen):
        yield f"ModelVersion {found['metadata']['name']} has files in the same directory"


def _is_newest(version: ModelVersion, seen: Observed) -> bool:
    """Whether no later version of the model is here to stay."""
    found = seen.about(Key(MODEL, version.namespace, version.spec.model), "ModelVersion")
    return not any(other["spec"]["version"] > version.spec.version and _stays(other) for other in found)


def _stays(manifest: Manifest) -> bool:
    return not manifest["metadata"].get("deletionTimestamp") and not manifest.get("status", {}).get("swept")


def sharing(version: ModelVersion, seen: Observed) -> list[Manifest]:
    """Other ModelVersions whose artifact is the same directory, lies in it, or holds it."""
    return in_or_around(version.spec.artifact.uri, version.namespace, seen, but=version.name)


def in_or_around(uri: str, namespace: str, seen: Observed, *, but: str) -> list[Manifest]:
    """ModelVersions, but the one of this name, whose artifact is a directory, lies in it, or holds it."""
    inside = seen.about(Key(DIRECTORY, namespace, normal(uri)), "ModelVersion")
    around = [m for above in ancestors(uri) for m in seen.about(Key(ARTIFACT, namespace, above), "ModelVersion")]
    return [manifest for manifest in (*inside, *around) if manifest["metadata"]["name"] != but]
