"""The network namespace of our own engine, and the routes from this machine to its pods and Services."""

from collections.abc import Sequence
from pathlib import Path

from dev.cluster.engine import Node
from dev.cluster.settings import Settings
from dev.processes import run, succeeds

UPLINK = "up0"
"""The veth's end inside the namespace."""


def namespace_path(settings: Settings) -> Path:
    """Where `nsenter --net` finds the namespace."""
    return Path("/run/netns") / settings.network_namespace


def create(settings: Settings) -> None:
    """Make the namespace and a veth pair; its default route ends at this machine, which forwards nothing."""
    name, link, addresses = settings.network_namespace, _link(settings), settings.addresses
    _ip("netns", "add", name)
    _ip("link", "add", link, "type", "veth", "peer", "name", UPLINK, "netns", name)
    _ip("address", "add", f"{addresses.outside}/{addresses.prefix}", "dev", link)
    _ip("link", "set", link, "up")
    _ip("-n", name, "link", "set", "lo", "up")
    _ip("-n", name, "address", "add", f"{addresses.inside}/{addresses.prefix}", "dev", UPLINK)
    _ip("-n", name, "link", "set", UPLINK, "up")
    # dockerd does not start its bridge without a default route.
    _ip("-n", name, "route", "add", "default", "via", addresses.outside)


def route_to(settings: Settings, nodes: Sequence[Node]) -> None:
    """Lead this machine to the pods of each node, and to ClusterIPs through the first, whose kube-proxy knows them.

    Not to all pods through the first: answers come straight from their node, and the first would take the rest of a
    connection of which it sees one half for invalid.
    """
    ways = {node.pods: node.address for node in nodes} | {settings.addresses.services: nodes[0].address}
    for subnet, address in ways.items():
        _ip("-n", settings.network_namespace, "route", "replace", subnet, "via", address)
    for subnet in (settings.addresses.pods, settings.addresses.services):
        _ip("route", "replace", subnet, "via", settings.addresses.inside)


def admit_forwarding(settings: Settings) -> None:
    """Let this machine through to containers: dockerd's own rules drop what no published port asks for."""
    rule = ["DOCKER-USER", "-j", "ACCEPT"]
    inside = ["nsenter", f"--net={namespace_path(settings)}", "iptables"]
    if not succeeds([*inside, "--check", *rule]):
        run([*inside, "--insert", *rule])


def remove(settings: Settings) -> None:
    """Remove namespace, veth and routes; what is not there is no error. The routes go with the veth."""
    if succeeds(["ip", "link", "show", _link(settings)]):
        _ip("link", "delete", _link(settings))
    if namespace_path(settings).exists():
        _ip("netns", "delete", settings.network_namespace)


def _link(settings: Settings) -> str:
    """Interface names end at 15 characters."""
    return f"v-{settings.network_namespace}"[:15]


def _ip(*arguments: str) -> None:
    run(["ip", *arguments])
