"""How a Dataset is made of others: which versions it reads, what names a derivation, why one failed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from keelway.api.dataset import Dataset
from keelway.api.dataset_version import DatasetVersion, Derivation, DerivedFrom
from keelway.api.derivation import Derive
from keelway.api.digests import digest, sha256
from keelway.api.jobs import ObserveVerdict, TransformVerdict
from keelway.api.kinds import Key
from keelway.api.reasons import Reason
from keelway.lifecycle.dataset_inputs import Unresolved, access_to, version_of
from keelway.lifecycle.jobs import JobState
from keelway.lifecycle.plan import Observed
from keelway.lifecycle.pods import out_of_memory, verdict
from keelway.lifecycle.staged_jobs import Failure, work_failure
from keelway.manifests.derive_job import RECORD, TRANSFORM, derive_of
from keelway.manifests.staged_pod import PodInput, pod_input


@dataclass(frozen=True)
class ResolvedInput:
    """One input of a derivation and the version that it reads."""

    name: str
    version: DatasetVersion


def resolve(dataset: Dataset, seen: Observed) -> tuple[ResolvedInput, ...] | Unresolved:
    """The version of every input, or the first reason why there is none."""
    found: list[ResolvedInput] = []
    for given in derive_of(dataset).inputs:
        version = version_of(given.dataset, given.version, dataset.namespace, seen)
        if isinstance(version, Unresolved):
            return version
        found.append(ResolvedInput(given.name, version))
    return tuple(found)


def cycle(dataset: Dataset, seen: Observed) -> tuple[str, ...]:
    """The shortest way from a Dataset through inputs back to itself, with it at both ends; empty when there is none."""
    waiting: deque[tuple[str, ...]] = deque([(dataset.name,)])
    known: set[str] = set()
    while waiting:
        path = waiting.popleft()
        for name in _inputs_of(path[-1], dataset, seen):
            if name == dataset.name:
                return (*path, name)
            if name not in known:
                known.add(name)
                waiting.append((*path, name))
    return ()


def _inputs_of(name: str, dataset: Dataset, seen: Observed) -> list[str]:
    if name == dataset.name:
        return [given.dataset for given in derive_of(dataset).inputs]
    manifest = seen.get(Key("Dataset", dataset.namespace, name)) or {}
    return [str(given["dataset"]) for given in (manifest.get("spec", {}).get("derive") or {}).get("inputs", [])]


def in_a_cycle(path: tuple[str, ...]) -> Unresolved:
    """What to say of a cycle."""
    message = f"the Dataset is derived from itself: {' -> '.join(path)}; take one of these out of spec.derive.inputs"
    return Unresolved(Reason.DERIVATION_CYCLE, message, final=True)


def derivation_hash(dataset: Dataset, inputs: tuple[ResolvedInput, ...]) -> str:
    """Names everything that determines the derived bytes and where they lie: what is read, the code, the output.

    Checks, splits and resources have no part in it: they change what is thought of the bytes, not the bytes.
    """
    derive = derive_of(dataset)
    read = sorted((one.name, one.version.spec.digest, one.version.spec.schema_.digest) for one in inputs)
    code = derive.job.template if derive.job else derive.sql
    output = [derive.output.uri, derive.output.access.endpoint, derive.output.format]
    return digest([read, code, output])


def derivation(dataset: Dataset, inputs: tuple[ResolvedInput, ...]) -> Derivation:
    """What made a version, for its record."""
    return Derivation(hash=derivation_hash(dataset, inputs), code=code(derive_of(dataset)))


def code(derive: Derive) -> str:
    """What derives, in a word: the sha256 of the SQL, or the image of the Job as it was written."""
    image = str(derive.job.template["spec"]["containers"][0]["image"]) if derive.job else ""
    return image or f"sha256:{sha256(derive.sql.encode())}"


def derived_from(inputs: tuple[ResolvedInput, ...]) -> tuple[DerivedFrom, ...]:
    """The versions that a version was made of, for its record."""
    return tuple(
        DerivedFrom(
            name=one.name,
            dataset=one.version.spec.dataset.name,
            dataset_version=one.version.name,
            digest=one.version.spec.digest,
        )
        for one in inputs
    )


def pod_inputs(inputs: tuple[ResolvedInput, ...], seen: Observed) -> tuple[PodInput, ...]:
    """How the derivation's pod gets at its inputs."""
    return tuple(
        pod_input(index, one.name, one.version, access_to(one.version, seen)) for index, one in enumerate(inputs)
    )


def derive_failure(state: JobState) -> Failure | None:
    """Why a derivation's Job that has ended yields nothing: first the query, the data and the time, then the result."""
    transformed = verdict(state.pods, TRANSFORM, TransformVerdict)
    if transformed and transformed.outcome == "Failed":
        return Reason.of(transformed.reason), transformed.message
    worker = str(state.job["spec"]["template"]["spec"]["containers"][0]["name"])
    too_long = f"the derivation ran longer than {state.job['spec']['activeDeadlineSeconds']} s"
    memory = "spec.job.resources" if worker == TRANSFORM else "its limit"
    failure = work_failure(state, worker, failed=Reason.DERIVE_FAILED, too_long=too_long, memory=memory)
    return failure or _record_failure(state)


def _record_failure(state: JobState) -> Failure | None:
    answer = verdict(state.pods, RECORD, ObserveVerdict)
    if answer and answer.outcome == "Failed":
        return Reason.of(answer.reason), answer.message
    if answer:
        return None
    if state.last_pod and out_of_memory(state.last_pod, RECORD):
        return Reason.OUT_OF_MEMORY, "the record container ran out of memory: raise spec.job.resources"
    return Reason.DISRUPTED, "the record container ended without a verdict"
