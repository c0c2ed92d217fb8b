"""The local cluster: kind on whichever Docker engine there is."""

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path

import yaml

from dev import gobuild
from dev.cluster import archive
from dev.cluster.engine import Engine, Node, UsersEngine, node_names, users_engine_answers
from dev.cluster.kindconfig import Config, port_mappings
from dev.cluster.own_engine import OwnEngine
from dev.cluster.settings import (
    GATEWAY_PORT,
    PROMETHEUS_PORT,
    S3_PORT,
    Settings,
    default_settings,
    read_kind_config,
)
from dev.errors import DevError
from dev.locking import exclusive
from dev.places import BIN, CACHE, ROOT
from dev.processes import run, run_logged, succeeds, wait_until
from dev.progress import step

PROGRAMS = ("kind", "kubectl")
AUDIT_LOG = "/var/log/kubernetes/audit.log"
"""In the control plane's node: one JSON object a line for each finished request."""


class Cluster:
    """The cluster that `kind-config.yaml` describes. Cheap to make; nothing happens before a method is called."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or default_settings()

    @cached_property
    def engine(self) -> Engine:
        """Our own engine if it runs, else the user's if one answers, else our own."""
        own = OwnEngine(self.settings)
        return UsersEngine() if not own.running() and users_engine_answers(self.settings) else own

    @property
    def kubeconfig(self) -> Path:
        return self.settings.kubeconfig

    def up(self, *, bare: bool = False, images: Iterable[str] = ()) -> None:
        """Bring the cluster to Ready, with the platform (KServe, gateway, S3, Prometheus) unless `bare`.

        Does only what is still to do; a cluster made from other inputs is replaced. On a new machine the platform's
        programs take longest: `images` names images to build while these are not ready. Raises DevError that says what
        is missing on this machine.
        """
        from dev.images import build_images
        from dev.platform import install, programs

        with gobuild.ahead([*PROGRAMS, *self.engine.programs, *([] if bare else programs())]):
            gobuild.build(PROGRAMS)
            with self._alone("up"):
                self.engine.up()
                if not self._is_current():
                    self._create()
                build_images(images)
                if not bare:
                    install(self)

    def down(self) -> None:
        """Remove the cluster, and our own engine with all that it changed on the machine. The cache stays."""
        with self._alone("down"):
            if isinstance(self.engine, UsersEngine):
                gobuild.build(["kind"])
                self._kind("delete", "cluster")
                if self.settings.state.exists():
                    shutil.rmtree(self.settings.state)
            self.engine.down()
            del self.engine

    def load(self, archives: Iterable[Path]) -> None:
        """Load image archives into every node. An image's name stands for its content: one that is there is skipped."""
        nodes = self.nodes()
        if not nodes:
            raise DevError("the cluster is not up", hint="Start it with `python -m dev.cluster up`.")
        present = set.intersection(*(self._images(node) for node in nodes))
        for file in archives:
            names = archive.image_names(file)
            with step(f"load {', '.join(names) or file.name}") as current:
                if names and present.issuperset(names):
                    current.note = "already there"
                else:
                    self._kind("load", "image-archive", file)

    def env(self) -> dict[str, str]:
        """What a shell needs to work with the cluster."""
        address = self.engine.address
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(self.settings.state / "kubectl"),
            **self.engine.environment,
            "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
            "KEELWAY_GATEWAY_URL": f"http://{address}:{GATEWAY_PORT}",
            "KEELWAY_S3_URL": f"http://{address}:{S3_PORT}",
            "KEELWAY_PROMETHEUS_URL": f"http://{address}:{PROMETHEUS_PORT}",
        }

    def kubectl(self, *arguments: str | Path, input: str | None = None) -> str:
        """Run kubectl as the cluster's administrator; gives its standard output. Raises DevError when it fails."""
        return run([*self._kubectl, *arguments], input=input)

    def running(self) -> bool:
        """Whether the API server answers."""
        question = ["--request-timeout=5s", "get", "--raw", "/readyz"]
        return self.kubeconfig.exists() and succeeds([*self._kubectl, *question])

    @property
    def _kubectl(self) -> list[str | Path]:
        # Its cache would otherwise stay in the home directory after `down`.
        return [BIN / "kubectl", f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.env()['KUBECACHEDIR']}"]

    def nodes(self) -> list[str]:
        """The nodes that run, the control plane first; each is a container of the engine."""
        return node_names(self.engine, self.settings.name) if self.engine.running() else []

    def on_node(self, *command: str, node: str | None = None) -> str:
        """Run a program on a node (the control plane unless named); gives its standard output."""
        return run(["docker", "exec", node or self.nodes()[0], *command], env=self.engine.environment)

    def audit_log(self, *, skip: int = 0) -> bytes:
        """The API server's audit log from byte `skip` on: one JSON object a line for each finished request."""
        return self.on_node("tail", "--bytes", f"+{skip + 1}", AUDIT_LOG).encode()

    def _alone(self, doing: str) -> AbstractContextManager[None]:
        return exclusive(CACHE / f"{self.settings.name}.lock", doing=f"cluster {doing}")

    @property
    def _stamp(self) -> Path:
        """Says from which inputs the running cluster was made."""
        return self.settings.state / "cluster.json"

    def _configuration(self) -> Config:
        return self.engine.adapt(read_kind_config())

    def _inputs(self) -> str:
        audit = sorted((ROOT / "dev/cluster/audit").iterdir())
        parts = [yaml.safe_dump(self._configuration()), self.engine.node_image_name() or ""]
        content = "\0".join([*parts, *(path.read_text() for path in audit)])
        return json.dumps({"inputs": hashlib.sha256(content.encode()).hexdigest()})

    def _is_current(self) -> bool:
        made_from_these = self._stamp.exists() and self._stamp.read_text() == self._inputs()
        return made_from_these and self.running()

    def _create(self) -> None:
        image = self.engine.node_image()
        if node_names(self.engine, self.settings.name, running=False):
            with step("remove the cluster of other inputs"):
                self._kind("delete", "cluster")
        if isinstance(self.engine, UsersEngine):
            check_ports_free(self._configuration())
        self.settings.state.mkdir(parents=True, exist_ok=True)
        description = self.settings.state / "kind.yaml"
        description.write_text(yaml.safe_dump(self._configuration()))
        with step("create the cluster"):
            chosen = [f"--image={image}"] if image else []
            self._kind("create", "cluster", f"--config={description}", "--wait=180s", *chosen)
        with step("wait for nodes and DNS"):
            self._wait_for_nodes()
        self.engine.connect([self._node(name) for name in self.nodes()])
        self._stamp.write_text(self._inputs())

    def _wait_for_nodes(self) -> None:
        """kind itself waits for the control plane alone."""
        self.kubectl("wait", "--for=condition=ready", "nodes", "--all", "--timeout=120s")
        self.kubectl("rollout", "status", "deployment/coredns", "--namespace=kube-system", "--timeout=120s")
        account = ("get", "serviceaccount", "default", "--namespace=default", "--ignore-not-found", "--output=name")
        wait_until(lambda: self.kubectl(*account), seconds=60, what="the service account of namespace default")

    def _node(self, name: str) -> Node:
        form = "jsonpath={.status.addresses[?(@.type=='InternalIP')].address} {.spec.podCIDR}"
        address, pods = self.kubectl("get", "node", name, "--output", form).split()
        return Node(address=address, pods=pods)

    def _kind(self, *arguments: str | Path) -> None:
        environment = {**self.engine.environment, "KUBECONFIG": str(self.kubeconfig)}
        command = [BIN / "kind", *arguments, f"--name={self.settings.name}"]
        log = self.settings.logs / f"kind-{arguments[0]}.log"
        # Relative paths of the description start at the repository.
        run_logged(command, log=log, env=environment, cwd=ROOT)

    def _images(self, node: str) -> set[str]:
        return set(self.on_node("ctr", "--namespace=k8s.io", "images", "list", "--quiet", node=node).split())


def check_ports_free(config: Config) -> None:
    """Raises DevError that names the ports of this machine which the cluster wants and somebody else has."""
    taken = [mapping["hostPort"] for mapping in port_mappings(config) if not _is_free(mapping)]
    if taken:
        listed = ", ".join(map(str, taken))
        raise DevError(f"taken on this machine: port {listed}", hint="`ss -ltnp` says by whom; stop it and try again.")


def _is_free(mapping: Config) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((mapping["listenAddress"], mapping["hostPort"])) != 0
