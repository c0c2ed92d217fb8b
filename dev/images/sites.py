"""Python packages for the images, installed on this machine by their locks: building an image needs no network then."""

import shutil
import sys
from pathlib import Path

from dev.hashing import hash_of
from dev.images.catalogue import REQUIREMENTS
from dev.places import CACHE
from dev.processes import run_logged
from dev.progress import step

PYTHON = "3.11"
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_28_x86_64")
NOT_NEEDED = ("tests", "bin")
"""Folders that no program imports; without them scikit-learn, SciPy and NumPy are 30 MB smaller."""


def lock_file(name: str) -> Path:
    """The lock of a site: exact versions with hashes, for x86-64 and Python 3.11."""
    return REQUIREMENTS / f"{name}.lock"


def recipe() -> tuple[Path, ...]:
    """The files that decide, besides the lock, what an image's packages look like."""
    folder = Path(__file__).parent
    return folder / "sites.py", folder / "compile.py"


def install_site(name: str, folder: Path) -> None:
    """Make `folder` hold exactly the packages of the lock `name`; does nothing when it already does."""
    stamp, wanted = folder.with_suffix(".stamp"), _stamp(name)
    if folder.is_dir() and stamp.exists() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    with step(f"packages for image {name}") as current:
        run_logged(_pip_install(name, folder), log=CACHE / "log" / f"packages-{name}.log")
        _drop_what_is_not_needed(folder)
        current.note = f"{_megabytes(folder):.0f} MB"
    stamp.write_text(wanted)


def _pip_install(name: str, folder: Path) -> list[str]:
    platforms = [f"--platform={platform}" for platform in PLATFORMS]
    exact = ["--require-hashes", "--no-deps", "--only-binary=:all:", f"--python-version={PYTHON}", *platforms]
    quiet = ["--quiet", "--no-compile", "--disable-pip-version-check", "--root-user-action=ignore"]
    return [sys.executable, "-m", "pip", "install", *quiet, *exact, f"--target={folder}", f"-r{lock_file(name)}"]


def _drop_what_is_not_needed(folder: Path) -> None:
    for name in NOT_NEEDED:
        for found in sorted(folder.rglob(name)):
            if found.is_dir():
                shutil.rmtree(found)


def _megabytes(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*")) / 1e6


def _stamp(name: str) -> str:
    return hash_of(lock_file(name), *recipe())
