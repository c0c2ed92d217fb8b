"""The Debian packages of our own engine, installed so that none of their services starts."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.debian import install
from dev.processes import run
from dev.progress import step

PACKAGE_OF = {
    "ip": "iproute2",
    "iptables": "iptables",
    "nft": "nftables",
    "runc": "runc",
    "containerd": "containerd",
    "dockerd": "docker.io",
}
"""Program -> the package that brings it."""
SERVICE_POLICY = Path("/usr/sbin/policy-rc.d")
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


def install_engine() -> None:
    """Install what is missing of containerd, dockerd and what they call."""
    missing = [package for program, package in PACKAGE_OF.items() if not shutil.which(program, path=SYSTEM_PATH)]
    if missing:
        with step(f"install {', '.join(missing)}"), no_service_starts():
            for package in missing:
                install(package)


@contextmanager
def no_service_starts() -> Iterator[None]:
    """Debian starts a service it installs unless this file says 101; a policy of the machine's own stays."""
    if SERVICE_POLICY.exists():
        yield
        return
    SERVICE_POLICY.write_text("#!/bin/sh\nexit 101\n")
    SERVICE_POLICY.chmod(0o755)
    try:
        yield
    finally:
        SERVICE_POLICY.unlink(missing_ok=True)


def architecture() -> str:
    """Debian's and OCI's common name of this machine's kind, as in `amd64`."""
    return run(["dpkg", "--print-architecture"]).strip()
