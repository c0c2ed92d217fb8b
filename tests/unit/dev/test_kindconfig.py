"""kind's description of the local cluster, as committed and on our own engine."""

from typing import Any

import pytest
import yaml

from dev.cluster.cluster import AUDIT_LOG, check_ports_free
from dev.cluster.kindconfig import on_own_engine, port_mappings
from dev.cluster.settings import GATEWAY_PORT, PROMETHEUS_PORT, S3_PORT, Addresses, read_kind_config
from dev.errors import DevError
from tests.unit.dev.listening import listener

COMPONENTS = ("apiServer", "controllerManager", "scheduler")


def cluster_configuration(version: str) -> dict[str, Any]:
    patches = [
        document for patch in read_kind_config()["kubeadmConfigPatches"] for document in yaml.safe_load_all(patch)
    ]
    (found,) = [patch for patch in patches if patch.get("apiVersion") == f"kubeadm.k8s.io/{version}"]
    return dict(found)


def arguments_as_lists(component: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in component.get("extraArgs", ())}


def test_every_service_of_the_platform_is_published_on_the_loopback() -> None:
    mappings = list(port_mappings(read_kind_config()))
    assert [mapping["hostPort"] for mapping in mappings] == [GATEWAY_PORT, S3_PORT, PROMETHEUS_PORT]
    assert all(mapping["containerPort"] == mapping["hostPort"] for mapping in mappings)
    assert {mapping["listenAddress"] for mapping in mappings} == {"127.0.0.1"}


def test_requests_are_logged_whichever_release_of_kubernetes_the_node_image_has() -> None:
    old, new = cluster_configuration("v1beta3"), cluster_configuration("v1beta4")
    assert old["apiServer"]["extraArgs"]["audit-log-path"] == AUDIT_LOG
    assert arguments_as_lists(new["apiServer"])["audit-log-path"] == AUDIT_LOG
    assert old["apiServer"]["extraVolumes"] == new["apiServer"]["extraVolumes"]


@pytest.mark.parametrize("component", COMPONENTS)
def test_both_releases_get_the_same_arguments_but_for_what_kind_puts_there(component: str) -> None:
    kinds_own = {"runtime-config", "enable-hostpath-provisioner"}
    old = cluster_configuration("v1beta3")[component]["extraArgs"]
    new = arguments_as_lists(cluster_configuration("v1beta4")[component])
    assert {name: value for name, value in new.items() if name not in kinds_own} == old


def test_on_our_own_engine_everything_is_published_on_its_address() -> None:
    adapted = on_own_engine(read_kind_config(), Addresses(inside="10.1.2.3", api_port=7443))
    assert {mapping["listenAddress"] for mapping in port_mappings(adapted)} == {"10.1.2.3"}
    assert adapted["networking"]["apiServerAddress"] == "10.1.2.3"
    assert adapted["networking"]["apiServerPort"] == 7443


def test_on_our_own_engine_nothing_else_changes() -> None:
    committed = read_kind_config()
    adapted = on_own_engine(committed, Addresses())
    assert committed == read_kind_config()
    assert adapted["kubeadmConfigPatches"] == committed["kubeadmConfigPatches"]
    assert adapted["nodes"][0]["extraMounts"] == committed["nodes"][0]["extraMounts"]


def test_a_taken_port_is_named_before_kind_fails_on_it() -> None:
    with listener() as port:
        mapping = {"listenAddress": "127.0.0.1", "hostPort": port, "containerPort": 1}
        with pytest.raises(DevError, match=f"port {port}"):
            check_ports_free({"nodes": [{"extraPortMappings": [mapping]}]})


def test_free_ports_pass() -> None:
    with listener() as port:
        pass
    mapping = {"listenAddress": "127.0.0.1", "hostPort": port, "containerPort": 1}
    check_ports_free({"nodes": [{"extraPortMappings": [mapping]}]})
