"""Parquet files byte by byte, as no honest writer makes them (parquet.thrift, Thrift's compact protocol)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

INT64, REQUIRED = 2, 0
UNCOMPRESSED, ZSTD = 0, 6
PLAIN, RLE, RLE_DICTIONARY = 0, 3, 8
DATA_PAGE, DICTIONARY_PAGE = 0, 2
I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
MAGIC = b"PAR1"

Value = int | bytes | Sequence["Value"] | dict[int, tuple[int, "Value"]]


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def thrift(kind: int, value: Value, of: int = STRUCT) -> bytes:
    """A value: numbers as zigzag varints, lists of `of`, structs as {field: (kind, value)}."""
    if kind in (I32, I64):
        assert isinstance(value, int)
        return varint(value << 1 if value >= 0 else (-value << 1) - 1)
    if isinstance(value, bytes):
        return varint(len(value)) + value
    if isinstance(value, dict):
        return _struct(value)
    assert not isinstance(value, int)
    head = bytes([len(value) << 4 | of]) if len(value) < 15 else bytes([0xF0 | of]) + varint(len(value))
    return head + b"".join(thrift(of, one) for one in value)


def _struct(fields: dict[int, tuple[int, Value]]) -> bytes:
    out, last = b"", 0
    for number, (kind, value) in fields.items():
        element = kind >> 4  # lists carry the kind of their elements in the upper bits
        out += bytes([number - last << 4 | kind & 15]) + thrift(kind & 15, value, element)
        last = number
    return out + b"\0"


def list_of(kind: int) -> int:
    return kind << 4 | LIST


def page(kind: int, body: bytes, values: int, encoding: int, *, claimed: int | None = None) -> bytes:
    """A page with its header; `claimed` is what the header says of its unpacked size."""
    header: dict[int, tuple[int, Value]] = {
        1: (I32, kind),
        2: (I32, len(body) if claimed is None else claimed),
        3: (I32, len(body)),
    }
    own: dict[int, tuple[int, Value]] = {1: (I32, values), 2: (I32, encoding)}
    if kind == DATA_PAGE:
        header[5] = (STRUCT, own | {3: (I32, RLE), 4: (I32, RLE)})
    else:
        header[7] = (STRUCT, own)
    return thrift(STRUCT, header) + body


def write_column(
    path: Path,
    pages: Sequence[bytes],
    *,
    rows: int,
    dictionary: bytes = b"",
    codec: int = UNCOMPRESSED,
    unpacked: int = 0,
) -> Path:
    """A file of one row group with one column `x` of required INT64; `rows` is what the footer says."""
    chunk = dictionary + b"".join(pages)
    column: dict[int, tuple[int, Value]] = {
        1: (I32, INT64),
        2: (list_of(I32), [PLAIN, RLE, RLE_DICTIONARY]),
        3: (list_of(BINARY), [b"x"]),
        4: (I32, codec),
        5: (I64, rows),
        6: (I64, unpacked or len(chunk)),
        7: (I64, len(chunk)),
        9: (I64, len(MAGIC) + len(dictionary)),
    }
    if dictionary:
        column[11] = (I64, len(MAGIC))
    group: Value = {
        1: (list_of(STRUCT), [{2: (I64, len(MAGIC)), 3: (STRUCT, column)}]),
        2: (I64, len(chunk)),
        3: (I64, rows),
    }
    root: Value = {4: (BINARY, b"schema"), 5: (I32, 1)}
    leaf: Value = {1: (I32, INT64), 3: (I32, REQUIRED), 4: (BINARY, b"x")}
    footer = thrift(
        STRUCT, {1: (I32, 1), 2: (list_of(STRUCT), [root, leaf]), 3: (I64, rows), 4: (list_of(STRUCT), [group])}
    )
    path.write_bytes(MAGIC + chunk + footer + struct.pack("<I", len(footer)) + MAGIC)
    return path


def write_constant(path: Path, *, rows: int, rows_a_page: int = 2**30) -> Path:
    """A tiny, valid file of so many equal rows: a dictionary of one value, and one run a page."""
    full, rest = divmod(rows, rows_a_page)
    counts = [rows_a_page] * full + [rest] * bool(rest)
    dictionary = page(DICTIONARY_PAGE, struct.pack("<q", 7), 1, PLAIN)
    runs = [page(DATA_PAGE, b"\x01" + varint(count << 1) + b"\0", count, RLE_DICTIONARY) for count in counts]
    return write_column(path, runs, rows=rows, dictionary=dictionary)
