"""The operator as a process: who acts, how it starts and ends, and what it costs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dev import release
from dev.controlplane import LOOPBACK, ControlPlane
from keelway.api.base import Manifest
from tests.apiserver.api import Api
from tests.apiserver.audit import Audit
from tests.apiserver.engine.samples import dataset
from tests.apiserver.operator_process import OperatorProcess
from tests.apiserver.waiting import eventually, stays

LEASE = "engine-test"
IMPORTS = "import keelway.main, keelway.lifecycle.registry"
TAKEOVER_SECONDS = 15 + 2 + 5
"""The Lease's duration, one more look at it, and some time for a busy machine."""
MEBIBYTE = 1 << 20


class Candidate(OperatorProcess):
    """One of several operators that may act, with a user of its own to tell its requests apart."""

    def __init__(self, plane: ControlPlane, name: str, log: Path, *, kubeconfig: Path | None = None) -> None:
        super().__init__(kubeconfig or plane.admin_kubeconfig_for(name), log)
        self.name = name

    def _environment(self) -> dict[str, str]:
        own = {"KEELWAY_IDENTITY": self.name, "KEELWAY_LEASE_NAME": LEASE}
        return {**super()._environment(), **own}

    def ask(self, path: str) -> str:
        """What a health endpoint says."""
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self._port}{path}", timeout=5) as answer:
            text: str = answer.read().decode()
        return text

    def acts(self) -> bool:
        """Whether it holds the Lease, by its own word."""
        return "keelway_acting 1.0" in self.ask("/metrics").splitlines()

    def memory(self) -> int:
        """Resident bytes."""
        assert self._process
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024


@pytest.fixture
def candidate(plane: ControlPlane, api: Api, tmp_path: Path) -> Iterator[Callable[[str], Candidate]]:
    """Start operators by name; they are ended with the test."""
    api.delete("Lease", release.NAMESPACE, LEASE)
    started: list[Candidate] = []

    def start(name: str) -> Candidate:
        one = Candidate(plane, name, tmp_path / f"{name}.log")
        started.append(one)
        one.start()
        one.wait_ready(60)
        return one

    yield start
    for one in started:
        one.close()


def lease_of(api: Api) -> Manifest:
    """The Lease's spec."""
    spec: Manifest = (api.get("Lease", release.NAMESPACE, LEASE) or {}).get("spec", {})
    return spec


def observes(api: Api, namespace: str) -> bool:
    """Whether an operator has looked at the Dataset."""
    return bool((api.get("Dataset", namespace, "churn") or {}).get("status", {}).get("conditions"))


def test_starting_takes_little_more_than_python_takes_to_import_it(candidate: Callable[[str], Candidate]) -> None:
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    importing = time.monotonic() - started
    started = time.monotonic()
    operator = candidate("starter")
    ready = time.monotonic() - started
    print(f"import {importing:.2f} s, start to ready {ready:.2f} s, {operator.memory() / MEBIBYTE:.0f} MiB")
    assert ready < 3 * importing
    assert operator.memory() < 100 * MEBIBYTE


def test_a_start_asks_little_and_writes_nothing_but_its_lease(
    candidate: Callable[[str], Candidate], plane: ControlPlane, audit: Audit
) -> None:
    mark = audit.mark()
    operator = candidate("counted")
    eventually(operator.acts, what="it acts")
    eventually(lambda: requests_of(plane, "counted", mark, "watch") >= 12, what="every kind is watched")
    assert audit.writes("counted", since=mark) == []
    # kopf lists our five kinds once more; a kind that the server has just begun to serve may have to be listed again.
    assert requests_of(plane, "counted", mark, "list") <= 12 + 5 + 3
    assert requests_of(plane, "counted", mark, "get") <= 8


def requests_of(plane: ControlPlane, user: str, since: int, verb: str) -> int:
    """How many requests of a verb a user has begun after a mark."""
    with plane.audit_log.open("rb") as log:
        log.seek(since)
        events = [json.loads(line) for line in log]
    stage = "ResponseStarted" if verb == "watch" else "ResponseComplete"
    return len([e for e in events if (e["user"]["username"], e["verb"], e["stage"]) == (user, verb, stage)])


def test_a_converged_cluster_is_asked_for_nothing(
    candidate: Callable[[str], Candidate], plane: ControlPlane, api: Api, audit: Audit, namespace: str
) -> None:
    operator = candidate("idle")
    suspended = dataset(namespace)
    suspended["spec"]["suspend"] = True
    api.create(suspended)
    eventually(lambda: observes(api, namespace), what="the Dataset is looked at")
    mark = audit.mark()
    stays(lambda: len(audit.writes("idle", since=mark, namespace=namespace)), seconds=5, what="the number of writes")
    assert requests_of(plane, "idle", mark, "list") == 0
    assert operator.ask("/livez") == "ok"


def test_it_ends_quickly_and_lets_go_of_the_lease(candidate: Callable[[str], Candidate], api: Api) -> None:
    operator = candidate("ender")
    eventually(operator.acts, what="it acts")
    assert lease_of(api)["holderIdentity"] == "ender"
    started = time.monotonic()
    assert operator.stop() == 0
    assert time.monotonic() - started < 3
    assert lease_of(api)["holderIdentity"] == ""
    started = time.monotonic()
    eventually(candidate("next").acts, what="the next one acts")
    assert time.monotonic() - started < 10, "it need not wait for the Lease to expire"


def test_the_second_stands_by_and_takes_over_after_a_kill(
    candidate: Callable[[str], Candidate], api: Api, audit: Audit, namespace: str
) -> None:
    first = candidate("first")
    eventually(first.acts, what="the first one acts")
    second = candidate("second")
    api.create(dataset(namespace))
    eventually(lambda: observes(api, namespace), what="the Dataset is looked at")
    assert not second.acts()
    assert audit.writes("second") == []
    first.kill()
    api.patch("Dataset", namespace, "churn", {"spec": {"suspend": True}})
    eventually(second.acts, seconds=TAKEOVER_SECONDS, what="the second one acts")
    eventually(lambda: audit.writes("second", namespace=namespace), what="the second one writes")
    assert lease_of(api)["leaseTransitions"] == 2


def test_a_container_that_is_started_again_goes_on_at_once(
    candidate: Callable[[str], Candidate], plane: ControlPlane, tmp_path: Path
) -> None:
    operator = candidate("pod-1")
    eventually(operator.acts, what="it acts")
    operator.kill()
    operator.wait_ended(10)
    started = time.monotonic()
    again = Candidate(plane, "pod-1", tmp_path / "again.log")
    try:
        again.start()
        again.wait_ready(60)
        eventually(again.acts, what="it acts again")
        assert time.monotonic() - started < 14, "it did not wait for its own Lease to expire"
    finally:
        again.close()


def test_who_loses_the_lease_ends(candidate: Callable[[str], Candidate], api: Api) -> None:
    operator = candidate("loser")
    eventually(operator.acts, what="it acts")
    api.patch("Lease", release.NAMESPACE, LEASE, {"spec": {"holderIdentity": "somebody-else"}})
    assert operator.wait_ended(20) == 1
    assert "is lost; its holder is somebody-else" in operator.tail()


def test_without_a_server_it_is_alive_and_not_ready_and_says_why(plane: ControlPlane, tmp_path: Path) -> None:
    operator = Candidate(plane, "early", tmp_path / "early.log", kubeconfig=kubeconfig_to_nowhere(tmp_path))
    try:
        operator.start()
        why = "cannot be listed: the API server did not answer"
        eventually(lambda: why in operator.tail(400), seconds=60, what="it says what it waits for")
        assert not operator.is_ready()
        assert operator.ask("/livez") == "ok"
        assert operator.stop() == 0
    finally:
        operator.close()


def kubeconfig_to_nowhere(folder: Path) -> Path:
    """Credentials for a server that is not there."""
    path = folder / "nowhere.kubeconfig"
    cluster = {"name": "x", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "x", "context": {"cluster": "x", "user": "x"}}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "clusters": [cluster],
        "contexts": [context],
    }
    path.write_text(json.dumps({**config, "users": [{"name": "x", "user": {"token": "t"}}]}))
    return path
