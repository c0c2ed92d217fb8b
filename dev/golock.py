"""Pins a family of Go programs to a release: `python -m dev.golock FAMILY VERSION` writes `dev/go/FAMILY/go.{mod,sum}`.

A module's `replace` and `exclude` lines count only in the main module, so ours repeats them. Never `go mod tidy`: it
adds what only tests of others need.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from dev.errors import DevError
from dev.gobuild import MODULES, PROGRAMS, go, go_environment
from dev.processes import run
from dev.progress import step

MODULE_OF = {
    "kubernetes": "k8s.io/kubernetes",
    "kind": "sigs.k8s.io/kind",
    "coredns": "github.com/coredns/coredns",
    "versitygw": "github.com/versity/versitygw",
    "fake-gcs-server": "github.com/fsouza/fake-gcs-server",
    "kserve": "github.com/kserve/kserve",
    "prometheus": "github.com/prometheus/prometheus",
    "traefik": "github.com/traefik/traefik/v3",
    "gateway-api": "sigs.k8s.io/gateway-api",
}
"""Family -> the module whose release it follows."""
LANGUAGE = "1.26.0"


def pin(family: str, version: str) -> None:
    """Write both files anew. Raises DevError with Go's words when the release cannot be had."""
    folder = MODULES / family
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "go.mod"
    file.write_text("\n".join(module_file(family, version, upstream(MODULE_OF[family], version))) + "\n")
    (folder / "go.sum").unlink(missing_ok=True)
    programs = [program for program in PROGRAMS.values() if program.family == family]
    if programs:
        tags = {tag for program in programs for tag in program.tags}
        packages = [program.package for program in programs]
        _go("list", "-mod=mod", f"-tags={','.join(sorted(tags))}", "-deps", *packages, cwd=folder)
    else:
        _go("mod", "download", MODULE_OF[family], cwd=folder)


def module_file(family: str, version: str, module: dict[str, Any]) -> Iterator[str]:
    """The lines of go.mod, from `module`, which is the followed module's own as `go mod edit -json` gives it."""
    yield from (f"module keelway.local/{family}", "", f"go {LANGUAGE}")
    yield from (f"godebug {each['Key']}={each['Value']}" for each in module.get("Godebug") or ())
    tools = sorted(program.package for program in PROGRAMS.values() if program.family == family)
    yield from _block("tool", tools)
    yield from ("", f"require {MODULE_OF[family]} {version}")
    yield from _block("replace", [_replacement(each, version) for each in module.get("Replace") or ()])
    yield from _block("exclude", [f"{each['Path']} {each['Version']}" for each in module.get("Exclude") or ()])


def upstream(module: str, version: str) -> dict[str, Any]:
    """A module's own go.mod."""
    found = json.loads(_go("mod", "download", "-json", f"{module}@{version}", cwd=MODULES))
    parsed: dict[str, Any] = json.loads(_go("mod", "edit", "-json", found["GoMod"], cwd=MODULES))
    return parsed


def _replacement(line: dict[str, Any], version: str) -> str:
    old, new = line["Old"], line["New"]
    left = f"{old['Path']} {old['Version']}" if old.get("Version") else old["Path"]
    if new.get("Version"):
        return f"{left} => {new['Path']} {new['Version']}"
    # Kubernetes replaces its parts by folders; they are published under the same number as v0.
    return f"{left} => {old['Path']} v0.{version.removeprefix('v1.')}"


def _block(word: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield from ("", f"{word} (", *(f"\t{line}" for line in lines), ")")


def _go(*arguments: str, cwd: Path) -> str:
    return run([go(), *arguments], cwd=cwd, env=go_environment())


@click.command()
@click.argument("family", type=click.Choice(sorted(MODULE_OF)))
@click.argument("version")
def main(family: str, version: str) -> None:
    """Pin FAMILY to VERSION, as in `kind v0.33.0`."""
    try:
        with step(f"pin {family} {version}"):
            pin(family, version)
    except DevError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
