"""The path: data in a bucket, three applied files, a prediction through the gateway; then nothing more to do."""

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore
import pytest

from dev.demo.data import as_csv, columns, tumours, upload
from dev.processes import run
from keelway.api.digests import tree_digest
from keelway.api.kinds import OWN_KINDS
from tests.e2e.operator import Operator
from tests.e2e.trials import rows_of
from tests.e2e.world import World

Manifest = dict[str, Any]

MEBIBYTE = 2**20
TRIALS = 4


@dataclass(frozen=True)
class Track:
    """What was applied, and what it looked like when it was ready."""

    applied: tuple[Manifest, Manifest, Manifest]
    dataset: Manifest
    experiment: Manifest
    deployment: Manifest
    rows: list[Manifest]
    """Of the table of trials."""


@pytest.fixture(scope="module")
def path(world: World) -> Track:
    """All three files at once: each waits for the one before by itself."""
    rows = tumours()
    upload(world.bucket("lake"), "tumours", {"part-1.csv": as_csv(rows[:300]), "part-2.csv": as_csv(rows[300:])})
    world.bucket("models")
    search = {"algorithm": "TPE", "seed": 42, "maxTrials": TRIALS, "parallelTrials": 2}
    applied = (world.dataset(), world.experiment(search=search), world.deployment())
    world.apply(*reversed(applied))
    dataset, experiment, deployment = (world.wait(manifest, seconds=300) for manifest in applied)
    return Track(applied, dataset, experiment, deployment, rows_of(world, "tumour-search"))


def test_the_dataset_version_says_what_was_there(world: World, path: Track) -> None:
    (version,) = world.list("datasetversions")
    spec = version["spec"]
    assert spec["version"] == path.dataset["status"]["lastGood"]["version"] == 1
    assert spec["digest"].startswith("listing:sha256:")
    assert spec["rows"] == 569
    assert [column["name"] for column in spec["schema"]["columns"]] == list(columns())
    splits = {split["name"]: split["rows"] for split in spec["splits"]}
    assert splits.keys() == {"train", "holdout"}
    assert sum(splits.values()) == 569
    assert 400 < splits["train"] < 500
    assert version["status"]["verdict"] == "Valid"


def test_every_trial_is_in_the_table_with_its_metrics(path: Track) -> None:
    table = path.rows
    assert [row["number"] for row in table] == list(range(TRIALS))
    assert {row["state"] for row in table} <= {"Succeeded", "Cached"}
    assert all(0.9 < row["value"] <= 1.0 for row in table)
    best = max(table, key=lambda row: float(row["value"]))
    assert path.experiment["status"]["run"]["best"]["value"] == best["value"]
    assert path.experiment["status"]["run"]["trials"]["succeeded"] == TRIALS


def test_every_trial_ran_once(world: World, path: Track) -> None:
    jobs = [job["metadata"]["name"] for job in world.list("jobs", "keelway.dev/experiment=tumour-search")]
    assert sorted(jobs) == sorted(row["job"] for row in path.rows if row["state"] == "Succeeded")


def test_the_model_version_names_all_that_made_it(world: World, path: Track) -> None:
    (model,) = world.list("modelversions")
    (data,) = world.list("datasetversions")
    origin, (read,) = model["spec"]["producedBy"], model["spec"]["inputs"]
    assert read["datasetVersion"] == data["metadata"]["name"]
    assert read["digest"] == data["spec"]["digest"]
    assert read["split"] == "train"
    row = path.rows[origin["trial"]]
    assert origin["parameters"] == row["parameters"]
    assert origin["image"] == world.images["trainer"].ref
    assert "sha256:" in origin["imageID"]
    assert model["spec"]["metrics"] == row["metrics"]


def test_the_recorded_digest_is_that_of_the_bytes_in_the_bucket(world: World, path: Track) -> None:
    assert path.experiment["status"]["model"]["version"] == 1
    (model,) = world.list("modelversions")
    bucket, _, directory = model["spec"]["artifact"]["uri"].removeprefix("s3://").partition("/")
    store = world.bucket(bucket.removeprefix(f"{world.namespace}-"))
    names = [entry["path"] for page in obstore.list(store, directory) for entry in page]
    contents = {name: bytes(obstore.get(store, name).bytes()) for name in names}
    entries = [
        (name.removeprefix(directory).strip("/"), len(content), hashlib.sha256(content).hexdigest())
        for name, content in contents.items()
    ]
    assert tree_digest(entries) == model["spec"]["artifact"]["digest"]


def test_a_prediction_comes_back_through_the_gateway(world: World, path: Track) -> None:
    answer = world.predict(path.deployment, tumours())
    assert answer.version == "1"
    right = sum(label == int(row[-1]) for label, row in zip(answer.labels, tumours(), strict=True))
    assert right / len(tumours()) > 0.95


def test_the_lineage_leads_from_the_live_model_to_the_bucket(world: World, path: Track) -> None:
    chain = lineage(world, f"modeldeployment/{path.deployment['metadata']['name']}")
    kinds = ["ModelDeployment", "ModelVersion", "Experiment", "DatasetVersion", "Source"]
    links = [chain]
    while links[-1]["origins"]:
        links.append(links[-1]["origins"][0])
    assert [link["kind"] for link in links] == kinds
    (model,) = world.list("modelversions")
    assert links[1]["facts"]["digest"] == model["spec"]["artifact"]["digest"]
    assert links[-1]["name"] == f"s3://{world.namespace}-lake/tumours/"


def test_kubectl_get_shows_the_path_at_a_glance(world: World, path: Track) -> None:
    assert path.dataset
    shown = {kind: row_of(world, kind) for kind in ("dataset", "experiment", "modeldeployment")}
    assert shown["dataset"]["ROWS"] == "569"
    assert shown["experiment"]["TRIALS"] == f"{TRIALS}/{TRIALS}"
    assert shown["experiment"]["MODEL"] == "tumour-classifier-v1"
    assert shown["modeldeployment"]["LIVE"] == "1"
    assert shown["modeldeployment"]["URL"] == f"http://{world.host()}/"
    assert {row["READY"] for row in shown.values()} == {"True"}


def test_pods_of_jobs_mount_no_token_and_show_the_secret_to_keelway_alone(world: World, path: Track) -> None:
    assert path.experiment
    pods = world.list("pods", "keelway.dev/experiment=tumour-search")
    assert len(pods) == TRIALS
    for pod in pods:
        volumes, containers = pod["spec"]["volumes"], pod["spec"]["containers"]
        assert pod["spec"]["automountServiceAccountToken"] is False
        projected = [source for volume in volumes for source in volume.get("projected", {}).get("sources", [])]
        assert [source for source in projected if "configMap" not in source] == [], "lists of files, and no token"
        secret = {volume["name"] for volume in volumes if "secret" in volume}
        assert secret
        mounted = {mount["name"] for container in containers for mount in container["volumeMounts"]}
        assert not secret & mounted


def test_applying_everything_again_causes_no_write(world: World, path: Track, operator: Operator) -> None:
    operator.settle()
    before, since = versions(world), operator.audit_size()
    world.apply(*path.applied)
    operator.settle()
    assert operator.writes(world.namespace, since=since) == []
    assert versions(world) == before


def test_restarting_the_operator_causes_no_write(world: World, path: Track, operator: Operator) -> None:
    assert path.deployment
    operator.settle()
    before, since = versions(world), operator.audit_size()
    operator.restart()
    assert operator.writes(world.namespace, since=since) == []
    assert "list" in {request.verb for request in operator.requests(since=since)}
    assert versions(world) == before


def test_the_operator_is_small_and_quick(path: Track, operator: Operator) -> None:
    assert path.deployment
    assert operator.peak_memory() < 150 * MEBIBYTE
    assert operator.seconds_to_ready() < 5


def versions(world: World) -> dict[str, str]:
    """resourceVersion of every object of Keelway's kinds and of what was made for them."""
    plurals = [kind.plural for kind in OWN_KINDS]
    children = ["jobs", "configmaps", "services", "inferenceservices", "httproutes"]
    found = [(kind, item["metadata"]) for kind in (*plurals, *children) for item in world.list(kind)]
    return {f"{kind}/{metadata['name']}": metadata["resourceVersion"] for kind, metadata in found}


def lineage(world: World, target: str) -> Manifest:
    keelway = str(Path(sys.executable).with_name("keelway"))
    answer = run([keelway, "lineage", target, "-n", world.namespace, "-ojson"], env=world.cluster.env())
    chain: Manifest = json.loads(answer)
    return chain


def row_of(world: World, kind: str) -> dict[str, str]:
    """The one row of `kubectl get`, by its columns. No value of these kinds holds a space."""
    header, row = world.kubectl("get", kind).splitlines()
    starts = [header.index(name) for name in header.split()]
    cells = [row[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
    return dict(zip(header.split(), cells, strict=True))
