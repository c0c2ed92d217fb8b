"""The Docker engine that kind's nodes run on: the user's where one answers, else one of our own."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dev.cluster.kindconfig import Config
from dev.cluster.settings import Settings
from dev.errors import DevError
from dev.processes import run, succeeds


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node in the engine's network."""

    address: str
    pods: str
    """The subnet of its pods."""


class Engine(Protocol):
    """What a cluster asks of the engine below it."""

    title: str
    programs: tuple[str, ...]
    """The Go programs that its node image is made of."""

    @property
    def address(self) -> str:
        """Where published ports are reached from this machine."""

    @property
    def environment(self) -> dict[str, str]:
        """What `docker` and `kind` need to find the engine."""

    def running(self) -> bool:
        """Whether the engine answers."""

    def up(self) -> None:
        """Start it if need be. Raises DevError that says what is missing."""

    def node_image(self) -> str | None:
        """The image of kind's nodes, made if need be; None for kind's default."""

    def node_image_name(self) -> str | None:
        """The image that `node_image` would give, without making it."""

    def adapt(self, config: Config) -> Config:
        """The cluster's description as this engine needs it."""

    def connect(self, nodes: Sequence[Node]) -> None:
        """Make pods and Services reachable from this machine, if the engine can; the control plane comes first."""

    def down(self) -> None:
        """Leave nothing behind of what `up` made."""


class UsersEngine:
    """The Docker engine that the user's own settings lead to; we neither start nor stop it."""

    title = "Docker engine of this machine"
    programs: tuple[str, ...] = ()
    address = "127.0.0.1"
    environment: dict[str, str] = {}

    def running(self) -> bool:
        return succeeds(["docker", "version"])

    def up(self) -> None:
        if not self.running():
            raise DevError("The Docker engine no longer answers", hint="`docker version` says why.")

    def node_image(self) -> str | None:
        return None

    def node_image_name(self) -> str | None:
        return None

    def adapt(self, config: Config) -> Config:
        return config

    def connect(self, nodes: Sequence[Node]) -> None:
        """Published ports are all that this engine promises."""

    def down(self) -> None:
        """It is not ours to stop."""


def users_engine_answers(settings: Settings) -> bool:
    """Whether there is a Docker engine beside our own, which a shell with our exports also names in DOCKER_HOST."""
    return os.environ.get("DOCKER_HOST") != docker_host(settings) and succeeds(["docker", "version"])


def docker_host(settings: Settings) -> str:
    """The address of our own engine."""
    return f"unix://{settings.state / 'docker.sock'}"


def node_names(engine: Engine, cluster: str, *, running: bool = True) -> list[str]:
    """The names of the cluster's nodes, the control plane first; also of stopped ones unless `running`."""
    options = ["--filter", f"label=io.x-k8s.kind.cluster={cluster}", "--format", "{{.Names}}"]
    names = run(["docker", "ps", *options, *([] if running else ["--all"])], env=engine.environment).split()
    return sorted(names, key=lambda name: ("control-plane" not in name, name))
