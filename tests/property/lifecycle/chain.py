"""A chain of Datasets: raw batches in a bucket, cleaned by a query, made into features by the next one."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from keelway.api.base import Manifest
from keelway.api.dataset_version import DatasetVersion
from keelway.engine.objects import key_of
from tests.property.engine.harness import Delivery
from tests.property.lifecycle.fates import Fate, Fates
from tests.property.lifecycle.lake import Content, content, derived
from tests.property.lifecycle.simulation import Action, Simulation

NAMESPACE = "demo"
RAW_URI = "s3://lake/raw/"
CLEAN_SQL, FEATURES_SQL = "SELECT DISTINCT * FROM raw", "SELECT age / 10 AS decade FROM clean"


def _dataset(name: str, **spec: Any) -> Manifest:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "keelway.dev/v1alpha1", "kind": "Dataset", "metadata": metadata, "spec": spec}


def derives(name: str, source: str, sql: str, **spec: Any) -> Manifest:
    """A Dataset that a query makes of one other."""
    output = {"uri": f"s3://lake/{name}/"}
    derive = {"inputs": [{"name": source, "dataset": source}], "sql": sql, "output": output}
    return _dataset(name, derive=derive, **spec)


RAW = _dataset(
    "raw",
    source={"uri": RAW_URI},
    refresh={"interval": "30s"},
    expectations={"columns": [{"name": "age", "max": 120}], "rows": {"maxDropPercent": 50}},
)
CLEAN = derives("clean", "raw", CLEAN_SQL, expectations={"rows": {"min": 10}})
FEATURES = derives("features", "clean", FEATURES_SQL, splits=[{"name": "train", "percent": 80}])
CHAIN = (RAW, CLEAN, FEATURES)
KEYS = tuple(key_of(manifest) for manifest in CHAIN)

TOO_OLD = (18, 999)
FIRST, APPENDED, BROKEN, MENDED = (
    content("first"),
    content("appended", rows=150, files=3),
    content("broken", rows=200, files=4, ages=TOO_OLD),
    content("mended", rows=190, files=4),
)


def arrives(batch: Content) -> Action:
    """These are the raw files from now on."""

    def action(simulation: Simulation) -> None:
        simulation.lake.contents[RAW_URI] = batch

    return action


def chain(
    *,
    looks: Sequence[Fate] = (),
    derivations: Sequence[Fate] = (),
    deliver: Callable[[int], Delivery] | None = None,
) -> Simulation:
    """A cluster with the first batch."""
    simulation = Simulation(fates=Fates(looks, derivations=derivations), deliver=deliver)
    arrives(FIRST)(simulation)
    return simulation


def digests(batch: Content) -> dict[str, str]:
    """What consumers of each Dataset should get of a raw batch, by the digest."""
    clean = derived(batch, CLEAN_SQL, [batch.digest])
    features = derived(clean, FEATURES_SQL, [clean.identity("Content")])
    return {"raw": batch.digest, "clean": clean.identity("Content"), "features": features.identity("Content")}


def consumers_get(simulation: Simulation) -> dict[str, str]:
    """What they do get."""
    found = {key.name: simulation.api.read(key).get("status", {}).get("lastGood") for key in KEYS}
    return {name: good["digest"] for name, good in found.items() if good}


def versions(simulation: Simulation, dataset: str) -> list[DatasetVersion]:
    """All of one Dataset, oldest first."""
    found = (stored.manifest for key, stored in simulation.api.objects.items() if key.kind == "DatasetVersion")
    mine = (DatasetVersion.model_validate(m) for m in found if m["spec"]["dataset"]["name"] == dataset)
    return sorted(mine, key=lambda version: version.spec.version)


MOMENT = re.compile(r"2026-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def timeless(end: dict[str, Manifest]) -> dict[str, str]:
    """Every object without moments and without how the last look ended: who is killed learns of it in another way."""
    return {key: MOMENT.sub("", json.dumps(_without_looks(manifest), sort_keys=True)) for key, manifest in end.items()}


def _without_looks(manifest: Manifest) -> Manifest:
    status = {name: value for name, value in (manifest.get("status") or {}).items() if name != "observation"}
    return {**manifest, "status": status}


def jobs_made(simulation: Simulation) -> Counter[str]:
    """How many Jobs of each kind were ever made: `raw-observe`, `clean-derive`, …"""
    return Counter(key.name.rpartition("-")[0] for key in simulation.api.created if key.kind == "Job")
