"""Data on a mounted volume: listing without end or escape, reading what was listed, writing whole files alone."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keelway.api.jobs import File, Location
from keelway.worker.errors import WorkerError
from keelway.worker.storage import KEEP, READ, ChangedError, open_storage
from tests.unit.worker.builders import another_user
from tests.unit.worker.source_servers import collected, list_and_read, list_at, read_at, refused

FILES = {"a.csv": b"id\n1\n", "b c/ü #1?%.csv": b"id\n22\n", "x/y/z.csv": b"id\n333\n"}


@pytest.fixture
def lake(volume: Path) -> Location:
    """A volume with the files."""
    for path, data in FILES.items():
        (volume / path).parent.mkdir(parents=True, exist_ok=True)
        (volume / path).write_bytes(data)
    return Location(mount=str(volume))


def paths(location: Location) -> list[str]:
    return [file.path for file in list_at(location).files]


def test_a_directory_is_listed_and_read(lake: Location, volume: Path) -> None:
    os.utime(volume / "a.csv", (4e9, 4e9))
    (volume / "empty").mkdir()
    listing = list_at(lake)
    assert [(file.path, file.size) for file in listing.files] == [(path, len(data)) for path, data in FILES.items()]
    assert listing.newest == datetime.fromtimestamp(4e9, UTC)
    assert list_and_read(lake) == FILES
    assert [file.path for file in list_at(lake, "x/y").files] == ["x/y/z.csv"]
    assert list_at(lake, "absent").files == []


def test_an_etag_changes_with_the_file(lake: Location, volume: Path) -> None:
    before = list_at(lake).files
    assert list_at(lake).files == before
    (volume / "a.csv").write_bytes(b"id\n2\n")
    os.utime(volume / "a.csv", ns=(1, 5_000))
    assert [one != other for one, other in zip(before, list_at(lake).files, strict=True)] == [True, False, False]


def test_another_file_than_was_listed(lake: Location, volume: Path) -> None:
    file = list_at(lake).files[0]
    (volume / "new").write_bytes(b"id\n7\n")
    (volume / "new").replace(volume / "a.csv")
    with pytest.raises(ChangedError, match=r"a\.csv"):
        read_at(lake, file)
    assert read_at(lake, file, only_if_same=False) == b"id\n7\n"
    with pytest.raises(ChangedError):
        read_at(lake, file.model_copy(update={"etag": "", "size": 6}))


@pytest.mark.parametrize("path", ["absent.csv", "a.csv/b.csv", "absent/b.csv"])
def test_a_file_that_is_gone(lake: Location, path: str) -> None:
    with pytest.raises(ChangedError):
        read_at(lake, File(path=path, size=3), only_if_same=False)


def test_a_file_that_is_written_over_while_it_is_read(volume: Path) -> None:
    (volume / "large").write_bytes(bytes(10 * 2**20))

    async def read() -> None:
        storage = open_storage(Location(mount=str(volume)), READ)
        (file,) = (await storage.listing()).files
        chunks = storage.get(file, only_if_same=True)
        await anext(chunks)
        with (volume / "large").open("r+b") as out:
            out.write(b"other")
        os.utime(volume / "large", ns=(1, 5_000))
        async for _ in chunks:
            pass

    with pytest.raises(ChangedError):
        asyncio.run(read())


def test_links_inside_the_volume_are_followed(lake: Location, volume: Path) -> None:
    (volume / "link.csv").symlink_to("a.csv")
    (volume / "links").symlink_to("x")
    assert paths(lake) == ["a.csv", "b c/ü #1?%.csv", "link.csv", "links/y/z.csv", "x/y/z.csv"]
    assert list_and_read(lake)["links/y/z.csv"] == FILES["x/y/z.csv"]


@pytest.mark.parametrize("target", ["/etc/hostname", "/etc", "../secret", "/proc/self/environ"])
def test_links_out_of_the_volume_are_seen_and_not_followed(lake: Location, volume: Path, target: str) -> None:
    (volume.parent / "secret").mkdir(exist_ok=True)
    (volume / "out").symlink_to(target)
    assert paths(lake) == sorted([*FILES, "out"])
    file = next(file for file in list_at(lake).files if file.path == "out")
    with pytest.raises(WorkerError) as caught:
        read_at(lake, file)
    assert (caught.value.reason, caught.value.message) == (
        "SourceInvalid",
        "'out' is a link that leaves the volume: put a copy in its place, or exclude it",
    )


@pytest.mark.parametrize("target", [".", "..", "x", "out"])
def test_links_in_a_circle_end(lake: Location, volume: Path, target: str) -> None:
    (volume / "x" / "out").symlink_to(target if target != "x" else volume / "x")
    assert paths(lake) == ["a.csv", "b c/ü #1?%.csv", "x/out", "x/y/z.csv"]


def test_links_upon_links_end_soon(volume: Path) -> None:
    """Two links in each of 40 directories to the next one are two to the power of 40 paths."""
    for number in range(40):
        (volume / f"{number:02}").mkdir()
        (volume / f"{number:02}" / "a.csv").write_bytes(b"x")
        for name in ("one", "two"):
            (volume / f"{number:02}" / name).symlink_to(volume / f"{number + 1:02}")
    found = paths(Location(mount=str(volume)))
    assert {f"{number:02}/a.csv" for number in range(40)} <= set(found)
    assert len(found) < 40 * 8
    assert paths(Location(mount=str(volume))) == found


def test_more_files_than_can_be_listed(lake: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keelway.worker.stores.found.MOST_FILES", 3)
    assert len(paths(lake)) == 3
    monkeypatch.setattr("keelway.worker.stores.found.MOST_FILES", 2)
    error = refused(lake)
    assert error.reason == "SourceInvalid"
    assert "there are more than 2 files below" in error.message


def test_a_pipe_is_not_opened(lake: Location, volume: Path) -> None:
    os.mkfifo(volume / "pipe")
    assert "pipe" in paths(lake)
    with pytest.raises(WorkerError, match="'pipe' is not a regular file"):
        read_at(lake, File(path="pipe", size=1))


@pytest.mark.parametrize(
    ("name", "problem"), [(b"a\nb", "a control character"), (b"caf\xe9", "bytes that are not UTF-8")]
)
def test_names_that_are_no_keys(lake: Location, volume: Path, name: bytes, problem: str) -> None:
    Path(os.fsdecode(bytes(volume) + b"/" + name)).write_bytes(b"x")
    error = refused(lake)
    assert error.reason == "SourceInvalid"
    assert f"has {problem}" in error.message
    assert error.message.isprintable()


def test_a_path_that_leads_out_of_the_volume(lake: Location) -> None:
    with pytest.raises(WorkerError) as caught:
        read_at(lake, File(path="../../etc/hostname", size=1), only_if_same=False)
    assert caught.value.reason == "SourceInvalid"


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A volume with one file, 1500 directories down. Python itself cannot remove it."""
    volume = tmp_path / "deep"
    volume.mkdir()
    here = os.open(volume, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("a.csv", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    yield volume
    subprocess.run(["rm", "-rf", volume], check=True)


def test_directories_deeper_than_a_stack(deep: Path) -> None:
    assert paths(Location(mount=str(deep))) == ["d/" * 1500 + "a.csv"]


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A volume that other users may enter, as the tests' own directories may not be."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_file_that_may_not_be_read(reachable: Path) -> None:
    (reachable / "a.csv").write_bytes(b"x")
    (reachable / "a.csv").chmod(0)
    with another_user(), pytest.raises(WorkerError) as caught:
        read_at(Location(mount=str(reachable)), File(path="a.csv", size=1), only_if_same=False)
    assert caught.value.reason == "AccessDenied"


@pytest.mark.parametrize("name", ["", "inner", "inner/inner"])
def test_a_directory_that_may_not_be_listed(reachable: Path, name: str) -> None:
    (reachable / "inner" / "inner").mkdir(parents=True)
    (reachable / name).chmod(0)
    with another_user():
        error = refused(Location(mount=str(reachable / "inner")))
    assert error.reason == "AccessDenied"


def test_a_directory_that_is_not_there(volume: Path) -> None:
    error = refused(Location(mount=str(volume / "absent")))
    assert (error.reason, "is not a directory of the volume" in error.message) == ("SourceEmpty", True)


def test_a_file_is_written_whole_or_not_at_all(volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    location, source = Location(mount=str(volume / "out")), tmp_path / "source"
    source.write_bytes(b"id\n1\n")
    storage = open_storage(location, KEEP)
    put = asyncio.run(storage.put("a b/ü.csv", source))
    assert [put] == list_at(location).files
    assert asyncio.run(storage.head("a b/ü.csv")) == put
    assert asyncio.run(storage.head("absent")) is None
    assert (volume / "out" / "a b" / "ü.csv").stat().st_mode & 0o044 == 0o044

    def full(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(WorkerError) as caught:
        asyncio.run(storage.put("late.csv", source))
    assert caught.value.reason == "OutOfSpace"
    assert list_at(location).files == [put]


def test_chunks_of_a_large_file(volume: Path) -> None:
    data = bytes(range(256)) * 4096 * 9
    (volume / "large").write_bytes(data)

    async def read() -> bytes:
        storage = open_storage(Location(mount=str(volume)), READ)
        return await collected(storage, (await storage.listing()).files[0])

    assert asyncio.run(read()) == data
