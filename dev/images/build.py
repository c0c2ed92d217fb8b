"""Builds images once for each content, and keeps each as an archive that a cluster can load."""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dev import gobuild
from dev.errors import DevError
from dev.hashing import hash_of
from dev.images.builders import DOCKERFILE, Builder, choose_builder
from dev.images.catalogue import IMAGES, Image
from dev.images.dockerfile import instructions
from dev.images.sites import install_site, lock_file, recipe
from dev.places import BIN, CACHE
from dev.progress import step

FOLDER = CACHE / "images"
CONTEXT = FOLDER / "context"
COMPILER = Path(__file__).with_name("compile.py")


@dataclass(frozen=True, kw_only=True)
class BuiltImage:
    """An image that is ready to load."""

    ref: str
    """`dev.local/keelway-NAME:HASH`; the hash covers all that decides the image."""
    archive: Path
    """A tar that `kind load image-archive` and `docker load` read."""


def build_images(names: Iterable[str] = IMAGES) -> dict[str, BuiltImage]:
    """Make sure that the named images are built from what lies here now; gives the reference and archive of each.

    Raises DevError that says what is missing on this machine, or shows the end of the failed step's log.
    """
    wanted = list(names)
    if unknown := set(wanted) - IMAGES.keys():
        raise DevError(f"no such image: {', '.join(sorted(unknown))}", hint=f"There are: {', '.join(IMAGES)}")
    images, builder = [IMAGES[name] for name in wanted], choose_builder()
    built = {image.name: describe(image, builder) for image in images}
    # Those of Python first: meanwhile programs may be built.
    for some in ([image for image in images if not image.program], [image for image in images if image.program]):
        gobuild.build(image.program for image in some if image.program)
        if missing := [image for image in some if not built[image.name].archive.exists()]:
            with _one_at_a_time():
                _build_missing(missing, built, builder)
    return built


def describe(image: Image, builder: Builder) -> BuiltImage:
    """The name that the present content gives an image, whether or not it is built."""
    digest = content_hash(image, builder.base)
    return BuiltImage(ref=f"{image.repository}:{digest}", archive=FOLDER / "archives" / image.name / f"{digest}.tar")


def content_hash(image: Image, base: str) -> str:
    """12 hexadecimal characters over all that decides what is in an image."""
    steps = instructions(DOCKERFILE.read_text(), image.target)
    if image.program:
        return hash_of(steps, image.command, gobuild.stamp_of(gobuild.PROGRAMS[image.program]))
    parts: list[str | Path] = [base, *(lock_file(site) for site in image.sites)]
    for code in image.code:
        for inside, file in code.files().items():
            parts += [inside, file]
    return hash_of(steps, *recipe(), *parts)


def _build_missing(images: list[Image], built: dict[str, BuiltImage], builder: Builder) -> None:
    CONTEXT.mkdir(parents=True, exist_ok=True)
    shutil.copy2(COMPILER, CONTEXT)
    still_missing = [image for image in images if not built[image.name].archive.exists()]
    for image in still_missing:
        _lay_out(image)
    builder.prepare(CONTEXT, base=any(image.sites for image in still_missing))
    for image in still_missing:
        _build(image, built[image.name], builder)


def _build(image: Image, result: BuiltImage, builder: Builder) -> None:
    arguments = {"PROGRAM": image.name} if image.program else {"BASE": builder.base}
    given = {name: value for name, value in arguments.items() if value}
    archive = result.archive
    fresh = archive.with_suffix(".new")
    with step(f"image {image.name}") as current:
        builder.build(image.target, tag=result.ref, context=CONTEXT, arguments=given)
        shutil.rmtree(archive.parent, ignore_errors=True)
        archive.parent.mkdir(parents=True)
        builder.save(result.ref, fresh)
        fresh.rename(archive)
        builder.forget(image.repository, but=result.ref)
        current.note = f"{archive.stat().st_size / 1e6:.0f} MB"


def _lay_out(image: Image) -> None:
    """Put all that an image's stages copy into the build context."""
    for site in image.sites:
        install_site(site, CONTEXT / site / "site")
    if image.program:
        _lay_out_program(image)
    if image.code:
        _lay_out_code(image)


def _lay_out_code(image: Image) -> None:
    folder = CONTEXT / image.name / "code"
    shutil.rmtree(folder, ignore_errors=True)
    for code in image.code:
        for inside, file in code.files().items():
            (folder / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, folder / inside)


def _lay_out_program(image: Image) -> None:
    root = CONTEXT / "programs" / image.name
    shutil.rmtree(root, ignore_errors=True)
    (root / "tmp").mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    os.link(BIN / image.program, root / image.command.lstrip("/"))


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Keeps two callers from building at once; the second waits and then finds the work done."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
