"""The node's root file system: Debian packages unpacked without their scripts, which takes seconds."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from dev.debian import unpack, with_fresh_lists
from dev.places import CACHE
from dev.processes import run

PACKAGES = (
    *("base-files", "base-passwd", "netbase", "libc-bin", "bash", "coreutils", "findutils", "grep", "sed", "mawk"),
    *("hostname", "mount", "util-linux", "procps", "tar", "gzip", "busybox-static"),
    *("systemd", "systemd-sysv", "iproute2", "iptables", "nftables"),
    *("containerd", "runc", "containernetworking-plugins"),
)
ONLY_FOR_SCRIPTS = ("perl", "libperl", "libgdbm", "libdb5", "dpkg_", "debconf_")
"""Beginnings of the names of packages that only other packages' scripts would call."""
NOT_NEEDED = (
    *("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian"),
    *("usr/share/bash-completion", "usr/share/zsh", "usr/share/i18n", "usr/lib/udev/hwdb.d", "usr/lib/modprobe.d"),
)
FOLDERS = ("dev", "proc", "sys", "run", "tmp", "root", "kind", "var/log", "etc/cni/net.d", "opt/cni")
MASKED = (
    *("systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount", "systemd-sysctl.service"),
    *("systemd-modules-load.service", "systemd-udevd.service", "systemd-udev-trigger.service"),
    *("systemd-udevd-control.socket", "systemd-udevd-kernel.socket", "systemd-logind.service"),
    *("systemd-timesyncd.service", "systemd-networkd.service", "systemd-random-seed.service"),
    *("systemd-journal-flush.service", "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service"),
    *("systemd-pcrphase.service", "getty.target", "console-getty.service", "dev-hugepages.mount", "dev-mqueue.mount"),
    *("sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount"),
    *("sys-fs-fuse-connections.mount",),
)
"""systemd's units that would touch the machine below, or wait for what a container lacks."""
ENABLED = ("containerd.service", "kubelet.service", "volumes.path")


def make(root: Path) -> None:
    """Fill an empty folder with Debian's part of the node. Raises DevError when a package cannot be had."""
    packages = CACHE / "node-image" / "packages"
    download(packages)
    unpack(packages, root)
    for name in FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in NOT_NEEDED:
        shutil.rmtree(root / name, ignore_errors=True)
    _do_what_scripts_do(root)
    _choose_units(root)


def download(folder: Path) -> None:
    """Download the packages and all that they depend on, whatever this machine itself has installed."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "partial").mkdir(parents=True)
    nothing_installed = ["-o", "Dir::State::status=/dev/null", "-o", "Debug::NoLocking=1"]
    into = ["-o", f"Dir::Cache::Archives={folder}", "-o", "APT::Sandbox::User=root"]
    options = [*nothing_installed, *into, "--yes", "--no-install-recommends", "--download-only"]
    with_fresh_lists(["apt-get", *options, "install", *PACKAGES], cwd=None)
    for package in folder.glob("*.deb"):
        if package.name.startswith(ONLY_FOR_SCRIPTS):
            package.unlink()


def with_libraries(root: Path, programs: Iterable[str]) -> dict[str, str]:
    """Where the programs of a root file system, and each shared library that they load, are looked for and are.

    Both are absolute paths in that root; they differ where the first is a link.
    """
    listing = run(["chroot", root, "/usr/bin/ldd", *programs], check=False)
    words = [word for line in listing.splitlines() if not line.endswith(":") for word in line.split()]
    places = list(dict.fromkeys([*programs, *(word for word in words if word.startswith("/"))]))
    files = run(["chroot", root, "/usr/bin/realpath", *places]).split()
    return dict(zip(places, files, strict=True))


def _do_what_scripts_do(root: Path) -> None:
    """Users, alternatives and caches, as far as a node needs them."""
    for name in ("passwd", "group"):
        shutil.copy(root / f"usr/share/base-passwd/{name}.master", root / "etc" / name)
    _link(root, "usr/bin/sh", "bash")
    _link(root, "usr/bin/awk", "mawk")
    for family in ("iptables", "ip6tables"):
        for ending in ("", "-save", "-restore"):
            _link(root, f"usr/sbin/{family}{ending}", "xtables-nft-multi")
    (root / "tmp").chmod(0o1777)
    (root / "root/.bashrc").write_text("export KUBECONFIG=/etc/kubernetes/admin.conf\n")
    run(["chroot", root, "/sbin/ldconfig"])
    run(["chroot", root, "/usr/bin/systemd-sysusers"])


def _choose_units(root: Path) -> None:
    units = "etc/systemd/system"
    _link(root, f"{units}/default.target", "/lib/systemd/system/multi-user.target")
    for name in ENABLED:
        _link(root, f"{units}/multi-user.target.wants/{name}", f"../{name}")
    for name in MASKED:
        _link(root, f"{units}/{name}", "/dev/null")


def _link(root: Path, place: str, target: str) -> None:
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).unlink(missing_ok=True)
    (root / place).symlink_to(target)
