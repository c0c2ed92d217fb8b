"""Debian packages: installed on this machine, or unpacked into a root file system that has nothing to do with it."""

from collections.abc import Iterable
from pathlib import Path

from dev.errors import DevError
from dev.processes import run

LINKED_INTO_USR = ("bin", "sbin", "lib", "lib64")


def install(package: str) -> None:
    """Install a Debian package of this machine's release, without what it only recommends."""
    apt = ["apt-get", "install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", package]
    with_fresh_lists(apt, cwd=None)


def download(packages: Iterable[str], folder: Path) -> None:
    """Download exactly the named packages, without dependencies, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with_fresh_lists(["apt-get", "download", "-o", "APT::Sandbox::User=root", *packages], cwd=folder)


def with_fresh_lists(apt: list[str], *, cwd: Path | None) -> None:
    """Run apt-get; when its package lists are missing or old, fetch them and run it once more."""
    try:
        run(apt, cwd=cwd, env={"DEBIAN_FRONTEND": "noninteractive"})
    except DevError:
        run(["apt-get", "update", "--quiet"])
        run(apt, cwd=cwd, env={"DEBIAN_FRONTEND": "noninteractive"})


def unpack(packages: Path, root: Path) -> None:
    """Unpack a folder's .deb files into a root file system whose /bin, /sbin and /lib lie in /usr; runs no scripts."""
    for name in LINKED_INTO_USR:
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    each = 'for deb in "$0"/*.deb; do dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$1"; done'
    run(["bash", "-e", "-o", "pipefail", "-c", each, packages, root])
