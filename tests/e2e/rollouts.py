"""What can be seen of a rollout from outside: the weights of the route as they change, and the candidate's standing."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from threading import Thread
from typing import IO

from dev.demo.load import Load, Tally
from dev.demo.resources import condition
from tests.e2e.world import Manifest, World

SPREAD = 3
"""Standard deviations that a share may be away from its weight."""
UNTIL_THE_GATEWAY_KNOWS = 3
"""Seconds from a change of the route until the gateway goes by it: less than one, but for a machine that is busy."""
BACKENDS = r'-ojsonpath={.spec.rules[-1:].backendRefs}{"\n"}'


@dataclass(frozen=True)
class Moment:
    """From when on the route had which weights."""

    at: float
    """By `time.monotonic`."""
    weights: dict[int, int]
    """Percent by version."""


@contextmanager
def watched_route(world: World, name: str) -> Iterator[list[Moment]]:
    """Weights of an HTTPRoute, each as soon as the API server tells, for as long as the body runs."""
    moments: list[Moment] = []
    command = ("kubectl", "get", "httproute", name, f"--namespace={world.namespace}", "--watch", BACKENDS)
    environment = {**os.environ, **world.cluster.env()}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout
        reader = Thread(target=_note, args=(watch.stdout, moments), daemon=True)
        reader.start()
        try:
            yield moments
        finally:
            watch.terminate()
            reader.join()


def _note(lines: IO[str], moments: list[Moment]) -> None:
    for line in lines:
        weights = {version_in(backend["name"]): int(backend["weight"]) for backend in json.loads(line)}
        if not moments or moments[-1].weights != weights:
            moments.append(Moment(time.monotonic(), weights))


def version_in(name: str) -> int:
    """Which version the servers of this name are of."""
    found = re.search(r"-v(\d+)-[0-9a-f]{8}(-predictor)?$", name)
    assert found, name
    return int(found[1])


def weights_of(moments: Sequence[Moment], version: int) -> list[int]:
    """A version's weights one after the other, without repetitions."""
    all_of_them = [moment.weights.get(version, 0) for moment in moments]
    return [now for before, now in zip([None, *all_of_them], all_of_them, strict=False) if now != before]


def share_at(load: Load, moments: Sequence[Moment], version: int, weight: int) -> tuple[Tally, float]:
    """Who answered while a version had this weight, and the percentage that its share may differ by."""
    (stretch,) = [(now.at, after.at) for now, after in pairwise(moments) if now.weights.get(version, 0) == weight]
    tally = load.between(stretch[0] + UNTIL_THE_GATEWAY_KNOWS, stretch[1])
    return tally, SPREAD * 100 * sqrt(weight / 100 * (1 - weight / 100) / max(tally.count, 1))


def candidate_of(deployment: Manifest) -> Manifest:
    """What the status says of the candidate; empty where there is none."""
    found: Manifest = deployment.get("status", {}).get("candidate", {})
    return found


def has_phase(*phases: str, version: int | None = None) -> Callable[[Manifest], bool]:
    """Whether the candidate, of this version if one is given, is in one of these phases."""

    def holds(deployment: Manifest) -> bool:
        candidate = candidate_of(deployment)
        return candidate.get("phase") in phases and version in (None, candidate["version"])

    return holds


def has_weight(weight: int) -> Callable[[Manifest], bool]:
    """Whether the candidate has this share of the traffic."""
    return lambda deployment: candidate_of(deployment).get("weight", 0) == weight


def said(deployment: Manifest, type_: str = "Ready") -> str:
    """Reason and message of a condition."""
    found = condition(deployment, type_)
    return f"{found.get('reason')}: {found.get('message')}"


def servers(world: World, deployment: str) -> dict[int, Manifest]:
    """The InferenceServices of a ModelDeployment that are not on their way out, by version."""
    found = [server for server in world.list("inferenceservices") if not server["metadata"].get("deletionTimestamp")]
    mine = [server for server in found if server["metadata"]["ownerReferences"][0]["name"] == deployment]
    return {version_in(server["metadata"]["name"]): server for server in mine}
