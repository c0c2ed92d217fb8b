"""What a derivation reads, what names it, and why it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.api.base import Manifest
from keelway.api.dataset import Dataset
from keelway.api.dataset_version import DatasetVersion
from keelway.api.jobs import ObserveVerdict, StageVerdict, TransformVerdict
from keelway.api.kinds import Key
from keelway.api.resource import Access
from keelway.engine.objects import key_of
from keelway.lifecycle.dataset.derivation import (
    ResolvedInput,
    cycle,
    derivation,
    derivation_hash,
    derive_failure,
    derived_from,
    in_a_cycle,
    pod_inputs,
    resolve,
)
from keelway.lifecycle.dataset.versions import in_use
from keelway.lifecycle.dataset_inputs import Unresolved, access_to
from keelway.lifecycle.jobs import job_state
from keelway.manifests.checks import MeasuredAgainst
from keelway.manifests.derive_job import derive_job, output_location
from tests.unit.lifecycle.builders import NAMESPACE, SHA, a_dataset, a_dataset_version, resource
from tests.unit.lifecycle.pods import Ended, an_ended_pod_of, ends
from tests.unit.lifecycle.scene import Scene
from tests.unit.lifecycle.trials import publish

SQL = "SELECT * FROM raw"
JOB = {"template": {"spec": {"containers": [{"name": "clean", "image": "registry.example.com/clean:1"}]}}}
OUTPUT = {"uri": "s3://lake/clean/"}


def a_derived_dataset(name: str = "clean", *, of: Mapping[str, str] | None = None, **fields: Any) -> Manifest:
    """A Dataset made of others, by name of the input; `fields` replace those of `spec.derive`."""
    inputs = [{"name": called, "dataset": dataset} for called, dataset in (of or {"raw": "churn"}).items()]
    code = {} if "job" in fields else {"sql": SQL}
    return resource("Dataset", name, {"derive": {"inputs": inputs, "output": OUTPUT, **code, **fields}})


def read(manifest: Manifest) -> Dataset:
    return Dataset.model_validate(manifest)


def reading(version: str) -> list[dict[str, str]]:
    return [{"name": "raw", "dataset": "churn", "version": version}]


def resolved(dataset: Manifest, scene: Scene) -> tuple[ResolvedInput, ...]:
    found = resolve(read(dataset), scene.store)
    assert not isinstance(found, Unresolved), found
    return found


# which versions are read


def test_it_waits_for_a_dataset_then_for_a_version_then_reads_what_consumers_get() -> None:
    scene, dataset = Scene(), read(a_derived_dataset())
    assert _why(dataset, scene) == ("DatasetMissing", False)
    scene.put(a_dataset())
    assert _why(dataset, scene) == ("DatasetNotReady", False)
    publish(scene, 1, "first")
    publish(scene, 2, "second")
    scene.put(a_dataset_version(3, "refused", uid=scene.get(Key("Dataset", NAMESPACE, "churn"))["metadata"]["uid"]))
    assert [one.version.spec.version for one in resolved(a_derived_dataset(), scene)] == [2], "not the refused one"


def _why(dataset: Dataset, scene: Scene) -> tuple[str, bool]:
    found = resolve(dataset, scene.store)
    assert isinstance(found, Unresolved), found
    assert "churn" in found.message
    return found.reason.value, found.final


def test_a_pinned_version_is_read_and_one_that_is_not_there_needs_help() -> None:
    scene = Scene()
    first = publish(scene, 1, "first")
    publish(scene, 2, "second")
    for pin in ("1", first["spec"]["digest"]):
        found = resolved(a_derived_dataset(inputs=reading(pin)), scene)
        assert [one.version.name for one in found] == [first["metadata"]["name"]]
    assert _why(read(a_derived_dataset(inputs=reading("7"))), scene) == ("VersionMissing", True)


def test_a_version_is_waited_for_until_all_parts_of_its_list_of_files_are_there() -> None:
    scene = Scene()
    version = publish(scene, 1, "first")
    version["spec"]["manifest"]["parts"] = 2
    scene.put(version)
    assert _why(read(a_derived_dataset()), scene) == ("FilesMissing", False)
    scene.put(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "churn-v1-files-1", "namespace": NAMESPACE}}
    )
    assert resolved(a_derived_dataset(), scene)


def test_every_input_must_have_a_version() -> None:
    scene, dataset = Scene(), a_derived_dataset(of={"raw": "churn", "zips": "zip-codes"})
    publish(scene, 1, "first")
    assert _why_all(dataset, scene) == "DatasetMissing"
    publish(scene, 4, "codes", name="zip-codes")
    assert [(one.name, one.version.spec.version) for one in resolved(dataset, scene)] == [("raw", 1), ("zips", 4)]


def _why_all(dataset: Manifest, scene: Scene) -> str:
    found = resolve(read(dataset), scene.store)
    assert isinstance(found, Unresolved)
    return found.reason.value


# cycles

GRAPHS: list[tuple[str, dict[str, list[str]], str]] = [
    ("made of a source", {"a": ["b"], "b": []}, ""),
    ("made of itself", {"a": ["b", "a"], "b": []}, "a -> a"),
    ("made of what is made of it", {"a": ["b"], "b": ["a"]}, "a -> b -> a"),
    ("at three removes", {"a": ["b"], "b": ["c"], "c": ["a"]}, "a -> b -> c -> a"),
    ("made of what goes in a circle without it", {"a": ["b"], "b": ["c"], "c": ["b"]}, ""),
    ("made of one thing on two ways", {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, ""),
    ("the shorter of two ways", {"a": ["b", "c"], "b": ["d"], "d": ["a"], "c": ["a"]}, "a -> c -> a"),
    ("made of what is not there", {"a": ["nobody"]}, ""),
]


@pytest.mark.parametrize(("graph", "path"), [pytest.param(*case[1:], id=case[0]) for case in GRAPHS])
def test_a_dataset_that_is_made_of_itself_is_found_with_its_path(graph: dict[str, list[str]], path: str) -> None:
    scene = a_lake(graph)
    found = cycle(read(scene.get(Key("Dataset", NAMESPACE, "a"))), scene.store)
    assert " -> ".join(found) == path
    if path:
        told = in_a_cycle(found)
        assert (told.reason, told.final, path in told.message) == ("DerivationCycle", True, True)


def a_lake(graph: Mapping[str, list[str]]) -> Scene:
    """Datasets by name, each made of these."""
    return Scene(
        *(
            a_derived_dataset(name, of={f"input_{i}": one for i, one in enumerate(of)}) if of else a_dataset(name)
            for name, of in graph.items()
        )
    )


def test_it_looks_at_each_dataset_once_however_many_ways_lead_there() -> None:
    layers = 60
    graph = {"a": ["l0", "r0"], f"l{layers}": [], f"r{layers}": []}
    for layer in range(layers):
        graph |= {f"{side}{layer}": [f"l{layer + 1}", f"r{layer + 1}"] for side in "lr"}
    scene = a_lake(graph)
    assert cycle(read(scene.get(Key("Dataset", NAMESPACE, "a"))), scene.store) == ()


NAMES = "abcdef"


@given(st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), unique=True, max_size=4)))
def test_there_is_a_path_exactly_where_a_dataset_can_be_reached_from_itself(drawn: dict[str, list[str]]) -> None:
    graph = {**drawn, "a": drawn.get("a") or ["b"]}
    scene = a_lake(graph)
    found = cycle(read(scene.get(Key("Dataset", NAMESPACE, "a"))), scene.store)
    reached = set(graph["a"])
    for _ in NAMES:
        reached |= {after for name in reached for after in graph.get(name, [])}
    assert bool(found) == ("a" in reached)
    assert not found or found[0] == found[-1] == "a"
    assert all(after in graph[before] for before, after in pairwise(found))


# what names a derivation

FIRST = ResolvedInput("raw", DatasetVersion.model_validate(a_dataset_version(1, "first", uid="u")))
SECOND = ResolvedInput("zips", DatasetVersion.model_validate(a_dataset_version(2, "codes", name="zips", uid="u")))


def name_of(manifest: Manifest, *inputs: ResolvedInput) -> str:
    return derivation_hash(read(manifest), inputs or (FIRST,))


def changed(one: ResolvedInput, **spec: Any) -> ResolvedInput:
    return ResolvedInput(one.name, one.version.model_copy(update={"spec": one.version.spec.model_copy(update=spec)}))


def test_the_name_of_a_derivation_is_stable() -> None:
    """Another name here would derive everything anew after an update of the operator."""
    assert name_of(a_derived_dataset()) == "e57663976c114455c836d849cf5422d667c7a62b3820f901d7c4b069b77652be"
    assert name_of(a_derived_dataset(job=JOB)) == "755d5f3e2ba3341e31ce09d4661d37a4e8ce177b7c1641c39c0a30663e55f378"


OTHERS: list[tuple[str, Manifest]] = [
    ("another query", a_derived_dataset(sql=f"{SQL} LIMIT 1")),
    ("a Job instead", a_derived_dataset(job=JOB)),
    ("another place", a_derived_dataset(output={"uri": "s3://lake/cleaner/"})),
    ("another store", a_derived_dataset(output={**OUTPUT, "access": {"endpoint": "http://minio:9000"}})),
    ("another format", a_derived_dataset(job=JOB, output={**OUTPUT, "format": "CSV"})),
]


def test_whatever_changes_the_bytes_or_where_they_lie_changes_the_name() -> None:
    again = {"template": {"spec": {"containers": [{"name": "clean", "image": "registry.example.com/clean:2"}]}}}
    names = [name_of(a_derived_dataset()), name_of(a_derived_dataset(job=again))]
    names += [name_of(manifest) for _, manifest in OTHERS]
    names += [
        name_of(a_derived_dataset(), changed(FIRST, digest="listing:sha256:other")),
        name_of(
            a_derived_dataset(), changed(FIRST, schema_=FIRST.version.spec.schema_.model_copy(update={"digest": "s"}))
        ),
        name_of(a_derived_dataset(), ResolvedInput("other", FIRST.version)),
        name_of(a_derived_dataset(), FIRST, SECOND),
    ]
    assert len(names) == len(set(names))


def test_what_is_thought_of_the_bytes_does_not_change_the_name() -> None:
    manifest = a_derived_dataset()
    judged = {
        "expectations": {"rows": {"min": 1}},
        "splits": [{"name": "train", "percent": 80}],
        "job": {"resources": {"limits": {"memory": "8Gi"}}},
        "refresh": {"interval": "1h"},
    }
    assert name_of({**manifest, "spec": {**manifest["spec"], **judged}}) == name_of(manifest)
    secret = {**OUTPUT, "access": {"secretRef": {"name": "lake"}}}
    assert name_of(a_derived_dataset(output=secret)) == name_of(manifest)


def test_the_order_of_inputs_and_their_number_do_not_change_the_name() -> None:
    both = a_derived_dataset(of={"raw": "churn", "zips": "zips"})
    assert name_of(both, FIRST, SECOND) == name_of(both, SECOND, FIRST)
    assert name_of(both, changed(FIRST, version=9)) == name_of(both, FIRST), "the same bytes under another number"


@pytest.mark.parametrize("uri", ["s3://lake/clean/", "s3://lake/clean"])
def test_each_derivation_has_a_directory_of_its_own(uri: str) -> None:
    assert output_location(read(a_derived_dataset(output={"uri": uri})), SHA) == "s3://lake/clean/0123456789ab/"


def test_the_record_says_what_it_was_made_of_and_by_what() -> None:
    dataset = read(a_derived_dataset(job=JOB))
    made = derivation(dataset, (FIRST,))
    assert (made.hash, made.code) == (derivation_hash(dataset, (FIRST,)), "registry.example.com/clean:1")
    assert derivation(read(a_derived_dataset()), (FIRST,)).code.startswith("sha256:")
    (source,) = derived_from((FIRST,))
    assert (source.name, source.dataset, source.dataset_version) == ("raw", "churn", FIRST.version.name)
    assert source.digest == FIRST.version.spec.digest


def test_a_version_stays_as_long_as_another_one_is_made_of_it() -> None:
    scene = Scene()
    version = publish(scene, 1, "first")
    found = DatasetVersion.model_validate(version)
    assert not in_use(scene.store, found)
    made = a_dataset_version(1, "clean", name="clean", uid="u-2")
    made["spec"]["derivedFrom"] = [one.to_json() for one in derived_from((ResolvedInput("raw", found),))]
    scene.put(made)
    assert in_use(scene.store, found)
    scene.remove(key_of(made))
    assert not in_use(scene.store, found)


# how inputs are reached

NOW, THEN = {"secretRef": {"name": "now"}}, {"secretRef": {"name": "then"}}
BY_DERIVATION = {"derivation": {"hash": SHA, "code": "sha256:1"}}
SOURCE = a_dataset(access=NOW)
DERIVED = a_derived_dataset("churn", output={**OUTPUT, "access": NOW})
REACHED: list[tuple[str, Manifest | None, Manifest, str]] = [
    ("as the Dataset says now", SOURCE, {}, "now"),
    ("as the output of the Dataset says now", DERIVED, BY_DERIVATION, "now"),
    ("as recorded when the Dataset is gone", None, {}, "then"),
    ("as recorded when the Dataset is derived now", DERIVED, {}, "then"),
    ("as recorded when the Dataset has a source now", SOURCE, BY_DERIVATION, "then"),
]


@pytest.mark.parametrize(("dataset", "made", "secret"), [pytest.param(*case[1:], id=case[0]) for case in REACHED])
def test_how_the_bytes_of_a_version_are_reached(dataset: Manifest | None, made: Manifest, secret: str) -> None:
    scene = Scene(*([dataset] if dataset else []))
    uid = scene.only("Dataset")["metadata"]["uid"] if dataset else "gone"
    version = a_dataset_version(1, "first", uid=uid)
    version["spec"] |= {"source": {**version["spec"]["source"], "access": THEN}, **made}
    found = access_to(DatasetVersion.model_validate(version), scene.store)
    assert found == Access.model_validate({"secretRef": {"name": secret}})


def test_a_dataset_that_was_made_anew_says_nothing_about_versions_of_the_former_one() -> None:
    version = a_dataset_version(1, "first", uid="former")
    version["spec"]["source"]["access"] = THEN
    assert (
        access_to(DatasetVersion.model_validate(version), Scene(SOURCE).store).secret_ref == Access(**THEN).secret_ref
    )


# how a derivation's Job ends


class Deriving:
    """A Job that derives is under way."""

    def __init__(self, **fields: Any) -> None:
        self.scene = Scene(a_derived_dataset(**fields))
        publish(self.scene, 1, "first")
        dataset = read(self.scene.get(Key("Dataset", NAMESPACE, "clean")))
        inputs = resolved(self.scene.get(dataset.key), self.scene)
        self.job = self.scene.put(
            derive_job(
                dataset,
                "0123abcd",
                inputs=pod_inputs(inputs, self.scene.store),
                derivation_hash=derivation_hash(dataset, inputs),
                against=MeasuredAgainst(),
                splits=(),
                image="worker:1",
                pull_policy="Never",
            )
        )

    def end(self, **containers: Ended) -> tuple[str, str] | None:
        """The containers end like this; why that yields nothing."""
        pod = an_ended_pod_of(self.scene, self.job, containers)
        ends(self.scene, self.job, "" if pod["status"]["phase"] == "Succeeded" else "BackoffLimitExceeded")
        return self.why()

    def lose(self, reason: str) -> tuple[str, str] | None:
        """The Job ends and its pod is gone."""
        ends(self.scene, self.job, reason)
        self.scene.wait(16)
        return self.why()

    def why(self) -> tuple[str, str] | None:
        failure = derive_failure(job_state(self.scene.get(key_of(self.job)), self.scene.store, self.scene.now))
        return (failure[0].value, failure[1]) if failure else None


def staged(reason: str = "") -> Ended:
    verdict = StageVerdict(outcome="Failed" if reason else "Staged", reason=reason, message="stage says")
    return Ended(int(bool(reason)), verdict.model_dump_json())


def transformed(reason: str = "") -> Ended:
    verdict = TransformVerdict(outcome="Failed" if reason else "Transformed", reason=reason, message="transform says")
    return Ended(int(bool(reason)), verdict.model_dump_json())


def recorded(reason: str = "") -> Ended:
    verdict = ObserveVerdict(outcome="Failed" if reason else "Observed", reason=reason, message="record says")
    return Ended(int(bool(reason)), verdict.model_dump_json())


KILLED = Ended(137, reason="OOMKilled")
ENDS: list[tuple[str, dict[str, Any], Callable[[Deriving], Any], tuple[str, str] | None]] = [
    ("all went well", {}, lambda d: d.end(stage=staged(), transform=transformed(), record=recorded()), None),
    (
        "the user's container went well",
        {"job": JOB},
        lambda d: d.end(stage=staged(), clean=Ended(), record=recorded()),
        None,
    ),
    (
        "an input is gone",
        {},
        lambda d: d.end(stage=staged("DatasetVersionGone"), record=recorded("OutputMissing")),
        ("DatasetVersionGone", "stage says"),
    ),
    (
        "the query is wrong, and so nothing was written",
        {},
        lambda d: d.end(stage=staged(), transform=transformed("QueryInvalid"), record=recorded("OutputMissing")),
        ("QueryInvalid", "transform says"),
    ),
    (
        "the query takes too long",
        {},
        lambda d: d.end(stage=staged(), transform=transformed("QueryTimedOut"), record=recorded("OutputMissing")),
        ("QueryTimedOut", "transform says"),
    ),
    (
        "the query takes too much memory",
        {},
        lambda d: d.end(stage=staged(), transform=KILLED, record=recorded("OutputMissing")),
        ("OutOfMemory", "raise spec.job.resources"),
    ),
    (
        "the user's container exits with a code, though it has written something",
        {"job": JOB},
        lambda d: d.end(stage=staged(), clean=Ended(3), record=recorded()),
        ("DeriveFailed", "container clean ended with exit code 3: see kubectl logs clean-derive-0123abcd-pod -c clean"),
    ),
    (
        "the user's container takes too much memory",
        {"job": JOB},
        lambda d: d.end(stage=staged(), clean=KILLED, record=recorded()),
        ("OutOfMemory", "raise its limit"),
    ),
    (
        "the user's container leaves a message of its own",
        {"job": JOB},
        lambda d: d.end(stage=staged(), clean=Ended(0, "done"), record=recorded()),
        None,
    ),
    (
        "nothing was written",
        {"job": JOB},
        lambda d: d.end(stage=staged(), clean=Ended(), record=recorded("OutputMissing")),
        ("OutputMissing", "record says"),
    ),
    (
        "the result cannot be kept",
        {},
        lambda d: d.end(stage=staged(), transform=transformed(), record=recorded("UploadFailed")),
        ("UploadFailed", "record says"),
    ),
    (
        "describing takes too much memory",
        {},
        lambda d: d.end(stage=staged(), transform=transformed(), record=KILLED),
        ("OutOfMemory", "raise spec.job.resources"),
    ),
    (
        "record says nothing",
        {},
        lambda d: d.end(stage=staged(), transform=transformed(), record=Ended()),
        ("Disrupted", "without a verdict"),
    ),
    (
        "record says what nobody knows",
        {},
        lambda d: d.end(stage=staged(), transform=transformed(), record=recorded("Unheard")),
        ("InternalError", "record says"),
    ),
    ("it takes too long", {}, lambda d: d.lose("DeadlineExceeded"), ("TimedOut", "longer than 7200 s")),
    ("the pod is lost", {}, lambda d: d.lose("BackoffLimitExceeded"), ("Disrupted", "left no verdict")),
    ("the pod is lost although the Job is complete", {}, lambda d: d.lose(""), ("Disrupted", "left no verdict")),
]


@pytest.mark.parametrize(("fields", "happens", "expected"), [pytest.param(*case[1:], id=case[0]) for case in ENDS])
def test_why_a_derivation_yields_nothing(
    fields: dict[str, Any], happens: Callable[[Deriving], Any], expected: tuple[str, str] | None
) -> None:
    found = happens(Deriving(**fields))
    if expected is None:
        assert found is None
    else:
        assert found[0] == expected[0]
        assert expected[1] in found[1]
