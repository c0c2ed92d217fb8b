"""The operator as a process of its own, to be started, stopped and killed by tests."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from dev import release
from dev.controlplane import LOOPBACK, free_ports
from tests.apiserver.waiting import eventually
from tests.perf.running import peak_of

WORKER_IMAGE = "dev.local/keelway-worker:test"


class OperatorProcess:
    """`python -m keelway` with the credentials of a kubeconfig."""

    def __init__(self, kubeconfig: Path, log: Path, *, workers: int = 8) -> None:
        self.log = log
        self._workers = workers
        self._kubeconfig = kubeconfig
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def start(self) -> None:
        """Start it, without waiting for anything."""
        assert self._process is None, "it runs already"
        (self._port,) = free_ports(1)
        with self.log.open("ab") as log:
            log.write(b"--- start ---\n")
            log.flush()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "keelway"], env=self._environment(), stdout=log, stderr=subprocess.STDOUT
            )

    def wait_ready(self, seconds: float = 30) -> None:
        """Wait until it says that it is ready."""
        eventually(self.is_ready, seconds=seconds, what="operator ready", every=0.05)

    def check(self) -> None:
        """Fail the test when the process has ended by itself."""
        assert self._process is not None, "the operator was not started"
        assert self._process.poll() is None, f"the operator ended with {self._process.returncode}:\n{self.tail()}"

    def is_ready(self) -> bool:
        """Whether /readyz answers 200. Fails the test when the process has ended by itself."""
        self.check()
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self._port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """kill -9, without waiting. A process that is gone already is fine."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)

    def stop(self, grace: float = 10) -> int:
        """Ask it to end as Kubernetes does; gives the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self.wait_ended(grace)

    def wait_ended(self, seconds: float) -> int:
        """Wait for the end of the process; gives the exit code."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._process = None

    def close(self) -> None:
        """End it, however it stands."""
        if self._process:
            self.kill()
            self.wait_ended(10)

    def restart(self) -> None:
        """Stop it as Kubernetes does and start it again."""
        self.stop()
        self.start()
        self.wait_ready()

    def looks(self) -> dict[str, float]:
        """How many decisions about each kind the process has taken since it started."""
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self._port}/metrics", timeout=5) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        counted: dict[str, float] = {}
        for sample in (sample for family in families for sample in family.samples):
            if sample.name == "keelway_reconciles_total":
                kind = sample.labels["kind"]
                counted[kind] = counted.get(kind, 0) + sample.value
        return counted

    def peak_bytes(self) -> int:
        """The largest resident set of the process since it started."""
        assert self._process is not None
        return peak_of(self._process.pid)

    def tail(self, lines: int = 40) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "KEELWAY_KUBECONFIG": str(self._kubeconfig),
            # As in a pod: after a crash the same holder takes the Lease again at once.
            "KEELWAY_IDENTITY": "test-operator",
            "KEELWAY_WORKER_IMAGE": WORKER_IMAGE,
            "KEELWAY_NAMESPACE": release.NAMESPACE,
            "KEELWAY_WORKERS": str(self._workers),
            "KEELWAY_HEALTH_HOST": LOOPBACK,
            "KEELWAY_HEALTH_PORT": str(self._port),
            "KEELWAY_LOG_LEVEL": "INFO",
        }
