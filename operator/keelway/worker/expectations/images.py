"""Whether a directory of images is what a team expects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

from keelway.api.checks import ImagesExpectation
from keelway.api.findings import Place, Violation
from keelway.worker.errors import enumerate_some
from keelway.worker.expectations.places import shown_path
from keelway.worker.expectations.planning import number

if TYPE_CHECKING:
    from keelway.worker.formats.images import ImageFile, Images

IsWrong = Callable[["ImageFile"], bool]


def judge_images(expectation: ImagesExpectation, images: Images) -> tuple[Violation, ...]:
    """What does not hold, in files; for `images.minPerClass` in classes. Corrupt files have no format or size."""
    found = [
        _violation(expectation, images, name, limit, is_wrong)
        for name, limit, is_wrong in (
            *_per_file(expectation),
            _corrupt(expectation, images),
            _small(expectation, images),
        )
    ]
    return tuple(one for one in found if one)


def _per_file(expectation: ImagesExpectation) -> Iterator[tuple[str, str, IsWrong]]:
    formats, width, height = expectation.formats, expectation.min_width, expectation.min_height
    if formats:
        limit = f"one of {enumerate_some(list(formats), most=16)}"
        yield "formats", limit, lambda image: not image.problem and image.format not in formats
    yield "minWidth", f"at least {width} pixels wide", lambda image: not image.problem and image.width < width
    yield "minHeight", f"at least {height} pixels high", lambda image: not image.problem and image.height < height


def _corrupt(expectation: ImagesExpectation, images: Images) -> tuple[str, str, IsWrong]:
    percent = expectation.max_corrupt_percent
    too_many = images.profile.corrupt * 100 > len(images.files) * Fraction(str(percent))
    limit = f"at most {number(percent)} % corrupt files"
    return "maxCorruptPercent", limit, lambda image: too_many and bool(image.problem)


def _small(expectation: ImagesExpectation, images: Images) -> tuple[str, str, IsWrong]:
    least = expectation.min_per_class
    firsts = {image.class_name: image for image in reversed(images.files)}
    small = {firsts[one.name].path for one in images.profile.classes if one.count < least}
    return "minPerClass", f"at least {least} images in each class", lambda image: image.path in small


def _violation(
    expectation: ImagesExpectation, images: Images, name: str, limit: str, is_wrong: IsWrong
) -> Violation | None:
    wrong = [image for image in images.files if is_wrong(image)]
    if not wrong:
        return None
    return Violation(
        check=f"images.{name}",
        violations=len(wrong),
        severity=expectation.severity,
        limit=limit,
        example=Place(file=shown_path(wrong[0].path), row=1),
    )
