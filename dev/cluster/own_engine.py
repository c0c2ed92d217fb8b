"""A Docker engine of our own: containerd and dockerd in their own network and mount namespaces.

Nothing of it shows on the machine but its processes, a veth pair and two routes; `down` removes those too. Its images
lie in the cache and outlast it.
"""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from dev.cluster import network, nodeimage, packages, runc_wrapper, traces
from dev.cluster.engine import Node, docker_host
from dev.cluster.kindconfig import Config, on_own_engine
from dev.cluster.settings import Settings
from dev.errors import DevError, tail
from dev.places import CACHE
from dev.processes import end, program_of, run, start_detached, succeeds, wait_until
from dev.progress import step

SPACE = 12 * 2**30
DAEMONS = ("dockerd", "containerd")
"""In the order in which they are stopped."""
PREPARE_NAMESPACE = (
    "mount --make-rshared /"
    " && mkdir -p /run/containerd && mount -t tmpfs tmpfs /run/containerd"
    " && sysctl -qw net.ipv4.ip_forward=1"
    ' && exec containerd --config "$0"'
)


class OwnEngine:
    """Started, used and removed by root; its files lie in the state folder."""

    title = "Docker engine of our own"
    programs: tuple[str, ...] = nodeimage.PROGRAMS

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._state = settings.state

    @property
    def address(self) -> str:
        return self._settings.addresses.inside

    @property
    def environment(self) -> dict[str, str]:
        return {"DOCKER_HOST": docker_host(self._settings)}

    def running(self) -> bool:
        return bool(self._pid("dockerd")) and succeeds(["docker", "version"], env=self.environment)

    def up(self) -> None:
        if self.running():
            return
        check_machine(self._state)
        self.down()
        packages.install_engine()
        with step("start containerd and dockerd"):
            self._write_configuration()
            traces.remember(self._settings)
            network.create(self._settings)
            self._start_containerd()
            self._start_dockerd()
            self._remove_containers()
            network.admit_forwarding(self._settings)

    def node_image(self) -> str | None:
        return nodeimage.ensure(self.environment)

    def node_image_name(self) -> str | None:
        return nodeimage.name()

    def adapt(self, config: Config) -> Config:
        return on_own_engine(config, self._settings.addresses)

    def connect(self, nodes: Sequence[Node]) -> None:
        network.route_to(self._settings, nodes)

    def down(self) -> None:
        if self.running():
            self._remove_containers()
        for daemon in DAEMONS:
            if pid := self._pid(daemon):
                end(pid, program=daemon, grace=20)
        traces.end_leftovers(self._settings)
        network.remove(self._settings)
        traces.remove_cgroups(self._settings)
        traces.restore(self._settings)
        if self._state.exists():
            shutil.rmtree(self._state)

    def _pid(self, daemon: str) -> int:
        """The pid of one of our daemons, 0 when it does not run."""
        file = self._state / f"{daemon}.pid"
        pid = int(file.read_text()) if file.exists() else 0
        return pid if pid and program_of(pid) == daemon else 0

    def _write_configuration(self) -> None:
        self._state.mkdir(parents=True)
        wrapper = self._state / "runc"
        interpreter = os.path.realpath(sys.executable)
        wrapper.write_text(f"#!{interpreter} -IS\n{Path(runc_wrapper.__file__).read_text()}")
        wrapper.chmod(0o755)
        (self._state / "containerd.toml").write_text(containerd_configuration(self._state))
        dockerd = dockerd_configuration(self._settings, wrapper)
        (self._state / "dockerd.json").write_text(json.dumps(dockerd, indent=2))

    def _start_containerd(self) -> None:
        # Not `ip netns exec`: that mounts a new /sys, without the cgroups.
        apart = ["nsenter", f"--net={network.namespace_path(self._settings)}"]
        apart += ["unshare", "--mount", "--propagation", "private", "sh", "-c", PREPARE_NAMESPACE]
        self._start("containerd", [*apart, self._state / "containerd.toml"])
        log, socket = self._log("containerd"), self._state / "containerd.sock"
        wait_until(lambda: self._alive("containerd") and socket.exists(), seconds=30, what="containerd", log=log)

    def _start_dockerd(self) -> None:
        beside = ["nsenter", f"--target={self._pid('containerd')}", "--net", "--mount"]
        self._start("dockerd", [*beside, "dockerd", "--config-file", self._state / "dockerd.json"])
        log = self._log("dockerd")
        wait_until(lambda: self._alive("dockerd") and self.running(), seconds=30, what="dockerd", log=log)

    def _start(self, daemon: str, command: list[str | Path]) -> None:
        pid = start_detached(["env", f"PATH={packages.SYSTEM_PATH}", *command], log=self._log(daemon))
        (self._state / f"{daemon}.pid").write_text(str(pid))

    def _alive(self, daemon: str) -> bool:
        """True once the daemon's process is the daemon itself. Raises DevError when it has ended."""
        if not program_of(int((self._state / f"{daemon}.pid").read_text())):
            raise DevError(f"{daemon} ended:\n{tail(self._log(daemon))}")
        return bool(self._pid(daemon))

    def _log(self, daemon: str) -> Path:
        return self._settings.logs / f"{daemon}.log"

    def _remove_containers(self) -> None:
        if containers := run(["docker", "ps", "--all", "--quiet"], env=self.environment).split():
            run(["docker", "rm", "--force", "--volumes", *containers], env=self.environment)


def check_machine(state: Path) -> None:
    """Raises DevError that names the first thing which an engine of our own needs and this machine does not give."""
    reason = "no Docker engine answers, and starting one of our own"
    if os.geteuid() != 0:
        raise DevError(f"{reason} takes root", hint="Start a Docker engine, or run this as root.")
    if not succeeds(["dpkg-deb", "--version"]):
        raise DevError(f"{reason} takes Debian 12's packages", hint="Start a Docker engine, or use Debian 12.")
    for place in {_existing(state), _existing(CACHE)}:
        free = shutil.disk_usage(place).free
        if free < SPACE:
            hint = "Free some space, or point KEELWAY_CACHE and KEELWAY_STATE at a larger disk."
            raise DevError(f"{place} has {free / 2**30:.1f} GiB free, the cluster needs {SPACE >> 30}", hint=hint)


def containerd_configuration(state: Path) -> str:
    """containerd for dockerd alone: no CRI, no files outside the state folder."""
    return f"""version = 2
root = "{state}/containerd/root"
state = "{state}/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{state}/containerd.sock"
[ttrpc]
  address = "{state}/containerd.ttrpc"
"""


def dockerd_configuration(settings: Settings, runtime: Path) -> dict[str, object]:
    """dockerd with its images in the cache, all else in the state folder, and `runtime` in runc's place."""
    state = settings.state
    return {
        "data-root": str(CACHE / "engine" / settings.name),
        "exec-root": str(state / "exec"),
        "pidfile": str(state / "docker.pid"),
        "hosts": [docker_host(settings)],
        "containerd": str(state / "containerd.sock"),
        "cgroup-parent": f"/{settings.cgroup}",
        "runtimes": {"adapted": {"path": str(runtime)}},
        "default-runtime": "adapted",
        "deprecated-key-path": str(state / "key.json"),
    }


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())
