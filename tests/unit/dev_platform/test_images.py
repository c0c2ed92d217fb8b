"""What goes into an image, and when it counts as another one."""

import re
from pathlib import Path

import pytest

from dev.errors import DevError
from dev.hashing import hash_of
from dev.images import IMAGES, build_images
from dev.images.build import content_hash
from dev.images.builders import DOCKERFILE
from dev.images.catalogue import Code, Image
from dev.images.dockerfile import instructions
from dev.images.sites import lock_file

PYTHON_IMAGES = [image for image in IMAGES.values() if not image.program]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "package"
    for name in ("__init__.py", "kept/inner.py", "left/out.py", "kept/__pycache__/inner.cpython-311.pyc"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def image_of(folder: Path) -> Image:
    return Image(name="x", target="x", sites=("worker",), code=(Code(source=folder, without=("left",)),))


def test_code_leaves_out_named_folders_and_bytecode(package: Path) -> None:
    assert list(Code(source=package, without=("left",)).files()) == ["package/__init__.py", "package/kept/inner.py"]


def test_a_single_file_lands_beside_the_packages(package: Path) -> None:
    file = package / "__init__.py"
    assert Code(source=file).files() == {"__init__.py": file}


def test_a_changed_line_of_code_gives_another_image(package: Path) -> None:
    before = content_hash(image_of(package), "base")
    (package / "kept/inner.py").write_text("changed")
    assert content_hash(image_of(package), "base") != before


def test_a_renamed_file_gives_another_image(package: Path) -> None:
    before = content_hash(image_of(package), "base")
    (package / "kept/inner.py").rename(package / "kept/other.py")
    assert content_hash(image_of(package), "base") != before


def test_code_that_is_left_out_gives_the_same_image(package: Path) -> None:
    before = content_hash(image_of(package), "base")
    (package / "left/out.py").write_text("changed")
    assert content_hash(image_of(package), "base") == before


def test_another_base_gives_another_image(package: Path) -> None:
    assert content_hash(image_of(package), "one") != content_hash(image_of(package), "two")


def test_hash_keeps_the_borders_between_parts() -> None:
    assert hash_of("ab", "c") != hash_of("a", "bc")


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES.keys())
def test_every_image_has_a_stage(image: Image) -> None:
    assert re.search(rf"^FROM \S+ AS {image.target}$", DOCKERFILE.read_text(), re.MULTILINE)


@pytest.mark.parametrize("image", PYTHON_IMAGES, ids=lambda image: image.name)
def test_every_python_package_is_locked_with_a_hash(image: Image) -> None:
    for site in image.sites:
        pinned = re.findall(r"^\S+==\S+ \\\n    --hash=sha256:", lock_file(site).read_text(), re.MULTILINE)
        named = re.findall(r"^[a-zA-Z]", lock_file(site).read_text(), re.MULTILINE)
        assert len(pinned) == len(named) > 0


@pytest.mark.parametrize("name", ["kopf", "kubernetes", "aiohttp"])
def test_workers_have_no_kubernetes_client(name: str) -> None:
    assert not re.search(rf"^{name}==", lock_file("worker").read_text(), re.MULTILINE)


def test_the_operator_has_no_worker_libraries_and_no_worker_code() -> None:
    assert not re.search(r"^(duckdb|obstore)==", lock_file("operator").read_text(), re.MULTILINE)
    (code,) = IMAGES["operator"].code
    assert not [path for path in code.files() if path.startswith("keelway/worker/")]


def test_an_image_is_built_by_its_own_stages_and_those_below() -> None:
    text = "ARG BASE\nFROM $BASE AS a\nRUN 1\nFROM a AS b\nRUN 2\nFROM scratch AS c\nRUN 3\n"
    assert instructions(text, "b") == "ARG BASE\nFROM $BASE AS a\nRUN 1\nFROM a AS b\nRUN 2\n"
    assert instructions(text, "c") == "ARG BASE\nFROM scratch AS c\nRUN 3\n"


def test_images_run_as_a_numeric_user_other_than_root() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE.read_text(), flags=re.MULTILINE)
    for image in IMAGES.values():
        (stage,) = (text for text in stages if re.match(rf"\S+ AS {image.target}$", text, re.MULTILINE))
        assert re.findall(r"^USER (\d+:\d+)$", stage, re.MULTILINE) == ["65532:65532"]


def test_an_unknown_image_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(DevError, match=r"no such image: opertor\nThere are: operator, worker"):
        build_images(["opertor"])
