"""Which Docker engine is taken, how our own is set up, and what the machine must give for it."""

import json
import os
import shutil
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from dev.cluster import Cluster, own_engine
from dev.cluster import cluster as cluster_module
from dev.cluster.engine import UsersEngine, docker_host, users_engine_answers
from dev.cluster.own_engine import OwnEngine, check_machine, containerd_configuration, dockerd_configuration
from dev.cluster.settings import Addresses, Settings
from dev.cluster.status import deployment_fact, node_fact
from dev.errors import DevError
from dev.places import CACHE

SOCKET_PATH_LIMIT = 107


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(name="trial", state=tmp_path / "state", addresses=Addresses(inside="10.1.2.3"))


def test_an_engine_that_answers_is_taken(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "users_engine_answers", lambda _: True)
    assert isinstance(Cluster(settings).engine, UsersEngine)


def test_where_none_answers_there_is_our_own(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "users_engine_answers", lambda _: False)
    assert isinstance(Cluster(settings).engine, OwnEngine)


def test_our_own_engine_is_not_taken_for_the_users(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell with our exports names ours in DOCKER_HOST."""
    monkeypatch.setattr("dev.cluster.engine.succeeds", lambda _: True)
    monkeypatch.setenv("DOCKER_HOST", docker_host(settings))
    assert not users_engine_answers(settings)
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/docker.sock")
    assert users_engine_answers(settings)


def test_exports_name_the_address_where_the_engine_publishes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "users_engine_answers", lambda _: False)
    exports = Cluster(settings).env()
    assert exports["KEELWAY_GATEWAY_URL"] == "http://10.1.2.3:30080"
    assert exports["DOCKER_HOST"] == f"unix://{settings.state}/docker.sock"
    monkeypatch.setattr(cluster_module, "users_engine_answers", lambda _: True)
    exports = Cluster(settings).env()
    assert exports["KEELWAY_S3_URL"] == "http://127.0.0.1:30900"
    assert "DOCKER_HOST" not in exports


def test_our_own_daemons_write_only_into_state_folder_and_cache(settings: Settings) -> None:
    dockerd = json.dumps(dockerd_configuration(settings, settings.state / "runc"))
    containerd = tomllib.loads(containerd_configuration(settings.state))
    paths = [word for word in dockerd.replace("unix://", "").split('"') if word.startswith("/")]
    paths += [containerd["root"], containerd["state"], containerd["grpc"]["address"], containerd["ttrpc"]["address"]]
    outside = [path for path in paths if not Path(path).is_relative_to(settings.state)]
    assert outside == [str(CACHE / "engine" / "trial"), "/trial-dev"]


def test_socket_paths_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEELWAY_STATE", raising=False)
    longest = Settings(name="trial").state / "containerd.ttrpc"
    assert len(str(longest)) < SOCKET_PATH_LIMIT


def test_without_root_the_way_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(DevError, match="takes root\nStart a Docker engine, or run this as root"):
        check_machine(tmp_path)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_too_little_space_is_said_in_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(own_engine, "succeeds", lambda _: True)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**40, 2**40, 3 * 2**30))
    with pytest.raises(DevError, match=r"has 3\.0 GiB free, the cluster needs 12\n.*KEELWAY_CACHE and KEELWAY_STATE"):
        check_machine(tmp_path / "not" / "yet")


def test_loading_into_no_cluster_says_how_to_start_one(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "users_engine_answers", lambda _: False)
    with pytest.raises(DevError, match=r"the cluster is not up\n.*dev\.cluster up"):
        Cluster(settings).load([Path("image.tar")])


@pytest.mark.parametrize(("status", "up"), [("True", True), ("False", False), ("Unknown", False)])
def test_a_node_is_up_when_it_is_ready(status: str, up: bool) -> None:
    info = {"kubeletVersion": "v1.34.4", "containerRuntimeVersion": "containerd://1.6"}
    conditions = [{"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": status}]
    fact = node_fact({"metadata": {"name": "n"}, "status": {"conditions": conditions, "nodeInfo": info}})
    assert (fact.part, fact.up, fact.detail) == ("node n", up, "v1.34.4, containerd://1.6")


@pytest.mark.parametrize(("status", "up"), [({}, False), ({"readyReplicas": 1}, False), ({"readyReplicas": 2}, True)])
def test_a_deployment_is_up_when_all_of_its_pods_are(status: dict[str, int], up: bool) -> None:
    deployment = {"metadata": {"namespace": "s", "name": "d"}, "spec": {"replicas": 2}, "status": status}
    assert (deployment_fact(deployment).part, deployment_fact(deployment).up) == ("s/d", up)
