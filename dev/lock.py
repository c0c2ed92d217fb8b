"""Resolves `requirements/*.lock` anew: exact versions with hashes, for x86-64 and Python 3.11, wheels but for one.

What the operator and the developers need stands in pyproject.toml; what goes into another image stands in
`requirements/NAME.in`. A file `requirements/NAME.excludes` lists packages that others ask for but NAME never imports.
"""

import sys
from pathlib import Path

import click

from dev.errors import DevError
from dev.places import CACHE, ROOT
from dev.processes import run
from dev.progress import step

UV_FROM_PYPI = "uv==0.13.9"
REQUIREMENTS = ROOT / "requirements"
FROM_PROJECT = {"dev": ("--all-extras", "--group", "dev"), "operator": ("--extra", "search")}
PLATFORM = ("--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28", "--only-binary", ":all:")
FROM_SOURCE = ("jsonpath-rw",)
"""Pure Python without a wheel; mlcroissant, which the tests need, asks for it."""


def resolve(name: str, *, upgrade: bool) -> None:
    """Write `requirements/NAME.lock`. Versions already there are kept where they still fit, unless `upgrade`."""
    options = ["--quiet", "--generate-hashes", "--no-header", "--no-annotate", *PLATFORM]
    options += [f"--no-binary={package}" for package in FROM_SOURCE]
    if upgrade:
        options.append("--upgrade")
    if (excludes := REQUIREMENTS / f"{name}.excludes").exists():
        options += ["--excludes", str(excludes)]
    with step(f"resolve {name}.lock"):
        run([_uv(), "pip", "compile", *options, *_inputs(name), "--output-file", REQUIREMENTS / f"{name}.lock"])


def _inputs(name: str) -> list[str | Path]:
    if name in FROM_PROJECT:
        return [ROOT / "pyproject.toml", *FROM_PROJECT[name]]
    return [REQUIREMENTS / f"{name}.in"]


def _uv() -> Path:
    folder = CACHE / "uv"
    if not (folder / "bin" / "uv").exists():
        run([sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, UV_FROM_PYPI])
    return folder / "bin" / "uv"


@click.command()
@click.option("--upgrade", is_flag=True, help="Take the newest versions that fit.")
def main(upgrade: bool) -> None:
    """Resolve every lock."""
    try:
        for name in sorted({*FROM_PROJECT, *(path.stem for path in REQUIREMENTS.glob("*.in"))}):
            resolve(name, upgrade=upgrade)
    except DevError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
