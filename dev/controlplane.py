"""A real control plane without nodes, on free loopback ports: etcd, kube-apiserver, kube-controller-manager.

For tests of everything that needs a true API server (schemas, CEL rules, field ownership, garbage collection, the Job
controller) but no running container. Ready in a few seconds; several can run side by side.
"""

import base64
import json
import re
import shutil
import socket
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from dev import gobuild
from dev.pki import Authority, Credentials, signing_pair
from dev.places import ROOT
from dev.processes import Child, run, succeeds, wait_until

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
AUDIT_POLICY = ROOT / "dev" / "cluster" / "audit" / "policy.yaml"
ADMINISTRATORS = "system:masters"
ISSUER = "https://kubernetes.default.svc.cluster.local"
LOOPBACK = "127.0.0.1"


@dataclass(kw_only=True)
class ControlPlane:
    """`with ControlPlane() as plane:` gives a fresh, empty cluster; leaving it ends all processes and their files.

    Its processes end with the thread that started them, so start it from one that lives as long as it is needed.
    """

    event_ttl: str = "15m"
    _folder: Path = field(init=False)
    _authority: Authority = field(init=False)
    _port: int = field(init=False)
    _programs: dict[str, Path] = field(init=False)
    _ending: ExitStack = field(init=False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start the three programs and wait until the API answers and service accounts are made.

        Raises DevError with the end of the log of the program that failed.
        """
        self._programs = gobuild.build(PROGRAMS)
        self._authority = Authority.new("keelway-dev")
        with ExitStack() as ending:
            self._folder = Path(tempfile.mkdtemp(prefix="keelway-plane-"))
            ending.callback(shutil.rmtree, self._folder)
            etcd_port, peer_port, self._port = free_ports(3)
            self._write_keys()
            etcd = self._spawn("etcd", _etcd_options(self._folder, etcd_port, peer_port), ending)
            api = self._spawn("kube-apiserver", self._api_options(etcd_port), ending)
            self._await("API server", ["get", "--raw", "/readyz"], etcd, api)
            manager = self._spawn("kube-controller-manager", self._manager_options(), ending)
            self._await("controller manager", ["get", "serviceaccount", "default", "-n", "default"], api, manager)
            self._ending = ending.pop_all()

    def stop(self) -> None:
        """End the programs and remove their folder."""
        self._ending.close()

    @property
    def url(self) -> str:
        """Address of the API server; its certificate is signed by `certificate_authority`."""
        return f"https://{LOOPBACK}:{self._port}"

    @property
    def certificate_authority(self) -> Path:
        return self._folder / "ca.crt"

    @property
    def kubeconfig(self) -> Path:
        """Credentials of an administrator named `admin`."""
        return self.kubeconfig_for("admin", groups=(ADMINISTRATORS,))

    @property
    def audit_log(self) -> Path:
        """One JSON object a line for each finished request (audit.k8s.io/v1 Event at level Metadata).

        Complete up to every response that a client has read.
        """
        return self._folder / "audit.log"

    def admin_kubeconfig_for(self, user: str) -> Path:
        """Credentials of an administrator of that name, which the audit log shows as `user.username`."""
        return self.kubeconfig_for(user, groups=(ADMINISTRATORS,))

    def kubeconfig_for(self, user: str, *, groups: Sequence[str] = (), server: str | None = None) -> Path:
        """A kubeconfig for `user`, who may do what RBAC grants; `server` puts a proxy (https) in between."""
        address = server or self.url
        path = self._folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', ' '.join((user, *groups, address)))}.kubeconfig"
        if not path.exists():
            credentials = self._authority.client(user, groups=groups)
            path.write_text(json.dumps(kubeconfig(address, self._authority.certificate, user, credentials)))
        return path

    def serving_credentials(self, *hosts: str) -> Credentials:
        """Credentials for a TLS server of a test (fake node, proxy) under the cluster's authority."""
        return self._authority.server(*hosts)

    def kubectl(self, *arguments: str | Path, input: str | None = None) -> str:
        """Run kubectl as administrator; gives its standard output."""
        return run([*self._kubectl(), *arguments], input=input)

    def _kubectl(self) -> list[str | Path]:
        return [
            self._programs["kubectl"],
            f"--kubeconfig={self.kubeconfig}",
            f"--cache-dir={self.kubeconfig.parent / 'kubectl'}",
        ]

    def _write_keys(self) -> None:
        private, public = signing_pair()
        serving = self._authority.server(LOOPBACK, "localhost", "10.96.0.1", "kubernetes.default.svc")
        node_client = self._authority.client("kube-apiserver-kubelet-client", groups=(ADMINISTRATORS,))
        self._write("ca.crt", self._authority.certificate)
        self._write("apiserver.crt", serving.certificate)
        self._write("apiserver.key", serving.key)
        self._write("kubelet-client.crt", node_client.certificate)
        self._write("kubelet-client.key", node_client.key)
        self._write("sa.key", private)
        self._write("sa.pub", public)

    def _write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text)

    def _spawn(self, name: str, options: dict[str, object], ending: ExitStack) -> Child:
        words = [f"--{option}={value}" for option, value in options.items()]
        child = Child.start(name, [self._programs[name], *words], log=self._folder / f"{name}.log")
        ending.callback(child.kill)
        return child

    def _await(self, what: str, question: list[str], *children: Child) -> None:
        def answered() -> bool:
            for child in children:
                child.check()
            return succeeds([*self._kubectl(), *question])

        wait_until(answered, seconds=60, what=f"{what} ready", every=0.1, log=children[-1].log)

    def _api_options(self, etcd_port: int) -> dict[str, object]:
        keys = self._folder
        return {
            "etcd-servers": f"http://{LOOPBACK}:{etcd_port}",
            "bind-address": LOOPBACK,
            "advertise-address": LOOPBACK,
            "secure-port": self._port,
            "service-cluster-ip-range": "10.96.0.0/16",
            "authorization-mode": "RBAC",
            "client-ca-file": keys / "ca.crt",
            "tls-cert-file": keys / "apiserver.crt",
            "tls-private-key-file": keys / "apiserver.key",
            "service-account-issuer": ISSUER,
            "service-account-key-file": keys / "sa.pub",
            "service-account-signing-key-file": keys / "sa.key",
            # Without a --kubelet-certificate-authority any serving certificate of a fake node will do.
            "kubelet-client-certificate": keys / "kubelet-client.crt",
            "kubelet-client-key": keys / "kubelet-client.key",
            "kubelet-preferred-address-types": "InternalIP",
            "endpoint-reconciler-type": "none",
            "event-ttl": self.event_ttl,
            "profiling": "false",
            "audit-policy-file": AUDIT_POLICY,
            "audit-log-path": self.audit_log,
            "audit-log-maxsize": 10_000,
        }

    def _manager_options(self) -> dict[str, object]:
        keys = self._folder
        return {
            "kubeconfig": self.kubeconfig_for("system:kube-controller-manager"),
            "leader-elect": "false",
            "secure-port": 0,
            "use-service-account-credentials": "true",
            "service-account-private-key-file": keys / "sa.key",
            "root-ca-file": keys / "ca.crt",
            # A fake node sends no heartbeats.
            "controllers": "*,-node-lifecycle-controller",
            "kube-api-qps": 500,
            "kube-api-burst": 1000,
            "concurrent-job-syncs": 16,
        }


def kubeconfig(server: str, authority: str, user: str, credentials: Credentials) -> dict[str, object]:
    """A kubeconfig with everything inline; kubectl and each client library read JSON as the YAML it is."""
    cluster = {"server": server, "certificate-authority-data": _base64(authority)}
    keys = {
        "client-certificate-data": _base64(credentials.certificate),
        "client-key-data": _base64(credentials.key),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "keelway", "cluster": cluster}],
        "users": [{"name": user, "user": keys}],
        "contexts": [{"name": "keelway", "context": {"cluster": "keelway", "user": user}}],
        "current-context": "keelway",
    }


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now; held open together, so that all differ."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]


def _etcd_options(folder: Path, port: int, peer_port: int) -> dict[str, object]:
    client, peer = f"http://{LOOPBACK}:{port}", f"http://{LOOPBACK}:{peer_port}"
    return {
        "data-dir": folder / "etcd",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"default={peer}",
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
