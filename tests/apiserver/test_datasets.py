"""Datasets with a real API server and a real Job controller: a chain over a changing source, and how large all gets."""

import json
from functools import partial

import pytest

from keelway.api.base import Manifest
from keelway.api.jobs import Column
from tests.apiserver.api import Api
from tests.apiserver.audit import Audit
from tests.apiserver.cluster_setup import OPERATOR_USER
from tests.apiserver.derived_chain import JOBS, Chain
from tests.apiserver.fake_node import FakeNode
from tests.apiserver.operator_process import OperatorProcess
from tests.apiserver.track import SOURCE, Track
from tests.apiserver.waiting import eventually
from tests.property.lifecycle.chain import APPENDED, MENDED, digests
from tests.property.lifecycle.lake import content

STATUS_BYTES = 16 * 1024


@pytest.fixture
def chain(api: Api, namespace: str, node: FakeNode, operator: OperatorProcess) -> Chain:  # noqa: ARG001
    """A chain in a namespace of its own, its first batch through."""
    chain = Chain(api, node, namespace)
    chain.begin()
    return chain


def until(chain: Chain, batches: int) -> None:
    """Upload batch after batch until all stages are done with this many."""
    eventually(lambda: chain.go_on(batches=batches), seconds=90, what=f"all stages are done with batch {batches}")


def test_a_chain_over_a_changing_source_derives_each_stage_once_of_each_good_batch(chain: Chain, audit: Audit) -> None:
    eventually(chain.go_on, seconds=120, what="all batches are through")
    assert chain.jobs_made(audit) == JOBS
    verdicts = {name: [v["status"]["verdict"] for v in chain.versions(name)] for name in ("raw", "clean", "features")}
    assert verdicts["raw"] == ["Valid", "Valid", "Invalid", "Valid"]
    assert verdicts["clean"] == verdicts["features"] == ["Valid"] * 3
    last = chain.versions("features")[-1]["spec"]
    (clean,) = [v for v in chain.versions("clean") if v["metadata"]["name"] == last["derivedFrom"][0]["datasetVersion"]]
    assert clean["spec"]["derivedFrom"][0]["digest"] == digests(MENDED)["raw"]
    assert clean["spec"]["derivedFrom"][0]["datasetVersion"] == chain.versions("raw")[-1]["metadata"]["name"]
    assert not [write for write in audit.writes(OPERATOR_USER, namespace=chain.namespace) if write.code == 403]


def test_a_broken_batch_shows_and_goes_no_further(chain: Chain, audit: Audit) -> None:
    until(chain, 3)
    status = chain.get("raw")["status"]
    assert (status["current"]["version"], status["current"]["valid"], status["lastGood"]["version"]) == (3, "False", 2)
    reasons = chain.conditions("raw")
    assert (reasons["Ready"], reasons["Validated"], reasons["SourceMoved"]) == (
        "Ready",
        "ExpectationsFailed",
        "SourceMovedOn",
    )
    assert chain.get("features")["status"]["lastGood"]["digest"] == digests(APPENDED)["features"]
    assert chain.jobs_made(audit)["clean-derive"] == 2
    (violation,) = chain.versions("raw")[-1]["status"]["violations"]
    assert (violation["check"], violation["violations"]) == ("columns.age.max", 1)


def test_kubectl_get_shows_what_stands_and_what_was_refused(chain: Chain, api: Api) -> None:
    until(chain, 3)
    rows = table(api, chain.namespace, "datasets")
    assert rows["raw"]["Version"] == 3
    assert (rows["raw"]["Valid"], rows["raw"]["Ready"], rows["raw"]["Good"]) == ("False", "True", 2)
    assert (rows["features"]["Valid"], rows["features"]["Version"]) == ("True", 2)


def table(api: Api, namespace: str, plural: str) -> dict[str, Manifest]:
    """What `kubectl get -owide` prints, by name and column."""
    path = f"/apis/keelway.dev/v1alpha1/namespaces/{namespace}/{plural}"
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    shown = json.loads(api.text("GET", path, accept=accept))
    columns = [column["name"] for column in shown["columnDefinitions"]]
    return {row["cells"][0]: dict(zip(columns, row["cells"], strict=True)) for row in shown["rows"]}


def test_an_operator_that_may_do_no_more_than_the_chart_grants_rests_afterwards(chain: Chain, audit: Audit) -> None:
    until(chain, 1)
    mark = audit.mark()
    for name in ("raw", "clean", "features"):
        chain.api.patch("Dataset", chain.namespace, name, {"metadata": {"labels": {"seen": "yes"}}})
    until(chain, 1)
    assert audit.writes(OPERATOR_USER, since=mark, namespace=chain.namespace) == []


COLUMNS = tuple(Column(name=f"measurement_of_the_instrument_{n:03}_in_millimetres", type="double") for n in range(500))
VERSIONS = 10


def test_a_status_with_500_columns_50_expectations_and_10_versions_stays_below_16_kib(
    track: Track, node: FakeNode
) -> None:
    strict = [{"name": column.name, "min": 0, "max": 120} for column in COLUMNS[:50]]
    dataset = track.dataset(spec__expectations={"columns": strict}, spec__drift={"onFail": "Block"})
    for number in range(1, VERSIONS + 1):
        ages = (18, 90) if number == 1 else (-5, 999 + 100 * number)
        node.lake.put(track.namespace, SOURCE, content(str(number), ages=ages, columns=COLUMNS))
        track.apply(dataset)
        track.ask("Dataset", f"look {number}")
        eventually(partial(has_version, track, number), what=f"version {number} is recorded")
    status = track.get("Dataset")["status"]
    assert (status["lastGood"]["version"], status["current"]["valid"]) == (1, "False")
    reasons = {c["type"]: c["reason"] for c in status["conditions"]}
    assert (reasons["Validated"], reasons["DriftDetected"]) == ("ExpectationsFailed", "DriftBlocked")
    versions = track.all("DatasetVersion")
    assert [len(v["spec"]["schema"]["columns"]) for v in versions] == [500] * VERSIONS
    assert max(v["status"]["violated"] for v in versions) == 100
    sizes = {m["metadata"]["name"]: len(json.dumps(m["status"])) for m in [track.get("Dataset"), *versions]}
    assert {name: size for name, size in sizes.items() if size >= STATUS_BYTES} == {}


def has_version(track: Track, number: int) -> bool:
    """Whether the newest version that the Dataset tells has this number."""
    return bool(track.get("Dataset").get("status", {}).get("current", {}).get("version") == number)


def test_a_cycle_is_refused_with_its_path(track: Track, namespace: str) -> None:
    for name, source in (("a", "c"), ("b", "a"), ("c", "b")):
        derive = {"inputs": [{"name": source, "dataset": source}], "sql": "SELECT 1", "output": {"uri": "s3://lake/x/"}}
        manifest: Manifest = {**track.dataset(), "metadata": {"name": name, "namespace": namespace}}
        track.apply({**manifest, "spec": {"derive": derive}})
    for name in "abc":
        seen = eventually(partial(ready_of, track, name, "DerivationCycle"), what=f"{name} is in a cycle")
        assert seen.count(" -> ") == 3
    assert track.names("Job") == []


def ready_of(track: Track, name: str, reason: str) -> str:
    """The message of a Dataset's Ready condition, once it has this reason."""
    conditions = track.get("Dataset", name).get("status", {}).get("conditions", [])
    return next((c["message"] for c in conditions if (c["type"], c["reason"]) == ("Ready", reason)), "")
