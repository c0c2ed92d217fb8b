"""Data that wants to hurt: each ends in a verdict within the memory and the time that a Job has.

`observe` runs as a Job runs it, in a process of its own with MEMORY for its data and SECONDS of a processor.
"""

from __future__ import annotations

import gzip
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from keelway.api.jobs import Location, ObserveOrder, ObserveVerdict, Source
from keelway.api.profile import ImagesProfile, Profile
from tests.unit.worker import limited
from tests.unit.worker.builders import ListingServer, Seen, seen, write_parquet
from tests.unit.worker.crafted_parquet import (
    DATA_PAGE,
    DICTIONARY_PAGE,
    PLAIN,
    RLE_DICTIONARY,
    ZSTD,
    page,
    varint,
    write_column,
    write_constant,
)

MEMORY = 1024**3
SECONDS = 60
MIB = 1024**2


@dataclass(frozen=True)
class Ended:
    """How a run came to its end."""

    verdict: ObserveVerdict
    printed: str
    seconds: float
    peak: int
    """Bytes resident at most."""

    @property
    def seen(self) -> Seen:
        assert self.verdict.outcome == "Observed", self.verdict
        return seen(self.verdict, self.printed)

    @property
    def images(self) -> ImagesProfile:
        assert self.seen.report
        images = Profile.model_validate_json(self.seen.report.profile).images
        assert images
        return images


Observe = Callable[..., Ended]


@pytest.fixture
def observe(tmp_path: Path, volume: Path, request: pytest.FixtureRequest) -> Observe:
    """Observe the volume, or another location, as a Job does."""

    def run(location: Location | None = None, **source: Any) -> Ended:
        order = ObserveOrder(source=Source(location=location or Location(mount=str(volume)), **source))
        log, output = tmp_path / "termination-log", tmp_path / "output"
        environment = {
            **os.environ,
            "KEELWAY_ORDER": json.dumps(order.to_json()),
            "KEELWAY_TERMINATION_LOG": str(log),
        }
        usage, worker = tmp_path / "usage", [sys.executable, "-m", "keelway.worker", "observe"]
        command = [sys.executable, limited.__file__, str(usage), str(MEMORY), str(SECONDS), *worker]
        with output.open("wb") as out:
            subprocess.run(command, env=environment, stdout=out, stderr=out, check=True)
        printed = output.read_text()
        assert log.exists(), f"no verdict within {SECONDS} s: {printed[-2000:]}"
        verdict = ObserveVerdict.model_validate_json(log.read_bytes())
        ended = Ended(verdict, printed, **json.loads(usage.read_text()))
        print(f"{request.node.name}: {ended.seconds:.1f} s of CPU, {ended.peak // MIB} MiB")
        assert ended.peak < MEMORY
        return ended

    return run


def refused(ended: Ended, *words: str, reason: str = "SourceInvalid") -> None:
    """It was turned down, and the message says what it should."""
    assert (ended.verdict.outcome, ended.verdict.reason) == ("Failed", reason), ended.verdict
    assert [word for word in words if word not in ended.verdict.message] == [], ended.verdict.message


# Parquet

CONSTANT = page(DICTIONARY_PAGE, struct.pack("<q", 7), 1, PLAIN)


def run_of(rows: int, *, claimed: int | None = None) -> bytes:
    """A page with so many times the same value; `claimed` is how many its header says."""
    return page(DATA_PAGE, b"\x01" + varint(rows << 1) + b"\0", claimed or rows, RLE_DICTIONARY)


@pytest.mark.parametrize("rows", [2**33, 2**62])
def test_a_tiny_parquet_file_with_billions_of_rows(volume: Path, observe: Observe, rows: int) -> None:
    file = write_constant(volume / "a.parquet", rows=2**33)
    if rows > 2**33:
        write_column(file, [run_of(1000)], rows=rows, dictionary=CONSTANT)
    assert file.stat().st_size < 500
    refused(observe(), "a.parquet", f"{rows} rows", "no data packs so well")


def test_a_tiny_parquet_file_with_millions_of_rows_is_read(volume: Path, observe: Observe) -> None:
    write_constant(volume / "a.parquet", rows=20_000_000)
    assert observe().seen.verdict.rows == 20_000_000


def test_a_parquet_file_that_says_it_unpacks_to_very_much(volume: Path, observe: Observe) -> None:
    write_column(volume / "a.parquet", [run_of(1000)], rows=1000, dictionary=CONSTANT, unpacked=2**50)
    refused(observe(), "a.parquet", f"{2**50} bytes unpacked")


@pytest.mark.parametrize(
    ("pages", "dictionary"),
    [
        ([run_of(1000, claimed=1_000_000)], CONSTANT),
        ([page(DATA_PAGE, b"x" * 100, 1_000_000, PLAIN)], b""),
        ([page(DATA_PAGE, b"x" * 100, 1_000_000, PLAIN, claimed=-5)], b""),
        ([b"\xff" * 100], b""),
    ],
    ids=["fewer values than claimed", "fewer bytes than claimed", "a negative size", "no page at all"],
)
def test_a_parquet_page_that_lies(volume: Path, observe: Observe, pages: list[bytes], dictionary: bytes) -> None:
    write_column(volume / "a.parquet", pages, rows=1_000_000, dictionary=dictionary, codec=0)
    refused(observe(), "a.parquet cannot be read to its end")


def test_a_parquet_page_that_claims_two_gib(volume: Path, observe: Observe) -> None:
    """DuckDB asks its own memory limit before it believes a header."""
    lie = page(DATA_PAGE, b"x" * 100, 1000, PLAIN, claimed=2**31 - 1)
    write_column(volume / "a.parquet", [lie], rows=1000, codec=ZSTD)
    ended = observe()
    refused(ended, "does not fit the memory", reason="OutOfSpace")
    assert ended.peak < 512 * MIB


@pytest.mark.parametrize(
    ("footer", "length"),
    [(b"\xff" * 200, 200), (b"\0" * 200, 200), (b"\x15\x02\x19\xfc" + b"\xff" * 196, 200), (b"", 0), (b"", 2**32 - 1)],
)
def test_a_broken_parquet_footer(volume: Path, observe: Observe, footer: bytes, length: int) -> None:
    """Noise, zeros, a list of 2^34 columns, none, one that is longer than the file."""
    (volume / "a.parquet").write_bytes(b"PAR1" + b"x" * 100 + footer + struct.pack("<I", length) + b"PAR1")
    refused(observe(), "a.parquet is not a readable Parquet file")


def test_an_empty_parquet_file(volume: Path, observe: Observe) -> None:
    write_parquet(volume / "a.parquet", "SELECT 1 AS a, 'x' AS b WHERE false")
    found = observe().seen
    assert (found.verdict.rows, found.columns) == (0, {"a": "integer", "b": "varchar"})


# gzip


@pytest.mark.parametrize(("name", "line"), [("a.csv.gz", b"1\n"), ("a.jsonl.gz", b'{"a": 1}\n'), ("b.csv.gz", b"x")])
def test_a_gzip_bomb(volume: Path, observe: Observe, name: str, line: bytes) -> None:
    """Ten GiB of the same line."""
    member = gzip.compress(line * (16 * MIB // len(line)))
    (volume / name).write_bytes(gzip.compress(b"a\n" if "csv" in name else b"") + member * 640)
    refused(observe(), name, "unpacks to more than 500 times its size")


# Lines and columns


@pytest.mark.parametrize(
    ("name", "before", "mib", "after", "words"),
    [
        ("a.csv", b"a,b\n1,2\n", 1024, b",1\n2,3\n", "a.csv line 3 is longer than 2 MB"),
        ("b.csv", b'a,b\n1,"', 64, b'"\n2,3\n', "b.csv line 2 is longer than 2 MB"),
        ("c.csv", b"", 64, b"\n", "c.csv line 1 is longer than 2 MB"),
        ("a.jsonl", b'{"a": 1}\n{"a": "', 1024, b'"}\n', "a.jsonl line 2 is longer than 16 MiB"),
    ],
)
def test_a_line_of_a_gib(
    volume: Path, observe: Observe, name: str, before: bytes, mib: int, after: bytes, words: str
) -> None:
    with (volume / name).open("wb") as out:
        out.write(before)
        for _ in range(mib):
            out.write(b"x" * MIB)
        out.write(after)
    ended = observe()
    (volume / name).unlink()
    refused(ended, words)


def test_a_name_of_a_column_that_is_a_text(volume: Path, observe: Observe) -> None:
    (volume / "a.csv").write_text(f"{'x' * 100_000},b\n1,2\n")
    refused(observe(), "100000 characters")


def wide_csv(path: Path, columns: int) -> None:
    lines = [",".join(f"c{number}" for number in range(columns))] + [",".join(["7"] * columns)] * 20
    path.with_suffix(".csv").write_text("\n".join(lines) + "\n")


def wide_lines(path: Path, columns: int) -> None:
    line = json.dumps({f"c{number}": 7 for number in range(columns)})
    path.with_suffix(".jsonl").write_text(f"{line}\n" * 20)


def wide_parquet(path: Path, columns: int) -> None:
    cells = ", ".join(f"i AS c{number}" for number in range(columns))
    write_parquet(path.with_suffix(".parquet"), f"SELECT {cells} FROM range(20) r(i)")


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (wide_csv, "10000 columns, at most 5000"),
        (wide_parquet, "10000 columns, at most 5000"),
        (wide_lines, "more than 5000 different keys"),
    ],
)
def test_ten_thousand_columns(volume: Path, observe: Observe, write: Callable[[Path, int], None], words: str) -> None:
    write(volume / "wide", 10_000)
    refused(observe(), words)


def test_a_key_a_line(volume: Path, observe: Observe) -> None:
    (volume / "a.jsonl").write_text("".join(f'{{"k{number}": 1}}\n' for number in range(300_000)))
    refused(observe(), "a.jsonl", "different keys")


@pytest.mark.parametrize(
    "text", ['{"a":' * 100_000 + "1" + "}" * 100_000, '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"]
)
def test_json_that_is_nested_deeply(volume: Path, observe: Observe, text: str) -> None:
    (volume / "a.jsonl").write_text('{"a": 1}\n' + text + "\n")
    refused(observe(), "a.jsonl line 2 is nested deeper than 128")


NAMES = ['quo"te', "new\nline", "\u202ertl", "'; DROP TABLE x; --", "a]b*c?", "${x}", "日本 語", "keelway_row"]


def named_csv(path: Path) -> None:
    quoted = ",".join('"' + name.replace('"', '""') + '"' for name in NAMES)
    path.with_suffix(".csv").write_text(f"{quoted}\n{','.join('12345'[:1] for _ in NAMES)}\n")


def named_lines(path: Path) -> None:
    path.with_suffix(".jsonl").write_text(json.dumps(dict.fromkeys(NAMES, 1)) + "\n")


def named_parquet(path: Path) -> None:
    cells = ", ".join('1 AS "' + name.replace('"', '""') + '"' for name in NAMES)
    write_parquet(path.with_suffix(".parquet"), f"SELECT {cells}")


@pytest.mark.parametrize("write", [named_csv, named_lines, named_parquet])
def test_names_of_columns_that_are_no_names(volume: Path, observe: Observe, write: Callable[[Path], None]) -> None:
    write(volume / "a")
    found = observe().seen
    assert (list(found.columns), found.verdict.rows) == (NAMES, 1)


def test_names_that_differ_by_case_in_a_csv_file(volume: Path, observe: Observe) -> None:
    (volume / "a.csv").write_text("id,ID,Id\n1,x,2.5\n")
    assert list(observe().seen.columns.values()) == ["bigint", "varchar", "double"]


def test_names_that_differ_by_case_in_a_parquet_file(volume: Path, observe: Observe) -> None:
    file = write_parquet(volume / "a.parquet", "SELECT 1 AS xyz, 'x' AS xyw")
    file.write_bytes(file.read_bytes().replace(b"xyw", b"XYZ"))
    assert list(observe().seen.columns.values()) == ["integer", "varchar"]


def test_a_csv_file_of_a_header_alone(volume: Path, observe: Observe) -> None:
    (volume / "a.csv").write_text("id,name\n")
    found = observe().seen
    assert (found.verdict.rows, list(found.columns)) == (0, ["id", "name"])


# Images


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, pixels: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


BOMB = zlib.compress(bytes(256 * MIB), 9)
IMAGE_BOMBS = {
    "a.png": png(2**31 - 1, 2**31 - 1, pixels=BOMB),
    "b.png": png(10, 10, chunk(b"zTXt", b"Comment\0\0" + BOMB), pixels=zlib.compress(bytes(310))),
    "c.png": png(10, 10, chunk(b"iCCP", b"icc\0\0" + BOMB), pixels=zlib.compress(bytes(310))),
    "d.png": png(10, 10)[:-12] + struct.pack(">I", 2**31 - 1) + b"IDAT",
    "e.jpg": b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03" + b"\x01\x22\x00" * 3 + b"\xff\xda\x00\x02\xff\xd9",
    "f.gif": b"GIF89a\xff\xff\xff\xff\x00\x00\x00,\0\0\0\0\xff\xff\xff\xff\0\x08\0;",
    "g.bmp": b"BM"
    + struct.pack("<IIIIiiHHIIiiII", 58, 0, 54, 40, 2**31 - 1, 2**30, 1, 32, 0, 0, 0, 0, 0, 0)
    + b"\0" * 4,
    "h.tiff": b"II*\0\x08\0\0\0"
    + struct.pack("<H", 3)
    + struct.pack("<HHIIHHIIHHII", 256, 4, 1, 2**31, 257, 4, 1, 2**31, 273, 4, 2**32 - 1, 8)
    + b"\0" * 4,
    "j.tiff": b"II*\0\x08\0\0\0"
    + struct.pack("<H", 4)
    + struct.pack("<HHIIHHIIHHIIHHII", 256, 4, 1, 9, 257, 4, 1, 9, 273, 4, 4 * MIB, 62, 279, 4, 4 * MIB, 62)
    + bytes(32 * MIB),
    "i.webp": b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\0" * 2 + b"VP8 \0\0\0\0",
}


def test_image_bombs(volume: Path, observe: Observe) -> None:
    """Nothing is allocated, nor unpacked, because a header says so."""
    for name, data in IMAGE_BOMBS.items():
        (volume / name).write_bytes(data)
    (volume / "z.png").write_bytes(png(10, 10, pixels=zlib.compress(bytes(310))))
    ended = observe()
    assert (ended.images.corrupt, ended.images.formats) == (len(IMAGE_BOMBS), {"png": 1})
    assert ended.peak < 200 * MIB


def test_a_large_image_that_is_whole_is_not_decoded(volume: Path, observe: Observe) -> None:
    (volume / "a.png").write_bytes(png(13_000, 13_000, pixels=zlib.compress(bytes(13_000 * (13_000 * 3 + 1)))))
    ended = observe()
    assert (ended.images.corrupt, ended.images.widths) == (0, (13_000, 13_000))
    assert ended.peak < 200 * MIB


# Paths


@pytest.mark.parametrize(("format_name", "suffix"), [("Files", ".csv"), ("Images", ".png"), ("CSV", ".csv")])
def test_a_link_out_of_the_volume(volume: Path, observe: Observe, format_name: str, suffix: str) -> None:
    secret = volume.parent / f"secret{suffix}"
    secret.write_text("a\n1\n")
    (volume / f"a{suffix}").write_text("a\n1\n")
    (volume / f"b{suffix}").symlink_to(secret)
    refused(observe(format=format_name), f"b{suffix}")


def test_a_directory_that_is_a_link_out_of_the_volume(volume: Path, observe: Observe) -> None:
    outside = volume.parent / "outside"
    outside.mkdir()
    (outside / "secret.csv").write_text("a\n1\n")
    (volume / "a.csv").write_text("a\n1\n")
    (volume / "b").symlink_to(outside)
    refused(observe(format="CSV"), "'b' is a link")


def test_what_is_no_file_on_a_volume(volume: Path, observe: Observe) -> None:
    """A pipe that nobody writes to would be read for ever."""
    (volume / "a.csv").write_text("a\n1\n")
    os.mkfifo(volume / "b.csv")
    refused(observe(), "b.csv")


@pytest.mark.parametrize("key", ["data/../../../etc/a.csv", "data/..", "data/a/../../b.csv", "data//etc/a.csv"])
def test_keys_that_leave_the_prefix(
    observe: Observe, listing_server: ListingServer, secret_dir: Path, scratch: Path, key: str
) -> None:
    listing_server.list_keys({key: 4})
    where = Location(
        uri="s3://lake/data/", endpoint=listing_server.endpoint, region="us-east-1", secret_dir=str(secret_dir)
    )
    ended = observe(where)
    assert ended.verdict.outcome == "Failed", ended.verdict
    assert list(scratch.iterdir()) == []
