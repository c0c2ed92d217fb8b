"""Images: what each file's header says, and whether the file is whole.

Pillow reads headers; pixels are never decoded, and memory is bounded whatever a header claims. That a file is whole is
told by the structure of its format (see `image_structure`): a file that was cut off, overwritten or renamed is found,
a flipped bit inside the compressed pixels of a format without checksums is not.
"""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from PIL import Image
from PIL.TiffImagePlugin import STRIPBYTECOUNTS, STRIPOFFSETS, TILEBYTECOUNTS, TILEOFFSETS, TiffImageFile

from keelway.api.profile import ImageClass, ImagesProfile
from keelway.worker.formats import StagedFile
from keelway.worker.formats.image_structure import CorruptError, refuse_cut_off, webp_size

HEADER_BYTES = 8 * 1024 * 1024
"""As much as is read of a file to learn its size in pixels; colour profiles and thumbnails may come before it."""
MOST_PIXELS = 2 * 89_478_485
"""Pillow's own limit: it opens no larger image, and neither will a program that trains with it."""
DECODERS = ("PNG", "JPEG", "GIF", "BMP", "TIFF")
"""WebP is not among them: opening one there allocates its canvas."""


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """One file."""

    path: str
    format: str = ""
    """png, jpeg, gif, bmp, tiff or webp, whatever the file is called; empty when it is corrupt."""
    width: int = 0
    height: int = 0
    """In pixels; 0 when the file is corrupt."""
    problem: str = ""
    """What is wrong with it, in words; empty when nothing is."""

    @property
    def class_name(self) -> str:
        """The directory directly above the file; empty when there is none."""
        return PurePosixPath(self.path).parent.name


@dataclass(frozen=True)
class Images:
    """A directory of images, in the order of their paths."""

    files: tuple[ImageFile, ...]

    def first(self, is_wrong: Callable[[ImageFile], bool]) -> ImageFile | None:
        """The first file of which it is true."""
        return next(filter(is_wrong, self.files), None)

    @cached_property
    def profile(self) -> ImagesProfile:
        """Counts of all files by class, of whole ones by format, and how large whole ones are."""
        whole = [image for image in self.files if not image.problem]
        classes = Counter(image.class_name for image in self.files)
        formats = Counter(image.format for image in whole)
        return ImagesProfile(
            classes=tuple(ImageClass(name=name, count=count) for name, count in sorted(classes.items())),
            formats=dict(sorted(formats.items())),
            corrupt=len(self.files) - len(whole),
            widths=_extremes([image.width for image in whole]),
            heights=_extremes([image.height for image in whole]),
        )


def read_images(staged: Sequence[StagedFile]) -> Images:
    """Look at each file. One that is no image is a corrupt one: nothing is raised for what a file holds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which is no matter here
        return Images(tuple(_read(file) for file in sorted(staged, key=lambda file: file.path)))


def _read(file: StagedFile) -> ImageFile:
    try:
        header = _header(file)
        with file.local.open("rb") as source:
            refuse_cut_off(header.format, source, header.end)
    except CorruptError as error:
        return ImageFile(path=file.path, problem=str(error))
    return ImageFile(path=file.path, format=header.format, width=header.width, height=header.height)


@dataclass(frozen=True)
class _Header:
    format: str
    width: int
    height: int
    end: int = 0
    """Where the last pixels end, in bytes, for formats whose header says so."""


def _header(file: StagedFile) -> _Header:
    with _Beginning(io.FileIO(file.local)) as source:
        if size := webp_size(source.read(30)):
            header = _Header("webp", *size)
        else:
            source.seek(0)
            header = _from_pillow(source)
    if not 0 < header.width * header.height <= MOST_PIXELS:
        raise CorruptError(f"has {header.width} x {header.height} pixels, more than are safe to decode, or none")
    return header


def _from_pillow(source: _Beginning) -> _Header:
    try:
        with Image.open(source, formats=DECODERS) as image:
            name = "jpeg" if image.format == "MPO" else str(image.format).lower()
            return _Header(name, image.width, image.height, _end(image))
    except Image.DecompressionBombError as error:
        raise CorruptError(f"has more than the {MOST_PIXELS} pixels that are safe to decode") from error
    except Exception as error:
        raise CorruptError("is not an image of a known format, or its header is broken") from error


def _end(image: Image.Image) -> int:
    if not isinstance(image, TiffImageFile):
        return 0
    tags = image.tag_v2
    offsets = tags.get(STRIPOFFSETS) or tags.get(TILEOFFSETS) or ()
    lengths = tags.get(STRIPBYTECOUNTS) or tags.get(TILEBYTECOUNTS) or ()
    return max(int(offset + length) for offset, length in zip(offsets, lengths, strict=True))


def _extremes(pixels: Sequence[int]) -> tuple[int, int]:
    return (min(pixels), max(pixels)) if pixels else (0, 0)


class _Beginning(io.BufferedReader):
    """A file that gives only HEADER_BYTES, so that no length in a header decides how much memory is taken."""

    left = HEADER_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0 or size > self.left:
            raise OSError("the header is too long")
        data = super().read(size)
        self.left -= len(data)
        return data
