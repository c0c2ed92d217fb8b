"""The first files of a version's list, without unpacking all of it."""

import gzip
import time

import pytest

from keelway.api.digests import canonical_json
from keelway.api.jobs import File
from keelway.manifests.croissant import first_files


def packed(files: list[File]) -> bytes:
    return gzip.compress(b"".join(canonical_json(file.to_json()) + b"\n" for file in files), mtime=0)


def many(count: int) -> list[File]:
    return [File(path=f"größe/part {number:06}.csv", size=number, etag=f"e{number}") for number in range(count)]


@pytest.mark.parametrize(("count", "most"), [(0, 3), (2, 3), (3, 3), (1000, 3), (1000, 1000)])
def test_gives_as_many_as_asked_for_in_their_order(count: int, most: int) -> None:
    assert first_files([packed(many(count))], most) == many(count)[:most]


def test_a_list_in_parts_is_one_list() -> None:
    whole = packed(many(500))
    parts = [whole[start : start + 100] for start in range(0, len(whole), 100)]
    assert first_files(parts, 400) == many(400)


def test_reads_no_more_than_it_needs() -> None:
    whole = packed(many(2000))
    # Whoever read on would come upon what is no gzip.
    assert first_files([whole[: len(whole) // 2], b"\0" * 1000], 10) == many(10)


def test_a_line_without_an_end_is_not_unpacked_for_ever() -> None:
    bomb = gzip.compress(b"x" * 200_000_000, compresslevel=1)
    started = time.process_time()
    with pytest.raises(ValueError, match="not a list of files"):
        first_files([bomb], 100)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("content", [b"not gzip", gzip.compress(b"{}\n"), gzip.compress(b"not json\n")])
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a list of files"):
        first_files([content], 10)
