"""Images and other files: what a directory of them holds, which are broken, and which split each is in."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from keelway.api.jobs import SplitRule, StageOrder
from keelway.api.profile import Profile
from keelway.worker import splits, stage
from keelway.worker.formats import StagedFile
from keelway.worker.formats.images import ImageFile, read_images
from tests.unit.worker.builders import Observer, stage_input, write_csv

RULES = (SplitRule(name="train", percent=80), SplitRule(name="holdout", percent=20))
FORMATS: list[tuple[str, dict[str, Any]]] = [
    ("png", {}),
    ("jpeg", {}),
    ("jpeg", {"progressive": True}),
    ("gif", {}),
    ("bmp", {}),
    ("tiff", {}),
    ("tiff", {"compression": "tiff_deflate"}),
    ("webp", {}),
    ("webp", {"lossless": True}),
]


def encoded(image_format: str, *, size: tuple[int, int] = (60, 40), mode: str = "RGB", **options: Any) -> bytes:
    """An image of noise, so that its pixels take up nearly all of the file."""
    noise = random.Random(7).randbytes(size[0] * size[1] * 3)
    out = io.BytesIO()
    Image.frombytes("RGB", size, noise).convert(mode).save(out, image_format, **options)
    return out.getvalue()


def animated(image_format: str) -> bytes:
    frames = [Image.new("RGB", (60, 40), colour) for colour in ("red", "green", "blue")]
    out = io.BytesIO()
    frames[0].save(out, image_format, save_all=True, append_images=frames[1:])
    return out.getvalue()


def look(directory: Path, data: bytes, path: str = "cats/a.png") -> ImageFile:
    local = directory / "file"
    local.write_bytes(data)
    return read_images([StagedFile(path, local)]).files[0]


def profile(seen: Any) -> Profile:
    return Profile.model_validate_json(seen.report.profile)


@pytest.mark.parametrize(("image_format", "options"), FORMATS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_whole_image(tmp_path: Path, image_format: str, options: dict[str, Any], mode: str) -> None:
    found = look(tmp_path, encoded(image_format, mode=mode, **options))
    assert found == ImageFile(path="cats/a.png", format=image_format, width=60, height=40)
    assert found.class_name == "cats"


@pytest.mark.parametrize(("image_format", "options"), FORMATS)
def test_an_image_that_was_cut_off_anywhere(tmp_path: Path, image_format: str, options: dict[str, Any]) -> None:
    data = encoded(image_format, **options)
    cuts = [*range(1, 50), *random.Random(7).sample(range(len(data)), 50)]
    assert [cut for cut in cuts if not look(tmp_path, data[:-cut]).problem] == []


@pytest.mark.parametrize("image_format", ["gif", "webp", "png"])
def test_an_animation(tmp_path: Path, image_format: str) -> None:
    data = animated(image_format)
    assert (look(tmp_path, data).width, look(tmp_path, data[:-8]).problem) == (60, "is cut off")


@pytest.mark.parametrize(("image_format", "options"), FORMATS)
def test_what_follows_an_image_is_no_matter(tmp_path: Path, image_format: str, options: dict[str, Any]) -> None:
    assert not look(tmp_path, encoded(image_format, **options) + b"\0" * 100).problem


def test_a_jpeg_with_a_thumbnail_in_it(tmp_path: Path) -> None:
    """The end of the thumbnail is not that of the image."""
    inner = encoded("jpeg", size=(16, 16))
    data = encoded("jpeg", exif=b"Exif\0\0" + inner)
    assert not look(tmp_path, data).problem
    assert look(tmp_path, data[:-20]).problem == "is cut off"


def test_a_flipped_bit_in_a_png(tmp_path: Path) -> None:
    data = bytearray(encoded("png"))
    data[len(data) // 2] ^= 1
    assert look(tmp_path, bytes(data)).problem == "has a wrong checksum"


@pytest.mark.parametrize("data", [b"\x89PNG", b"GIF89a", b"BM", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\0" * 100])
def test_what_is_no_image_is_a_corrupt_one(tmp_path: Path, data: bytes) -> None:
    assert "not an image" in look(tmp_path, data).problem


def test_bytes_at_random_never_raise(tmp_path: Path) -> None:
    """Whatever a header says, the answer is a fact about the file."""
    chance = random.Random(7)
    for image_format, options in FORMATS * 40:
        data = bytearray(encoded(image_format, size=(9, 7), **options))
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(min(len(data), 120))] = chance.randrange(256)
        found = look(tmp_path, bytes(data))
        assert bool(found.problem) == (found.width == 0)


def write_zoo(directory: Path) -> None:
    """Two classes, a file above them, two formats, one corrupt file."""
    files = {
        "cats/a.png": encoded("png", size=(30, 20)),
        "cats/b.PNG": encoded("png", size=(50, 10)),
        "dogs/small/c.jpg": encoded("jpeg", size=(40, 60)),
        "dogs/small/d.jpg": encoded("jpeg")[:200],
        "e.png": encoded("jpeg", size=(35, 35)),
    }
    for path, data in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(data)


def test_a_directory_of_images(volume: Path, observe: Observer) -> None:
    write_zoo(volume)
    seen = observe(volume, order={"splits": RULES})
    assert seen.report
    assert (seen.report.format, seen.report.columns, seen.verdict.rows) == ("Images", (), 5)
    assert sum(seen.rows.values()) == 5
    images = profile(seen).images
    assert images
    assert {one.name: one.count for one in images.classes} == {"": 1, "cats": 2, "small": 2}
    assert images.formats == {"jpeg": 2, "png": 2}
    assert (images.corrupt, images.widths, images.heights) == (1, (30, 50), (10, 60))


def test_the_first_file_that_is_wrong(volume: Path) -> None:
    write_zoo(volume)
    staged = [StagedFile(str(path.relative_to(volume)), path) for path in volume.rglob("*.*")]
    images = read_images(staged)
    corrupt, small = images.first(lambda one: bool(one.problem)), images.first(lambda one: 0 < one.width < 40)
    assert corrupt
    assert small
    assert (corrupt.path, small.path) == ("dogs/small/d.jpg", "cats/a.png")
    assert images.first(lambda one: one.format == "webp") is None


def test_images_beside_tables(volume: Path, observe: Observer) -> None:
    write_zoo(volume)
    write_csv(volume / "labels.csv", [["a"], [1]])
    error = observe.refused(volume)
    assert error.reason == "SourceInvalid"
    assert all(word in error.message for word in ("3 .png", "1 .csv"))
    assert observe(volume, exclude=("*.csv",)).verdict.rows == 5


def test_files_of_any_kind(volume: Path, observe: Observer) -> None:
    write_zoo(volume)
    (volume / "model.bin").write_bytes(b"\0\1")
    seen = observe(volume, format="Files", order={"splits": RULES})
    assert seen.report
    assert (seen.report.format, seen.report.columns, seen.verdict.files) == ("Files", (), 6)
    assert sum(seen.rows.values()) == 6


@pytest.mark.parametrize("format_name", ["Images", "Files"])
def test_splits_of_files_are_disjoint_and_the_same_in_every_version(
    volume: Path, observe: Observer, tmp_path: Path, format_name: str
) -> None:
    for number in range(40):
        (volume / f"c{number % 3}").mkdir(exist_ok=True)
        (volume / f"c{number % 3}" / f"{number} [ü].png").write_bytes(encoded("png", size=(8, 8)))
    first = staged_paths(volume, observe, tmp_path / "first", format_name)
    (volume / "c0" / "new.png").write_bytes(encoded("png", size=(9, 9)))
    second = staged_paths(volume, observe, tmp_path / "second", format_name)
    assert sorted(first["train"] + first["holdout"]) == sorted(str(p.relative_to(volume)) for p in volume.rglob("*ü*"))
    assert not set(first["train"]) & set(first["holdout"])
    assert len(first["train"]) == sum(
        splits.ranges(RULES)[0].holds(path) for path in (*first["train"], *first["holdout"])
    )
    assert all(set(first[name]) <= set(second[name]) for name in first)


def staged_paths(volume: Path, observe: Observer, directory: Path, format_name: str) -> dict[str, list[str]]:
    """Observe, stage each split, compare the bytes; the paths by split."""
    directory.mkdir()
    seen = observe(volume, format=format_name, order={"splits": RULES})
    found = {}
    for rule in RULES:
        (directory / rule.name).mkdir()
        given = stage_input(seen, volume, directory / rule.name, split=rule.name, splits=RULES)
        verdict = stage.run(StageOrder(inputs=(given,)))
        target = Path(given.target)
        files = [path for path in target.rglob("*") if path.is_file()]
        assert all(path.read_bytes() == (volume / path.relative_to(target)).read_bytes() for path in files)
        assert len(files) == seen.rows[rule.name] == verdict.rows
        assert {path.stat().st_mode & 0o444 for path in files} == {0o444}
        assert not any(os.path.samefile(path, volume / path.relative_to(target)) for path in files)
        found[rule.name] = [str(path.relative_to(target)) for path in files]
    return found


@pytest.mark.parametrize(
    ("path", "place"),
    [("cats/a.png", 0x47D64ACD1BAFDC80), ("birds/1.png", 0xEA188FDF14652D67), ("ü/ä b.png", 0x12F72C08F5AA7535)],
)
def test_the_place_of_a_file_is_the_md5_of_its_path(path: str, place: int) -> None:
    """The numbers are what `printf %s PATH | md5sum` begins with."""
    assert splits.Range("exactly", place, place + 1).holds(path)


def test_a_split_key_needs_columns(volume: Path, observe: Observer) -> None:
    write_zoo(volume)
    error = observe.refused(volume, order={"splits": RULES, "split_key": "id"})
    assert error.reason == "SourceInvalid"
    assert "files of this format have none" in error.message
