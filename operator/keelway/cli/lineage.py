"""The chain from a live model down to the bytes of its data, built from the records alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from keelway.api.base import Manifest
from keelway.api.dataset import Dataset
from keelway.api.dataset_version import DatasetVersion, DerivedFrom
from keelway.api.digests import short
from keelway.api.gates import Approved
from keelway.api.kinds import Key
from keelway.api.model_deployment import Deployed, ModelDeployment
from keelway.api.model_version import Evaluation, ModelInput, ModelVersion, Origin

Lookup: TypeAlias = Callable[[Key], Manifest | None]
Fact: TypeAlias = tuple[str, str]

TARGETS = {
    "modeldeployment": "ModelDeployment",
    "mdeploy": "ModelDeployment",
    "modelversion": "ModelVersion",
    "modelv": "ModelVersion",
    "dataset": "Dataset",
    "dset": "Dataset",
    "datasetversion": "DatasetVersion",
    "dsetv": "DatasetVersion",
}
"""What can be traced, by the names that people type."""
SEVERAL = ("history", "evaluated")
"""Facts that a link can have several of; newest first."""


@dataclass(frozen=True)
class Lineage:
    """One link of the chain with what is known of it, and the links that it was made from."""

    kind: str
    name: str
    facts: tuple[Fact, ...] = ()
    origins: tuple[Lineage, ...] = ()
    missing: str = ""
    """Why the chain ends here although it should go on; empty when all is there."""

    def links(self) -> Iterator[Lineage]:
        """This link and all below it, depth first."""
        yield self
        for origin in self.origins:
            yield from origin.links()

    def to_json(self) -> dict[str, Any]:
        """The chain as JSON: kind, name, facts, missing where it ends early, origins. Facts that there can be several
        of are lists."""
        end = {"missing": self.missing} if self.missing else {}
        origins = [origin.to_json() for origin in self.origins]
        return {"kind": self.kind, "name": self.name, "facts": _by_label(self.facts), **end, "origins": origins}


def trace(target: Key, lookup: Lookup) -> Lineage:
    """Where `target` comes from. A record that is gone ends its branch and says so."""
    found = lookup(target)
    if found is None:
        return Lineage(target.kind, target.name, missing="there is no such object")
    return _TRACERS[target.kind](found, lookup)


def _deployment(found: Manifest, lookup: Lookup) -> Lineage:
    deployment = ModelDeployment.model_validate(found)
    live = deployment.status.live
    if live is None:
        return Lineage("ModelDeployment", deployment.name, missing=f"nothing is live yet{_readiness(deployment)}")
    owner = deployment.spec.owner
    facts = (
        ("live", f"version {live.version} with {live.weight} % of the traffic since {live.since}"),
        ("url", deployment.status.url),
        ("owner", " ".join(word for word in (owner.team, owner.contact) if word)),
        ("approved", _approval(deployment)),
        *(("history", _told(line)) for line in deployment.status.history),
    )
    origin = trace(Key("ModelVersion", deployment.namespace, live.name), lookup)
    return Lineage("ModelDeployment", deployment.name, _known(facts), (origin,))


def _approval(deployment: ModelDeployment) -> str:
    """Who let the live version through; empty where that is not known any more."""
    lines = (line for line in deployment.status.history if line.to is None and line.outcome == "Promoted")
    line = next(lines, None)
    if line and line.approved:
        return _given(line.approved)
    return "automatically" if line and deployment.spec.approval.mode == "Automatic" else ""


def _given(approved: Approved) -> str:
    by = f" by {approved.by}" if approved.by else ""
    return f"{approved.value!r}{by} at {approved.at}"


def _told(line: Deployed) -> str:
    """One line of the history, in words."""
    ended = f" until {line.to}" if line.to else ""
    why = ": ".join(word for word in (line.reason, line.message) if word)
    by = f"; approved {_given(line.approved)}" if line.approved else ""
    return f"version {line.version} {line.outcome} from {line.from_}{ended}{': ' if why else ''}{why}{by}"


def _readiness(resource: ModelDeployment | Dataset) -> str:
    ready = resource.status.condition("Ready")
    return f": {ready.reason}, {ready.message}" if ready else ""


def _model(found: Manifest, lookup: Lookup) -> Lineage:
    model = ModelVersion.model_validate(found)
    spec = model.spec
    facts = (
        ("digest", spec.artifact.digest),
        ("bytes", f"{spec.artifact.bytes} in {spec.artifact.files} files at {spec.artifact.uri}"),
        ("format", " ".join(word for word in (spec.artifact.format.name, spec.artifact.format.version) if word)),
        ("metrics", pairs(spec.metrics)),
        *(("evaluated", _evaluated(one)) for one in reversed(model.status.evaluations)),
        ("recorded", model.metadata.creation_timestamp),
    )
    inputs = tuple(_input(one, model.namespace, lookup) for one in spec.inputs)
    return Lineage("ModelVersion", model.name, _known(facts), (_run(spec.produced_by, inputs),))


def _evaluated(one: Evaluation) -> str:
    """What a gate's evaluator found, and on which rows."""
    split = f" split {one.split}" if one.split else ""
    return f"{pairs(one.metrics)} on {one.dataset_version}{split}, evaluator {one.evaluator}"


def _run(origin: Origin, inputs: tuple[Lineage, ...]) -> Lineage:
    if origin.external:
        return Lineage("External", origin.external.system, _known((("uri", origin.external.uri),)), inputs)
    facts = (
        ("run", f"{origin.run}, hash {short(origin.run_hash)}, best trial {origin.trial}"),
        ("parameters", pairs(origin.parameters)),
        ("seed", str(origin.seed)),
        ("image", origin.image),
        ("image digest", origin.image_id),
    )
    return Lineage("Experiment", origin.experiment, _known(facts), inputs)


def _input(one: ModelInput | DerivedFrom, namespace: str, lookup: Lookup) -> Lineage:
    origin = trace(Key("DatasetVersion", namespace, one.dataset_version), lookup)
    split = one.split if isinstance(one, ModelInput) else ""
    read = (("read as", one.name), ("split", split), ("digest", one.digest))
    if origin.missing:
        return Lineage(origin.kind, origin.name, _known(read), missing="its record was deleted")
    own = tuple(fact for fact in origin.facts if fact[0] != "digest")
    return Lineage(origin.kind, origin.name, (*_known(read), *own), origin.origins)


def _dataset(found: Manifest, lookup: Lookup) -> Lineage:
    dataset = Dataset.model_validate(found)
    good, owner = dataset.status.last_good, dataset.spec.owner
    if good is None:
        return Lineage("Dataset", dataset.name, missing=f"consumers get nothing yet{_readiness(dataset)}")
    facts = (
        ("consumers", f"get version {good.version}"),
        ("owner", " ".join(word for word in (owner.team, owner.contact) if word)),
    )
    origin = trace(Key("DatasetVersion", dataset.namespace, good.name), lookup)
    return Lineage("Dataset", dataset.name, _known(facts), (origin,))


def _dataset_version(found: Manifest, lookup: Lookup) -> Lineage:
    version = DatasetVersion.model_validate(found)
    spec = version.spec
    facts = (
        ("digest", spec.digest),
        ("dataset", f"{spec.dataset.name} version {spec.version}"),
        ("rows", " ".join([str(spec.rows), *(f"{split.name}={split.rows}" for split in spec.splits)])),
        ("schema", f"{spec.schema_.total or len(spec.schema_.columns)} columns, {short(spec.schema_.digest)}"),
        ("verdict", version.status.verdict),
        ("recorded", version.metadata.creation_timestamp),
    )
    origin = _derivation(version, lookup) if spec.derived_from else Lineage("Source", spec.source.uri, _files(version))
    return Lineage("DatasetVersion", version.name, _known(facts), (origin,))


def _derivation(version: DatasetVersion, lookup: Lookup) -> Lineage:
    """What made the version of others; its name is that of the directory with the files."""
    spec = version.spec
    made = (("code", spec.derivation.code), ("hash", spec.derivation.hash)) if spec.derivation else ()
    facts = (*made, ("written to", spec.source.uri), *_files(version))
    inputs = tuple(_input(one, version.namespace, lookup) for one in spec.derived_from)
    return Lineage("Derivation", short(spec.derivation.hash) if spec.derivation else "", _known(facts), inputs)


def _files(version: DatasetVersion) -> tuple[Fact, ...]:
    source, manifest = version.spec.source, version.spec.manifest
    return _known(
        (
            ("endpoint", source.access.endpoint),
            ("revision", source.revision),
            ("format", source.format),
            ("files", f"{manifest.files} files, {manifest.bytes} bytes"),
            ("manifest", f"sha256:{manifest.sha256}"),
        )
    )


def _by_label(facts: tuple[Fact, ...]) -> dict[str, str | list[str]]:
    single: dict[str, str | list[str]] = {label: value for label, value in facts if label not in SEVERAL}
    several = {label: [value for known, value in facts if known == label] for label in SEVERAL}
    return single | {label: values for label, values in several.items() if values}


def _known(facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
    return tuple((label, value) for label, value in facts if value)


def pairs(values: Mapping[str, Any]) -> str:
    """`name=value` of each."""
    return ", ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items()
    )


_TRACERS: dict[str, Callable[[Manifest, Lookup], Lineage]] = {
    "ModelDeployment": _deployment,
    "ModelVersion": _model,
    "Dataset": _dataset,
    "DatasetVersion": _dataset_version,
}
