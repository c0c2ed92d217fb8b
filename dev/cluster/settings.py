"""What decides where a local cluster lives: its name, its state folder and, on our own engine, its addresses."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dev.places import ROOT, state_folder

KIND_CONFIG = ROOT / "kind-config.yaml"
GATEWAY_PORT = 30080
S3_PORT = 30900
PROMETHEUS_PORT = 30990


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """The network of our own engine: a veth pair joins its namespace to the machine's."""

    inside: str = "10.98.0.1"
    outside: str = "10.98.0.254"
    prefix: int = 24
    pods: str = "10.245.0.0/16"
    services: str = "10.97.0.0/16"
    api_port: int = 6443


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A local cluster's name and places."""

    name: str
    state: Path = field(default_factory=state_folder)
    addresses: Addresses = Addresses()

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def logs(self) -> Path:
        return self.state / "log"

    @property
    def network_namespace(self) -> str:
        return self.name

    @property
    def cgroup(self) -> str:
        """The cgroup under which all of our own engine's containers live."""
        return f"{self.name}-dev"


def read_kind_config(path: Path = KIND_CONFIG) -> dict[str, Any]:
    """The cluster's description for kind."""
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    return config


def default_settings() -> Settings:
    """The cluster that `kind-config.yaml` names."""
    return Settings(name=read_kind_config()["name"])
