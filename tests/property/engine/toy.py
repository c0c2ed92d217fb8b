"""A small world to drive the engine with: an Experiment runs numbered Jobs on a Dataset and sums up in a ConfigMap.

It has everything the engine serves: creates, applies, status, deletes, fetched logs, events, references between kinds.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from keelway.api.base import Manifest
from keelway.api.digests import digest
from keelway.api.kinds import MANAGED_BY, Key
from keelway.engine.behaviour import Behaviour
from keelway.engine.objects import controller, is_ending, key_of, uid_of
from keelway.engine.routing import has_ended
from keelway.lifecycle.plan import Delete, Event, LogRequest, Observed, Plan
from tests.property.engine.memory_api import MemoryApi

NAMESPACE = "ml"
FOR = "keelway.dev/for"
GROUP_VERSION = "keelway.dev/v1alpha1"


def dataset(name: str = "churn", *, content: str = "1") -> Manifest:
    """A toy Dataset; its version is a digest of `content`."""
    return resource("Dataset", name, {"content": content})


def experiment(
    name: str = "gbt", *, trials: int = 3, parallel: int = 2, notes: dict[str, str] | None = None
) -> Manifest:
    """A toy Experiment on the Dataset `churn`; `notes` are copied into its summary."""
    return resource(
        "Experiment", name, {"dataset": "churn", "trials": trials, "parallel": parallel, "notes": notes or {}}
    )


def resource(kind: str, name: str, spec: Manifest) -> Manifest:
    """One of our own objects."""
    return {"apiVersion": GROUP_VERSION, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def subjects(manifest: Manifest) -> frozenset[Key]:
    """Itself, and whom it was made for."""
    key = key_of(manifest)
    kind, _, name = (manifest["metadata"].get("annotations") or {}).get(FOR, "").partition("/")
    return frozenset({key, Key(kind, key.namespace, name)} if kind else {key})


def references(manifest: Manifest) -> frozenset[Key]:
    """An Experiment reads its Dataset."""
    if manifest["kind"] != "Experiment":
        return frozenset()
    return frozenset({Key("Dataset", manifest["metadata"]["namespace"], manifest["spec"]["dataset"])})


def reconcile_dataset(manifest: Manifest, _seen: Observed, _now: datetime) -> Plan:
    """Name the content."""
    return Plan("versioned", status={"version": digest(manifest["spec"]["content"])[:6]})


def reconcile_experiment(manifest: Manifest, seen: Observed, _now: datetime) -> Plan:
    """Run what is missing, record what has ended, sum up."""
    source = seen.get(Key("Dataset", NAMESPACE, manifest["spec"]["dataset"]))
    version = ((source or {}).get("status") or {}).get("version")
    if not version:
        return Plan("dataset-missing", status={"phase": "Waiting"})
    jobs = {number_of(job): job for job in seen.about(key_of(manifest), "Job") if is_child(job, manifest)}
    known = (manifest.get("status") or {}).get("results", {})
    results = {number: text for number, text in known.items() if int(number) < manifest["spec"]["trials"]}
    fetches = tuple(read(jobs, results, seen))
    if fetches:
        return Plan("verdicts-to-read", fetches=fetches)
    if results != known:
        event = Event("Normal", "TrialEnded", f"{len(results)} of {manifest['spec']['trials']} trials have ended")
        return Plan("verdicts-to-record", status=status("Running", version, results), events=(event,))
    return progress(manifest, jobs, results, version)


def read(jobs: dict[str, Manifest], results: dict[str, str], seen: Observed) -> Iterator[LogRequest]:
    """Take verdicts into `results`; yields the logs that must be fetched for that."""
    for number, job in jobs.items():
        if not has_ended(job) or number in results:
            continue
        for pod in seen.about(key_of(job), "Pod"):
            text = seen.log(uid_of(pod), "main")
            if text is None:
                yield LogRequest(NAMESPACE, pod["metadata"]["name"], uid_of(pod), "main")
            else:
                results[number] = text


def progress(manifest: Manifest, jobs: dict[str, Manifest], results: dict[str, str], version: str) -> Plan:
    """Start what is missing and remove what is recorded."""
    spec = manifest["spec"]
    wanted = [str(number) for number in range(spec["trials"])]
    running = [number for number in jobs if number not in results and number in wanted]
    missing = [number for number in wanted if number not in results and number not in jobs]
    start = missing[: max(0, spec["parallel"] - len(running))]
    superfluous = [job for number, job in jobs.items() if number in results or number not in wanted]
    phase = "Done" if len(results) == spec["trials"] else "Running"
    return Plan(
        "trials-to-run" if start else "steady",
        creates=tuple(child(manifest, "Job", f"t{number}") for number in start),
        applies=(summary(manifest, results),),
        status=status(phase, version, results),
        deletes=tuple(Delete(key_of(job), uid_of(job), 5) for job in superfluous),
    )


def status(phase: str, version: str, results: dict[str, str]) -> Manifest:
    """The whole status of a toy Experiment."""
    return {"phase": phase, "version": version, "results": dict(sorted(results.items()))}


def summary(manifest: Manifest, results: dict[str, str]) -> Manifest:
    """The applied child."""
    notes = {f"note-{name}": text for name, text in manifest["spec"]["notes"].items()}
    return {**child(manifest, "ConfigMap", "summary"), "data": {**notes, "results": str(len(results))}}


def child(manifest: Manifest, kind: str, suffix: str) -> Manifest:
    """An object that a resource controls."""
    name = manifest["metadata"]["name"]
    owner = {
        "apiVersion": GROUP_VERSION,
        "kind": manifest["kind"],
        "name": name,
        "uid": uid_of(manifest),
        "controller": True,
    }
    metadata = {
        "name": f"{name}-{suffix}",
        "namespace": NAMESPACE,
        "labels": {MANAGED_BY: "keelway"},
        "annotations": {FOR: f"{manifest['kind']}/{name}"},
        "ownerReferences": [owner],
    }
    api_version = "batch/v1" if kind == "Job" else "v1"
    body: dict[str, Any] = {"spec": {"parallelism": 1}} if kind == "Job" else {}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}


def is_child(job: Manifest, manifest: Manifest) -> bool:
    """Whether this Job counts: of this incarnation, and not on its way out."""
    return controller(job).get("uid") == uid_of(manifest) and not is_ending(job)


def number_of(job: Manifest) -> str:
    """Which trial a Job runs."""
    name: str = job["metadata"]["name"]
    return name.rpartition("-t")[2]


def failed(manifest: Manifest, reason: str, message: str, _now: datetime) -> Plan:
    """Say that something goes wrong."""
    return Plan("failed", status={**(manifest.get("status") or {}), "failure": f"{reason}: {message}"})


TOY = Behaviour(
    reconcilers={"Dataset": reconcile_dataset, "Experiment": reconcile_experiment},
    failed=failed,
    subjects=subjects,
    references=references,
)


class Controllers:
    """What a cluster does by itself: a Job gets a pod, the pod ends, the Job completes, orphans are collected."""

    def __init__(self, api: MemoryApi) -> None:
        self._api = api

    def step(self) -> None:
        """One step of everything."""
        self._api.collect_orphans()
        for job in [stored.manifest for key, stored in sorted(self._api.objects.items()) if key.kind == "Job"]:
            if not has_ended(job) and not is_ending(job):
                self._advance(job)

    def _advance(self, job: Manifest) -> None:
        name = job["metadata"]["name"]
        key = Key("Pod", NAMESPACE, f"{name}-pod")
        if key not in self._api.objects:
            self._start_pod(job, key)
        elif not has_ended(self._api.read(key)):
            self._api.logs[uid_of(self._api.read(key)), "main"] = f"verdict of trial {number_of(job)}"
            self._api.set_status(key, {"phase": "Succeeded"})
        else:
            self._api.set_status(key_of(job), {"conditions": [{"type": "Complete", "status": "True"}]})

    def _start_pod(self, job: Manifest, key: Key) -> None:
        name = job["metadata"]["name"]
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid_of(job), "controller": True}
        metadata = {
            "name": key.name,
            "namespace": NAMESPACE,
            "labels": {MANAGED_BY: "keelway"},
            "annotations": {FOR: f"Job/{name}"},
            "ownerReferences": [owner],
        }
        self._api.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}})
        self._api.set_status(key, {"phase": "Running"})
