"""What a team expects of a directory of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from keelway.api.checks import ImagesExpectation
from keelway.api.findings import Violation
from keelway.worker.expectations import judge_images
from keelway.worker.formats import StagedFile
from keelway.worker.formats.images import Images, read_images

SIZES = {"cat/a.png": (8, 8), "cat/b.png": (16, 4), "cat/c.jpg": (32, 32), "dog/d.png": (7, 64), "dog/e.png": (5, 3)}


@pytest.fixture
def images(tmp_path: Path) -> Images:
    """Three cats, three dogs; one of the dogs is cut off."""
    for name, size in SIZES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", size).save(path)
    whole = (tmp_path / "cat/a.png").read_bytes()
    (tmp_path / "dog/f.png").write_bytes(whole[:40])
    return read_images([StagedFile(name, tmp_path / name) for name in [*SIZES, "dog/f.png"]])


def judged(images: Images, **expected: Any) -> dict[str, Violation]:
    found = judge_images(ImagesExpectation.model_validate(expected), images)
    return {one.check: one for one in found}


def told(found: dict[str, Violation]) -> dict[str, tuple[int, str, str]]:
    return {name: (one.violations, one.limit, one.example.file if one.example else "") for name, one in found.items()}


def test_what_holds_is_not_said(images: Images) -> None:
    expected = {"formats": ["png", "jpeg"], "minWidth": 5, "minHeight": 3, "maxCorruptPercent": 17, "minPerClass": 3}
    assert judged(images, **expected) == {}


def test_files_that_break_it_are_counted_and_the_first_is_named(images: Images) -> None:
    expected = {"formats": ["png"], "minWidth": 8, "minHeight": 8, "maxCorruptPercent": 16, "minPerClass": 4}
    assert told(judged(images, **expected)) == {
        "images.formats": (1, "one of png", "cat/c.jpg"),
        "images.minWidth": (2, "at least 8 pixels wide", "dog/d.png"),
        "images.minHeight": (2, "at least 8 pixels high", "cat/b.png"),
        "images.maxCorruptPercent": (1, "at most 16 % corrupt files", "dog/f.png"),
        "images.minPerClass": (2, "at least 4 images in each class", "cat/a.png"),
    }


def test_a_corrupt_file_is_a_violation_unless_some_are_let_through(images: Images) -> None:
    found = judged(images, severity="Warn")
    assert told(found) == {"images.maxCorruptPercent": (1, "at most 0 % corrupt files", "dog/f.png")}
    assert found["images.maxCorruptPercent"].severity == "Warn"


def test_a_path_that_is_longer_than_a_place_holds_is_shown_by_its_end(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no image")
    path = f"{'d' * 600}/x.png"
    [violation] = judged(read_images([StagedFile(path, tmp_path / "x.png")])).values()
    assert violation.example
    assert len(violation.example.file) == 512
    assert violation.example.file.endswith("d/x.png")
