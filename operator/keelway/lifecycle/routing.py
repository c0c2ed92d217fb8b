"""Which resources a change concerns.

An object *speaks about* its subjects: itself, whom it was made for, and what it is a version of. A resource *refers to*
what its decision reads. A change of an object wakes the resources that it speaks about and those that refer to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from keelway.api.base import Manifest
from keelway.api.kinds import KINDS, Key
from keelway.api.resource import FOR_ANNOTATION
from keelway.lifecycle.uris import ancestors, normal
from keelway.manifests.serving import ISVC_LABEL

MODEL = "Model"
"""Not a kind of the API server: the name under which ModelVersions stand in the catalogue."""
MODEL_NUMBER = "ModelNumber"
"""Nor is this: `<model>/<number>`, by which a ModelDeployment pins a ModelVersion."""
DIRECTORY, ARTIFACT = "Directory", "Artifact"
"""Nor are these: every directory that an artifact lies in or is, and the one that it is."""

ATTRIBUTED: Mapping[str, tuple[str, ...]] = {"ModelDeployment": ("spec", "approval", "approved")}
"""Fields, by kind, of which a decision wants to know who set them."""


def subjects(manifest: Manifest) -> frozenset[Key]:
    """What an object speaks about."""
    return frozenset(_subjects(manifest))


def references(manifest: Manifest) -> frozenset[Key]:
    """What a resource's decision reads."""
    find = _REFERENCES.get(manifest["kind"])
    return frozenset(find(manifest)) if find else frozenset()


def _subjects(manifest: Manifest) -> Iterator[Key]:
    metadata = manifest["metadata"]
    namespace = metadata.get("namespace", "")
    yield Key(manifest["kind"], namespace, metadata["name"])
    kind, _, name = metadata.get("annotations", {}).get(FOR_ANNOTATION, "").partition("/")
    if kind in KINDS and name:
        yield Key(kind, namespace, name)
    for owner in metadata.get("ownerReferences", []):
        if owner.get("controller") and owner.get("kind") in KINDS:
            yield Key(owner["kind"], namespace, owner["name"])
    if server := metadata.get("labels", {}).get(ISVC_LABEL):
        yield Key("InferenceService", namespace, server)
    if find := _SUBJECTS.get(manifest["kind"]):
        yield from find(manifest)


def _dataset_of_version(manifest: Manifest) -> Iterator[Key]:
    yield Key("Dataset", manifest["metadata"]["namespace"], manifest["spec"]["dataset"]["name"])


def _inputs_of_dataset(manifest: Manifest) -> Iterator[Key]:
    for given in (manifest["spec"].get("derive") or {}).get("inputs", []):
        yield Key("Dataset", manifest["metadata"]["namespace"], given["dataset"])


def _reads_of_version(manifest: Manifest) -> Iterator[Key]:
    yield from _dataset_of_version(manifest)
    for read in manifest["spec"].get("derivedFrom", []):
        yield Key("DatasetVersion", manifest["metadata"]["namespace"], read["datasetVersion"])


def _model_of_version(manifest: Manifest) -> Iterator[Key]:
    namespace, spec = manifest["metadata"]["namespace"], manifest["spec"]
    yield Key(MODEL, namespace, spec["model"])
    if experiment := spec.get("producedBy", {}).get("experiment"):
        yield Key("Experiment", namespace, experiment)
    if uri := spec.get("artifact", {}).get("uri"):
        yield Key(ARTIFACT, namespace, normal(uri))
        yield from (Key(DIRECTORY, namespace, directory) for directory in (normal(uri), *ancestors(uri)))


def _held_by_deployment(manifest: Manifest) -> Iterator[Key]:
    """The versions that serve, start, soak, or did serve and may again, and the one that is pinned."""
    namespace, status, model = manifest["metadata"]["namespace"], manifest.get("status", {}), manifest["spec"]["model"]
    held = [status.get("live"), status.get("candidate"), status.get("soaking"), *status.get("history", [])]
    yield from (Key("ModelVersion", namespace, version["name"]) for version in held if version)
    if pin := model.get("version"):
        yield Key(MODEL_NUMBER, namespace, f"{model['name']}/{pin}")


def _read_by_experiment(manifest: Manifest) -> Iterator[Key]:
    namespace = manifest["metadata"]["namespace"]
    for given in manifest["spec"].get("datasets", []):
        yield Key("Dataset", namespace, given["dataset"])
    for read in (manifest.get("status", {}).get("run") or {}).get("datasets", []):
        yield Key("DatasetVersion", namespace, read["datasetVersion"])
    models = (manifest["spec"].get("reproduce"), (manifest.get("status", {}).get("model") or {}).get("name"))
    yield from (Key("ModelVersion", namespace, name) for name in models if name)


def _read_by_model(manifest: Manifest) -> Iterator[Key]:
    namespace, spec = manifest["metadata"]["namespace"], manifest["spec"]
    yield Key(MODEL_NUMBER, namespace, f"{spec['model']}/{spec['version']}")
    for given in spec.get("inputs", []):
        yield Key("DatasetVersion", namespace, given["datasetVersion"])


def _read_by_deployment(manifest: Manifest) -> Iterator[Key]:
    namespace, spec = manifest["metadata"]["namespace"], manifest["spec"]
    yield Key(MODEL, namespace, spec["model"]["name"])
    for gate in spec.get("gates", []):
        yield Key("Dataset", namespace, gate["dataset"]["dataset"])
    for result in (manifest.get("status", {}).get("candidate") or {}).get("gates", []):
        if version := result.get("datasetVersion"):
            yield Key("DatasetVersion", namespace, version)


_SUBJECTS: Mapping[str, Callable[[Manifest], Iterator[Key]]] = {
    "DatasetVersion": _dataset_of_version,
    "ModelVersion": _model_of_version,
    "ModelDeployment": _held_by_deployment,
}
_REFERENCES: Mapping[str, Callable[[Manifest], Iterator[Key]]] = {
    "Dataset": _inputs_of_dataset,
    "DatasetVersion": _reads_of_version,
    "Experiment": _read_by_experiment,
    "ModelVersion": _read_by_model,
    "ModelDeployment": _read_by_deployment,
}
