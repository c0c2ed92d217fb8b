"""A chain of derived Datasets on real pods: raw data are cleaned and made into features, once of each good batch."""

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import obstore
import pytest

from dev.demo.resources import condition, evidence
from dev.processes import run
from tests.e2e.lake_cases import TOO_OLD
from tests.e2e.lakeside import Lakeside, people
from tests.e2e.operator import Operator
from tests.e2e.world import Manifest, World, has_reason

FIRST, MORE = people(range(100)), people(range(100, 150))
DOUBLED = people(range(40)) + people(range(40)).partition(b"\n")[2]
WRONG = f"id,age,city\n150,{TOO_OLD[0]},Ghent\n".encode()
CLEAN = "SELECT DISTINCT id, age, city FROM raw WHERE age >= 30"
FEATURES = "SELECT id, age / 10 AS decades, city = 'Ghent' AS is_local FROM clean ORDER BY id"
COPY = """
import os, pathlib, shutil
for file in pathlib.Path(os.environ["KEELWAY_DATA_RAW"]).rglob("*.csv"):
    shutil.copy(file, os.environ["KEELWAY_OUTPUT_DIR"])
"""
NAMES = ("raw", "clean", "features")


@dataclass(frozen=True)
class Stage:
    """How the three Datasets stood when all was done with a batch, and which Jobs it took."""

    datasets: dict[str, Manifest]
    jobs: Counter[str]

    def good(self, name: str) -> int:
        """Number of the version that consumers get."""
        return int(self.datasets[name]["status"]["lastGood"]["version"])


@dataclass(frozen=True)
class Story:
    """Begin, append, break, mend."""

    first: Stage
    appended: Stage
    broken: Stage
    mended: Stage


@pytest.fixture(scope="module")
def story(world: World, operator: Operator) -> Story:
    """The whole story; the order in which the files are applied is not that of the data."""
    lakeside = Lakeside(world)
    lakeside.put("raw", {"1.csv": FIRST, "2.csv": DOUBLED})
    expectations = {"columns": [{"name": "age", "max": 120}]}
    source = {"uri": f"s3://{world.namespace}-lake/raw/"}
    raw = world.dataset("raw", source=source, splits=[], expectations=expectations)
    clean = world.derived("clean", inputs={"raw": "raw"}, sql=CLEAN)
    features = world.derived("features", inputs={"clean": "clean"}, sql=FEATURES)
    since = operator.audit_size()
    world.apply(features, clean, raw)
    first = reached(world, operator, (1, 1, 1), since)
    since = operator.audit_size()
    lakeside.put("raw", {"3.csv": MORE})
    lakeside.look(["raw"])
    appended = reached(world, operator, (2, 2, 2), since)
    since = operator.audit_size()
    lakeside.put("raw", {"4.csv": WRONG})
    lakeside.look(["raw"])
    operator.settle()
    broken = reached(world, operator, (2, 2, 2), since)
    since = operator.audit_size()
    lakeside.put("raw", {"4.csv": people(range(150, 160), age=30)})
    lakeside.look(["raw"])
    return Story(first, appended, broken, reached(world, operator, (4, 3, 3), since))


def reached(world: World, operator: Operator, wanted: Sequence[int], since: int) -> Stage:
    """Wait until consumers of the three Datasets get these versions and no Job is left."""
    deadline = time.monotonic() + 120
    while True:
        datasets = {dataset["metadata"]["name"]: dataset for dataset in world.list("datasets")}
        goods = tuple((datasets[name].get("status", {}).get("lastGood") or {}).get("version", 0) for name in NAMES)
        if goods == tuple(wanted) and not world.list("jobs"):
            return Stage(datasets, jobs_made(world, operator, since))
        assert time.monotonic() < deadline, f"{goods}, not {wanted}\n{evidence(world.cluster, world.namespace)}"
        time.sleep(1)


def jobs_made(world: World, operator: Operator, since: int) -> Counter[str]:
    """Jobs that the operator made in this world: `raw-observe`, `clean-derive`, …"""
    made = [write for write in operator.writes(world.namespace, since=since) if write.verb == "create"]
    return Counter(write.name.rpartition("-")[0] for write in made if write.resource == "jobs")


def test_each_stage_is_derived_once_of_each_good_batch_and_of_no_other(story: Story) -> None:
    once = {"raw-observe": 1, "clean-derive": 1, "features-derive": 1}
    assert story.first.jobs == once
    assert story.appended.jobs == once
    assert story.broken.jobs == {"raw-observe": 1}
    assert story.mended.jobs == once


def test_the_rows_are_those_of_the_queries(world: World, story: Story) -> None:
    numbers = {(v["spec"]["dataset"]["name"], v["spec"]["version"]): v["spec"]["rows"] for v in versions(world)}
    assert story.mended.good("features") == 3
    assert [numbers["raw", n] for n in (1, 2, 3, 4)] == [180, 230, 231, 240]
    assert [numbers["clean", n] for n in (1, 2, 3)] == [80, 120, 130]
    assert [numbers["features", n] for n in (1, 2, 3)] == [80, 120, 130]


def versions(world: World) -> list[Manifest]:
    return sorted(world.list("datasetversions"), key=lambda version: int(version["spec"]["version"]))


def version(world: World, dataset: str, number: int) -> Manifest:
    (found,) = [v for v in versions(world) if (v["spec"]["dataset"]["name"], v["spec"]["version"]) == (dataset, number)]
    return found


def test_the_derived_bytes_lie_in_a_directory_of_each_derivation_s_own(world: World, story: Story) -> None:
    assert story.mended.good("features") == 3
    uris = [version(world, name, number)["spec"]["source"]["uri"] for name in NAMES[1:] for number in (1, 2, 3)]
    assert len(set(uris)) == 6
    with tempfile.TemporaryDirectory() as folder:
        parts = fetched(world, uris[-1], Path(folder))
        query = "SELECT count(*), min(decades), bool_or(is_local), count(DISTINCT id) FROM read_parquet(?)"
        found = duckdb.execute(query, [parts]).fetchone()
    assert found == (130, 3.0, True, 130)


def fetched(world: World, uri: str, folder: Path) -> list[str]:
    """The tables below a URI of this world's lake, on disk; the marker of a finished derivation lies beside them."""
    store, prefix = world.bucket("lake"), uri.split("/", 3)[3]
    listed = [entry["path"] for page in obstore.list(store, prefix) for entry in page]
    names = [name for name in listed if name.endswith(".parquet")]
    assert {Path(name).name for name in listed} - {Path(name).name for name in names} == {"_keelway.json"}
    for name in names:
        (folder / Path(name).name).write_bytes(bytes(obstore.get(store, name).bytes()))
    return [str(folder / Path(name).name) for name in names]


def test_a_broken_batch_stops_at_the_dataset_that_found_it(story: Story) -> None:
    raw = story.broken.datasets["raw"]
    assert (raw["status"]["current"]["version"], raw["status"]["current"]["valid"]) == (3, "False")
    assert condition(raw, "Validated")["reason"] == "ExpectationsFailed"
    assert TOO_OLD[0] not in json.dumps(raw["status"])
    for name in NAMES:
        assert condition(story.broken.datasets[name], "Ready")["status"] == "True"
        assert story.broken.good(name) == 2


def test_the_lineage_of_the_last_version_names_the_raw_digest(world: World, story: Story) -> None:
    assert story.mended.good("raw") == 4
    chain = lineage(world, "dataset/features")
    links = [chain]
    while links[-1]["origins"]:
        links.append(links[-1]["origins"][0])
    kinds = ["Dataset", "DatasetVersion", "Derivation", "DatasetVersion", "Derivation", "DatasetVersion", "Source"]
    assert [link["kind"] for link in links] == kinds
    assert links[-2]["facts"]["digest"] == version(world, "raw", 4)["spec"]["digest"]
    assert links[-1]["name"] == f"s3://{world.namespace}-lake/raw/"


def lineage(world: World, target: str) -> Manifest:
    keelway = str(Path(sys.executable).with_name("keelway"))
    answer = run([keelway, "lineage", target, "-n", world.namespace, "-ojson"], env=world.cluster.env())
    chain: Manifest = json.loads(answer)
    return chain


@pytest.fixture(scope="module")
def others(world: World, story: Story) -> dict[str, Manifest]:
    """More Datasets over the raw one, applied at once: a Job with an image, queries that must not work, a cycle."""
    assert story.mended.good("raw") == 4
    container = {"name": "copy", "image": world.images["worker"].ref, "command": ["python3", "-c", COPY]}
    job = {"template": {"spec": {"containers": [container]}}}
    copied = world.derived("copied", inputs={"raw": "raw"}, job=job, output={"format": "CSV"})
    manifests = [
        copied,
        *(world.derived(name, inputs={"raw": "raw"}, sql=sql) for name, sql in HOSTILE.items()),
        world.derived("chicken", inputs={"egg": "egg"}, sql="SELECT * FROM egg"),
        world.derived("egg", inputs={"chicken": "chicken"}, sql="SELECT * FROM chicken"),
    ]
    world.apply(*manifests)
    return {manifest["metadata"]["name"]: manifest for manifest in manifests}


HOSTILE = {
    "reads-a-file": "SELECT * FROM read_text('/etc/passwd')",
    "names-no-column": "SELECT salary FROM raw",
}


def test_any_image_derives_from_files_to_files(world: World, others: dict[str, Manifest]) -> None:
    ready = world.wait(others["copied"])
    assert (ready["status"]["current"]["rows"], ready["status"]["current"]["files"]) == (240, 4)
    made = version(world, "copied", 1)["spec"]
    assert made["derivation"]["code"] == world.images["worker"].ref
    assert [(one["dataset"], one["digest"]) for one in made["derivedFrom"]] == [
        ("raw", version(world, "raw", 4)["spec"]["digest"])
    ]


@pytest.mark.parametrize("name", list(HOSTILE))
def test_a_query_that_is_not_one_over_its_inputs_is_refused(
    world: World, others: dict[str, Manifest], name: str
) -> None:
    seen = world.wait(others[name], has_reason("QueryInvalid"))
    message: Any = condition(seen, "Ready")["message"]
    assert message
    assert "root:" not in message
    assert "lastGood" not in seen["status"]


def test_a_cycle_is_refused_with_its_path(world: World, others: dict[str, Manifest]) -> None:
    seen = world.wait(others["chicken"], has_reason("DerivationCycle"))
    assert "chicken -> egg -> chicken" in condition(seen, "Ready")["message"]
    assert condition(seen, "InputsReady")["reason"] == "DerivationCycle"
