"""A Python base image from Debian packages, for machines where no Docker engine can fetch the public one."""

import shutil
import tempfile
from pathlib import Path

from dev.debian import download, unpack
from dev.errors import DevError
from dev.processes import run, succeeds

PYTHON_PACKAGES = (
    *("base-files", "netbase", "media-types", "tzdata", "ca-certificates", "busybox-static"),
    *("libc6", "libc-bin", "libgcc-s1", "libstdc++6", "libgomp1", "zlib1g", "libexpat1", "libssl3", "libffi8"),
    *("libbz2-1.0", "liblzma5", "libsqlite3-0", "libuuid1", "libcrypt1"),
    *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "python3.11"),
)
"""Python with all of its standard library but for terminals, NIS and Berkeley DB, and what wheels on PyPI link to."""
NOT_NEEDED = ("doc", "man", "locale", "lintian", "info", "bug", "applications", "pixmaps")
PASSWD = "root:x:0:0:root:/root:/usr/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/usr/sbin/nologin\n"
GROUP = "root:x:0:\nnonroot:x:65532:\n"


def write_python_base(archive: Path) -> None:
    """Write the root file system of the base image as a tar. Raises DevError on other systems than Debian 12."""
    if not succeeds(["dpkg-deb", "--version"]):
        raise DevError(
            "Without a Docker engine the images are made from Debian packages, and this is no Debian",
            hint="Start a Docker engine, or use a Debian 12 machine.",
        )
    with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
        packages, root = Path(scratch) / "packages", Path(scratch) / "root"
        download(PYTHON_PACKAGES, packages)
        unpack(packages, root)
        _finish(root)
        owner = ["--numeric-owner", "--owner=0", "--group=0"]
        run(["tar", "--create", *owner, "--file", archive, "--directory", root, "."])


def _finish(root: Path) -> None:
    """Do what the packages' scripts would have done, as far as a Python program notices."""
    for name in NOT_NEEDED:
        shutil.rmtree(root / "usr" / "share" / name, ignore_errors=True)
    (root / "usr/bin/python3").symlink_to("python3.11")
    (root / "usr/bin/sh").symlink_to("busybox")
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)
    authorities = sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt"))
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    bundle.write_text("".join(authority.read_text() for authority in authorities))
    (root / "tmp").chmod(0o1777)
    run(["ldconfig", "-r", root])
