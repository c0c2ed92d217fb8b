"""Virtual environments apart from our own, for what is heavy or must not meet it: each holds what one lock says.

`python -m dev.environments NAME...` makes them from a shell.
"""

import shutil
import sys
from pathlib import Path

import click

from dev.errors import DevError
from dev.hashing import hash_of
from dev.locking import exclusive
from dev.places import CACHE, ROOT
from dev.processes import run_logged
from dev.progress import step


def python_of(name: str) -> Path:
    """The Python of an environment with `requirements/NAME.lock`, made when it is not there. Raises DevError."""
    lock = ROOT / "requirements" / f"{name}.lock"
    folder = CACHE / name / hash_of(lock)
    if not (folder / ".stamp").exists():
        with exclusive(CACHE / f".{name}.lock", doing=f"install {lock.name}"):
            if not (folder / ".stamp").exists():
                _make(folder, lock)
    return folder / "bin" / "python"


def _make(folder: Path, lock: Path) -> None:
    # Of older locks.
    shutil.rmtree(folder.parent, ignore_errors=True)
    with step(f"install {lock.name}"):
        log = CACHE / "log" / f"{lock.stem}.log"
        run_logged([sys.executable, "-m", "venv", folder], log=log)
        install: list[str | Path] = [
            folder / "bin" / "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        # A lock says all there is to install, also where it leaves out what a package asks for.
        run_logged([*install, "--no-deps", "--require-hashes", "-r", lock], log=log)
    (folder / ".stamp").touch()


@click.command()
@click.argument("names", nargs=-1, required=True)
def main(names: tuple[str, ...]) -> None:
    """Make the environments of requirements/NAME.lock, one for each of NAMES."""
    try:
        for name in names:
            click.echo(python_of(name))
    except DevError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
