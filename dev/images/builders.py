"""The two programs that build images: a Docker engine where one answers, else buildah."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from dev import debian
from dev.cluster.engine import users_engine_answers
from dev.cluster.settings import default_settings
from dev.errors import DevError
from dev.hashing import hash_of
from dev.images import python_base
from dev.places import CACHE, ROOT
from dev.processes import run, run_logged, succeeds
from dev.progress import step

DOCKERFILE = ROOT / "Dockerfile"
STORE = CACHE / "images" / "store"


class Builder(Protocol):
    """Builds a target of the Dockerfile and keeps the result where its own tool looks for images."""

    @property
    def base(self) -> str:
        """What the Python stages start from, part of their images' content hash; empty for the Dockerfile's default."""

    def prepare(self, context: Path, *, base: bool) -> None:
        """Make sure that the tool and, where wanted, the base image of the Python stages are there."""

    def build(self, target: str, *, tag: str, context: Path, arguments: dict[str, str]) -> None:
        """Build one target and tag it."""

    def save(self, tag: str, archive: Path) -> None:
        """Write an image as a tar that `kind load image-archive` and `docker load` read."""

    def forget(self, repository: str, *, but: str) -> None:
        """Remove the images of a repository whose tag is another."""


def choose_builder() -> Builder:
    """Docker where an engine of the user's answers, else buildah."""
    return Docker() if users_engine_answers(default_settings()) else Buildah()


@dataclass(frozen=True)
class Docker:
    """BuildKit in a Docker engine."""

    base: str = ""

    def prepare(self, context: Path, *, base: bool) -> None:
        """The engine fetches the base image when a build asks for it."""

    def build(self, target: str, *, tag: str, context: Path, arguments: dict[str, str]) -> None:
        options = [f"--target={target}", f"--tag={tag}", f"--file={DOCKERFILE}", *_build_arguments(arguments)]
        run_logged(["docker", "build", *options, context], log=_log(target), env={"DOCKER_BUILDKIT": "1"})

    def save(self, tag: str, archive: Path) -> None:
        run(["docker", "save", f"--output={archive}", tag])

    def forget(self, repository: str, *, but: str) -> None:
        listed = run(["docker", "image", "ls", "--format={{.Repository}}:{{.Tag}}", repository]).split()
        if old := [tag for tag in listed if tag != but]:
            run(["docker", "image", "rm", *old])


class Buildah:
    """buildah with a store of our own in the cache, in a mount namespace of its own: it leaves no mount behind."""

    @cached_property
    def base(self) -> str:
        return f"localhost/keelway-debian:{hash_of(Path(debian.__file__), Path(python_base.__file__))}"

    def prepare(self, context: Path, *, base: bool) -> None:
        if os.geteuid() != 0:
            raise DevError("Building images without a Docker engine takes root", hint="Run it as root, or start one.")
        if not succeeds(["buildah", "--version"]):
            with step("install buildah"):
                debian.install("buildah")
        if base and not self._has(self.base):
            with step("base image from Debian packages"):
                python_base.write_python_base(context / "debian.tar")
                self.build("debian", tag=self.base, context=context, arguments={})
                self.forget(self.base.partition(":")[0], but=self.base)

    def build(self, target: str, *, tag: str, context: Path, arguments: dict[str, str]) -> None:
        options = [f"--target={target}", f"--tag={tag}", f"--file={DOCKERFILE}", *_build_arguments(arguments)]
        isolated = ["--isolation=chroot", "--layers", "--pull-never"]
        with self._buildah() as buildah:
            run_logged([*buildah, "build", *isolated, *options, str(context)], log=_log(target))

    def save(self, tag: str, archive: Path) -> None:
        with self._buildah() as buildah:
            run([*buildah, "push", "--quiet", tag, f"docker-archive:{archive}:{tag}"])

    def forget(self, repository: str, *, but: str) -> None:
        with self._buildah() as buildah:
            listed = run([*buildah, "images", "--format={{.Name}}:{{.Tag}}"]).split()
            if old := [tag for tag in listed if tag.startswith(f"{repository}:") and tag != but]:
                # A build that was killed leaves a working container behind, which must not hold its image for ever.
                run([*buildah, "rmi", "--force", *old])
                run([*buildah, "rmi", "--prune", "--force"])

    def _has(self, tag: str) -> bool:
        with self._buildah() as buildah:
            return succeeds([*buildah, "inspect", "--type=image", tag])

    @contextmanager
    def _buildah(self) -> Iterator[list[str]]:
        """The start of a buildah command. Mounts end with it, so the record of them is new each time."""
        with tempfile.TemporaryDirectory(prefix="keelway-buildah-") as record:
            alone = ["unshare", "--mount", "--propagation=private"]
            places = [f"--root={STORE / self._driver}", f"--runroot={record}", f"--storage-driver={self._driver}"]
            yield [*alone, "buildah", *places]

    @cached_property
    def _driver(self) -> str:
        """`overlay` where this file system takes it; `vfs` works everywhere and copies every layer whole."""
        STORE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=STORE) as place:
            folders = {name: Path(place) / name for name in ("lower", "upper", "work", "merged")}
            for folder in folders.values():
                folder.mkdir()
            options = ",".join(f"{name}dir={folders[name]}" for name in ("lower", "upper", "work"))
            mount = ["mount", "-t", "overlay", "overlay", "-o", options, str(folders["merged"])]
            works = succeeds(["unshare", "--mount", "--propagation=private", *mount])
        return "overlay" if works else "vfs"


def _build_arguments(arguments: dict[str, str]) -> list[str]:
    return [f"--build-arg={name}={value}" for name, value in arguments.items()]


def _log(target: str) -> Path:
    return CACHE / "log" / f"image-{target}.log"
