"""Many Datasets over prefixes of one bucket that change together, and what becomes of each."""

import json
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import obstore
from obstore.store import S3Store

from dev.demo.resources import condition, evidence
from tests.e2e.world import Manifest, World

Files: TypeAlias = Mapping[str, bytes]
PART_BYTES = 5 * 2**20
"""The least that S3 takes as a part, the last one excepted."""
POLL_SECONDS = 1.0


def people(ids: Iterable[int], *, age: int = 20, header: str = "id,age,city", tail: str = "") -> bytes:
    """A CSV of people, fifty ages from `age` on; `tail` goes to the end of each row."""
    rows = (f"{n},{age + n % 50},{('Ghent', 'Porto', 'Turku')[n % 3]}{tail}" for n in ids)
    return "\n".join([header, *rows, ""]).encode()


@dataclass(frozen=True, kw_only=True)
class Case:
    """One Dataset, and what lies at its prefix before and after the change."""

    name: str
    before: Files
    after: Files
    spec: Mapping[str, Any] = field(default_factory=dict)
    again: bool = False
    """Whether the change uploads files whose bytes stay the same, too."""
    multipart: bool = False
    """Whether the change uploads in several parts: the same bytes then have another ETag."""


@dataclass(frozen=True)
class Seen:
    """A Dataset once a look at it has ended, with its versions from the oldest on and its events."""

    dataset: Manifest
    versions: Sequence[Manifest]
    events: frozenset[tuple[str, str]]
    """Type and reason."""

    def condition(self, type_: str) -> tuple[str, str, str]:
        """Status, reason and message."""
        found = condition(self.dataset, type_)
        return found.get("status", ""), found.get("reason", ""), found.get("message", "")

    def says(self, type_: str) -> tuple[str, str]:
        """Status and reason of a condition."""
        return self.condition(type_)[:2]

    @cached_property
    def status(self) -> Manifest:
        """The Dataset's."""
        found: Manifest = self.dataset["status"]
        return found

    @property
    def newest(self) -> Manifest:
        """The newest version."""
        return self.versions[-1]

    @property
    def numbers(self) -> tuple[int | None, int | None]:
        """Number of the newest version, and of the one that consumers get."""
        current, good = self.status.get("current"), self.status.get("lastGood")
        return current and current["version"], good and good["version"]

    @property
    def verdicts(self) -> dict[int, str]:
        """Verdict by version."""
        return {v["spec"]["version"]: v.get("status", {}).get("verdict", "") for v in self.versions}


@dataclass(frozen=True)
class Lakeside:
    """The Datasets of one world."""

    world: World

    @property
    def store(self) -> S3Store:
        """The bucket below whose prefixes they lie."""
        return self.world.bucket("lake")

    def dataset(self, case: Case) -> Manifest:
        """The Dataset of a case."""
        source = {"uri": f"s3://{self.world.namespace}-lake/{case.name}/"}
        return self.world.dataset(case.name, **{"source": source, "splits": [], **case.spec})

    def begin(self, cases: Sequence[Case]) -> dict[str, Seen]:
        """Upload what lies there before, apply all Datasets, and wait for the end of the first look at each."""
        for case in cases:
            self.put(case.name, case.before)
        self.world.apply(*(self.dataset(case) for case in cases))
        return self.seen([case.name for case in cases], "")

    def change(self, cases: Sequence[Case]) -> dict[str, Seen]:
        """Make the change of each case, ask for a look at all, and wait for its end."""
        for case in cases:
            same = {name for name, data in case.after.items() if case.before.get(name) == data and not case.again}
            self.put(case.name, {n: d for n, d in case.after.items() if n not in same}, multipart=case.multipart)
            for gone in case.before.keys() - case.after.keys():
                obstore.delete(self.store, f"{case.name}/{gone}")
        return self.look([case.name for case in cases])

    def put(self, prefix: str, files: Files, *, multipart: bool = False) -> None:
        """Upload files below a prefix."""
        for name, data in files.items():
            obstore.put(self.store, f"{prefix}/{name}", data, use_multipart=multipart, chunk_size=PART_BYTES)

    def look(self, names: Sequence[str]) -> dict[str, Seen]:
        """Ask for a look at these Datasets and wait for its end."""
        request = secrets.token_hex(4)
        self.world.kubectl("annotate", "dataset", *names, f"keelway.dev/reconcile={request}", "--overwrite")
        return self.seen(names, request)

    def seen(self, names: Sequence[str], request: str, *, seconds: float = 180) -> dict[str, Seen]:
        """Wait until a look that this request asked for has ended at each of them."""
        deadline = time.monotonic() + seconds
        while left := [name for name, dataset in self._datasets(names).items() if not _answered(dataset, request)]:
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"no look has ended at {left}\n{evidence(self.world.cluster, self.world.namespace)}"
                )
            time.sleep(POLL_SECONDS)
        versions, events = self.world.list("datasetversions"), self.world.list("events")
        return {
            name: Seen(dataset, _versions_of(name, versions), _events_of(name, events))
            for name, dataset in self._datasets(names).items()
        }

    def _datasets(self, names: Sequence[str]) -> dict[str, Manifest]:
        found = json.loads(self.world.kubectl("get", "dataset", *names, "-ojson"))
        return {dataset["metadata"]["name"]: dataset for dataset in found.get("items", [found])}


def _answered(dataset: Manifest, request: str) -> bool:
    """Whether the last look was made for this request and this spec, and all that follows of it is written."""
    status = dataset.get("status", {})
    observed = status.get("observation", {}).get("request", "") == request and "observation" in status
    return observed and status.get("observedGeneration") == dataset["metadata"]["generation"]


def _versions_of(name: str, versions: Iterable[Manifest]) -> list[Manifest]:
    mine = [version for version in versions if version["spec"]["dataset"]["name"] == name]
    return sorted(mine, key=lambda version: int(version["spec"]["version"]))


def _events_of(name: str, events: Iterable[Manifest]) -> frozenset[tuple[str, str]]:
    about = (e for e in events if (e["involvedObject"]["kind"], e["involvedObject"]["name"]) == ("Dataset", name))
    return frozenset((event["type"], event["reason"]) for event in about)
