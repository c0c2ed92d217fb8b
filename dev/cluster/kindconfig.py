"""kind's cluster description, as it stands and adapted to our own engine."""

import copy
from collections.abc import Iterator
from typing import Any

from dev.cluster.settings import Addresses

Config = dict[str, Any]


def on_own_engine(config: Config, addresses: Addresses) -> Config:
    """The same cluster, published on the engine's own address instead of this machine's loopback.

    The subnets are not kind's usual ones, so that the routes to them do not cross those of another cluster.
    """
    adapted = copy.deepcopy(config)
    adapted["networking"] = {
        **adapted.get("networking", {}),
        "apiServerAddress": addresses.inside,
        "apiServerPort": addresses.api_port,
        "podSubnet": addresses.pods,
        "serviceSubnet": addresses.services,
    }
    for mapping in port_mappings(adapted):
        mapping["listenAddress"] = addresses.inside
    return adapted


def port_mappings(config: Config) -> Iterator[Config]:
    """Every port of a node that is published outside."""
    for node in config["nodes"]:
        yield from node.get("extraPortMappings", ())
