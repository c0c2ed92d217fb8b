"""What must hold of the whole cluster after every single change, whoever made it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from keelway.api.base import Manifest
from keelway.api.dataset_version import DatasetVersion
from keelway.api.kinds import OWN_KINDS, Key
from keelway.api.reasons import Reason
from keelway.engine.objects import controller, key_of
from keelway.lifecycle.experiment.trials import FINAL, facts, rows_of
from keelway.lifecycle.routing import subjects
from keelway.manifests.derive_job import DERIVATION_ANNOTATION
from keelway.manifests.trial_job import RUN_ANNOTATION
from tests.property.engine.memory_api import Happened
from tests.property.lifecycle.cluster_api import ClusterApi
from tests.property.lifecycle.lake import Lake

STATUS_BYTES = 16 * 1024
OWN = frozenset(kind.name for kind in OWN_KINDS)


@dataclass
class Oracles:
    """Watches every change; `broken` collects what should not have happened."""

    api: ClusterApi
    lake: Lake
    broken: list[str] = field(default_factory=list)
    statuses: dict[Key, Manifest] = field(default_factory=dict)

    def heard(self, happened: Happened) -> None:
        """Judge one change."""
        manifest, kind = happened.manifest, happened.manifest["kind"]
        if happened.type == "DELETED":
            self.statuses.pop(key_of(manifest), None)
        elif kind in OWN:
            self._status(manifest)
            if (kind, happened.type) == ("ModelVersion", "ADDED"):
                self._model_is_there(manifest)
        elif kind == "Job" and happened.type == "ADDED":
            self._job_begins(manifest)

    def _status(self, manifest: Manifest) -> None:
        key, status = key_of(manifest), manifest.get("status")
        if status is None:
            return
        before = self.statuses.get(key, {})
        self.statuses[key] = status
        self.broken += [f"{key}: {wrong}" for wrong in wrongs(manifest, before)]
        if key.kind == "Dataset":
            self._consumers_get(key, before.get("lastGood"), status.get("lastGood"))

    def _consumers_get(self, dataset: Key, before: Manifest | None, now: Manifest | None) -> None:
        """A version that is good, or the one that they had."""
        if now is None or now == before:
            return
        version = self.api.objects.get(Key("DatasetVersion", dataset.namespace, now["name"]))
        verdict = (version.manifest.get("status") or {}).get("verdict") if version else "missing"
        if verdict != "Valid":
            self.broken.append(f"{dataset}: consumers moved to {now['name']}, which is {verdict or 'not judged'}")

    def _job_begins(self, job: Manifest) -> None:
        annotations = job["metadata"].get("annotations", {})
        if RUN_ANNOTATION in annotations:
            self._trial_begins(job)
        elif DERIVATION_ANNOTATION in annotations:
            self._derivation_begins(job, annotations[DERIVATION_ANNOTATION])

    def _derivation_begins(self, job: Manifest, derivation: str) -> None:
        """No second Job for a derivation whose result is kept."""
        owner = next(key for key in subjects(job) if key.kind == "Dataset")
        for key, stored in self.api.objects.items():
            if key.kind != "DatasetVersion" or owner not in subjects(stored.manifest):
                continue
            version = DatasetVersion.model_validate(stored.manifest)
            whole = all(part in self.api.objects for part in version.files_keys)
            made = version.spec.derivation
            if whole and made and made.hash == derivation and version.spec.dataset.uid == controller(job)["uid"]:
                self.broken.append(f"{job['metadata']['name']} was made although {key.name} keeps its result")

    def _trial_begins(self, job: Manifest) -> None:
        """No second Job for a verdict that is recorded."""
        said, tag = facts(job), job["metadata"]["annotations"][RUN_ANNOTATION]
        owner = next(key for key in subjects(job) if key.kind == "Experiment")
        pages = (rows_of(table) for table in self._tables(owner) if f"-trials-{tag[:8]}" in table["metadata"]["name"])
        row = next((rows[said.number] for rows in pages if said.number in rows), None)
        if row and (row.state in FINAL or row.attempt > said.attempt):
            self.broken.append(f"{job['metadata']['name']} was made although its verdict is recorded: {row}")

    def _tables(self, experiment: Key) -> Iterator[Manifest]:
        for key, stored in self.api.objects.items():
            if key.kind == "ConfigMap" and experiment in subjects(stored.manifest):
                yield stored.manifest

    def _model_is_there(self, model: Manifest) -> None:
        """A model that a run made is recorded while its bytes are there."""
        uri = model["spec"]["artifact"]["uri"]
        if model["spec"].get("producedBy", {}).get("experiment") and uri not in self.lake.models:
            self.broken.append(f"{model['metadata']['name']} was recorded although {uri} is not there")

    def lost(self, uri: str) -> None:
        """A model is about to be deleted from the lake: nobody may need it."""
        self.broken += [f"{uri} was deleted although {whose}" for whose in self._needed(uri)]

    def _needed(self, uri: str) -> Iterator[str]:
        served = {status["name"] for status in self._servings()}
        for key, stored in self.api.objects.items():
            status = stored.manifest.get("status") or {}
            if key.kind == "ModelVersion" and stored.manifest["spec"]["artifact"]["uri"] == uri:
                if status.get("state") != "Expired" or key.name in served:
                    yield f"{key.name} is {status.get('state') or 'recorded'}"
            elif key.kind == "Experiment" and _is_of_running(status.get("run") or {}, uri):
                yield f"{key} has not chosen yet"

    def _servings(self) -> Iterator[Manifest]:
        """What each ModelDeployment says of the versions that it runs."""
        for key, stored in self.api.objects.items():
            status = (stored.manifest.get("status") or {}) if key.kind == "ModelDeployment" else {}
            yield from (status[role] for role in ("live", "candidate", "soaking") if status.get(role))


def _is_of_running(run: Manifest, uri: str) -> bool:
    return run.get("state") == "Running" and uri.startswith(f"{run.get('artifacts') or uri}/")


def wrongs(manifest: Manifest, before: Mapping[str, object]) -> Iterator[str]:
    """What is wrong with a status, as kstatus and metav1 see it."""
    status = manifest["status"]
    conditions = {c["type"]: c for c in status["conditions"]}
    if len(json.dumps(status).encode()) >= STATUS_BYTES:
        yield "status is too large"
    if len(conditions) != len(status["conditions"]) or "Ready" not in conditions:
        yield f"conditions are {sorted(conditions)}"
    if {"Reconciling", "Stalled"} <= set(conditions):
        yield "both Reconciling and Stalled"
    if any(conditions[type_]["status"] != "True" for type_ in ("Reconciling", "Stalled") if type_ in conditions):
        yield "Reconciling or Stalled is there without being True"
    if conditions.get("Ready", {}).get("status") == "True" and {"Reconciling", "Stalled"} & set(conditions):
        yield "Ready and yet something goes on"
    if not 0 < status["observedGeneration"] <= manifest["metadata"]["generation"]:
        yield f"observedGeneration {status['observedGeneration']}"
    for condition in conditions.values():
        yield from _condition_wrongs(condition, before)


def _condition_wrongs(condition: Manifest, before: Mapping[str, object]) -> Iterator[str]:
    known: list[Manifest] = before.get("conditions", [])  # type: ignore[assignment]
    old = next((c for c in known if c["type"] == condition["type"]), None)
    if condition["reason"] not in list(Reason):
        yield f"reason {condition['reason']} is not in the enum"
    if len(condition["message"]) > 1024 or "\n" in condition["message"]:
        yield f"message of {condition['type']}: {condition['message']!r}"
    if old is None:
        return
    same, moved = old["status"] == condition["status"], old["lastTransitionTime"] != condition["lastTransitionTime"]
    if same and moved:
        yield f"{condition['type']} has a new transition time without a transition"


def kstatus(manifest: Manifest) -> str:
    """Current, InProgress or Failed, as kstatus computes it of custom resources."""
    status = manifest.get("status") or {}
    if status.get("observedGeneration") != manifest["metadata"]["generation"]:
        return "InProgress"
    true = {c["type"] for c in status["conditions"] if c["status"] == "True"}
    if "Stalled" in true:
        return "Failed"
    return "Current" if "Ready" in true and "Reconciling" not in true else "InProgress"
