"""The corrupted batch of the demo, told against a stand-in for the cluster: it fails loudly where it is not true."""

import json
from dataclasses import dataclass, field
from typing import Any, cast

import obstore
import pytest
from obstore.store import MemoryStore, ObjectStore

from dev.cluster import Cluster
from dev.demo.data import paths, upload
from dev.demo.examples import example
from dev.demo.raw import CORRUPTED_FILE, deliveries, first_raw_files
from dev.demo.story import EXAMPLES, RAW, Story
from dev.errors import DevError
from dev.progress import console

Manifest = dict[str, Any]


def condition(type_: str, status: str, message: str = "") -> Manifest:
    return {"type": type_, "status": status, "reason": "Reason", "message": message, "observedGeneration": 1}


@dataclass
class StandIn:
    """Answers kubectl as a cluster would whose Dataset looks at the bucket when it is asked to."""

    store: ObjectStore
    careless: bool = False
    """Whether consumers are given what is refused."""
    forgetful: bool = False
    """Whether the same bytes get another number."""
    good: int = 1
    newest: int = 1
    asked: list[str] = field(default_factory=list)

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        del input
        self.asked.append(" ".join(arguments))
        if arguments[0] == "annotate":
            self._look()
        if "--output=json" in arguments:
            return json.dumps(self._object(arguments[1], arguments[2]))
        return "a table"

    def _look(self) -> None:
        if self._is_corrupted:
            self.newest = 2
            self.good = 2 if self.careless else self.good
        else:
            self.newest = self.good = 3 if self.forgetful else 1

    @property
    def _is_corrupted(self) -> bool:
        found = [entry["path"] for page in obstore.list(self.store) for entry in page]
        return f"{RAW}/{CORRUPTED_FILE}" in found

    def _object(self, kind: str, name: str) -> Manifest:
        (manifest,) = [
            shown
            for shown in (example(each, {}) for each in EXAMPLES)
            if (shown["kind"].lower(), shown["metadata"]["name"]) == (kind, name)
        ]
        valid = "False" if self._is_corrupted and self.newest == 2 else "True"
        conditions = [condition("Ready", "True"), condition("Validated", valid, "67 rows are wrong")]
        current = {"version": self.newest, "valid": valid}
        status = {
            "conditions": conditions,
            "current": current,
            "lastGood": {"version": self.good},
            "live": {"version": 1},
        }
        return {**manifest, "metadata": {**manifest["metadata"], "generation": 1}, "status": status}


@dataclass
class Told(Story):
    """The story, with its bucket in memory."""

    store: ObjectStore = field(default_factory=MemoryStore)

    def _bucket(self, name: str) -> ObjectStore:
        assert name == "lake"
        return self.store


def story(*, careless: bool = False, forgetful: bool = False) -> tuple[Told, StandIn]:
    store = MemoryStore()
    upload(store, RAW, first_raw_files())
    cluster = StandIn(store, careless, forgetful)
    return Told(cluster=cast(Cluster, cluster), store=store), cluster


def test_it_is_shown_and_taken_away_again() -> None:
    told, cluster = story()
    with console.capture() as printed:
        told.spoil()
    assert paths(told.store, RAW) == {"part-1.csv", "part-2.csv", CORRUPTED_FILE}
    said = " ".join(printed.get().split())
    assert "Validated: 67 rows are wrong" in said
    assert "tumours-raw version 1, tumours version 1, tumour-classifier version 1" in said
    told.mend()
    assert paths(told.store, RAW) == {"part-1.csv", "part-2.csv"}
    assert len([request for request in cluster.asked if request.startswith("annotate dataset tumours-raw")]) == 2
    assert told.seconds.keys() == {"corrupted batch", "batch mended"}


def test_it_fails_loudly_when_consumers_are_given_the_batch() -> None:
    told, _ = story(careless=True)
    with pytest.raises(DevError, match="must not reach anybody"):
        told.spoil()


def test_it_fails_loudly_when_the_same_bytes_are_a_new_version() -> None:
    told, _ = story(forgetful=True)
    told.spoil()
    with pytest.raises(DevError, match="no new version"):
        told.mend()


def test_more_rows_are_an_error_once_all_have_arrived() -> None:
    told, _ = story()
    for files in deliveries():
        upload(told.store, RAW, files)
    with pytest.raises(DevError, match="all rows have arrived"):
        told.go_on()
