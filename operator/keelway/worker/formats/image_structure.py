"""Whether an image file is whole, told from the structure of its format without decoding a pixel.

PNG (W3C, third edition, section 5): chunks with a CRC-32 up to IEND. JPEG (ITU-T T.81, annex B): segments, and entropy
coded data up to the marker EOI. GIF (GIF89a): blocks up to the trailer. BMP: as many bytes as the header's sizes need.
TIFF (revision 6.0): every strip or tile lies within the file. WebP (RFC 9649): RIFF chunks that fill the file.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import BinaryIO

BLOCK = 1024 * 1024
JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
"""In entropy coded data, what is neither a stuffed FF nor a restart."""
JPEG_SOI, JPEG_EOI = 0xD8, 0xD9
JPEG_ALONE = {0x01, *range(0xD0, 0xD9)}
"""Markers without a segment."""
BMP_UNPACKED = {0, 3, 6}
"""Plain pixels, with or without bit masks; others say themselves how many bytes they take."""
CUT_OFF = "is cut off"


class CorruptError(Exception):
    """The file is no whole image; the text says why, as the end of a sentence that begins with its path."""


def refuse_cut_off(image_format: str, source: BinaryIO, end: int = 0) -> None:
    """Raise CorruptError unless everything is there that the file says there is, up to `end` at least."""
    size = os.fstat(source.fileno()).st_size
    if end > size:
        raise CorruptError(CUT_OFF)
    if walk := WALKS.get(image_format):
        walk(source, size)


def webp_size(beginning: bytes) -> tuple[int, int] | None:
    """Width and height, from the first 30 bytes; None when it is no WebP. Raises CorruptError."""
    if beginning[:4] != b"RIFF" or beginning[8:12] != b"WEBP":
        return None
    kind, body = beginning[12:16], beginning[20:].ljust(10, b"\0")
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        packed = int.from_bytes(body[1:5], "little")
        return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    raise CorruptError("has a broken header")


def _exactly(source: BinaryIO, length: int) -> bytes:
    data = source.read(length)
    if len(data) < length:
        raise CorruptError(CUT_OFF)
    return data


def _skip(source: BinaryIO, length: int, size: int) -> None:
    if source.seek(length, os.SEEK_CUR) > size:
        raise CorruptError(CUT_OFF)


def _png(source: BinaryIO, size: int) -> None:
    source.seek(8)
    kind = b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", _exactly(source, 8))
        if length > size:
            raise CorruptError(CUT_OFF)
        if _crc(source, length, zlib.crc32(kind)) != int.from_bytes(_exactly(source, 4), "big"):
            raise CorruptError("has a wrong checksum")


def _crc(source: BinaryIO, length: int, crc: int) -> int:
    while length:
        data = _exactly(source, min(length, BLOCK))
        crc, length = zlib.crc32(data, crc), length - len(data)
    return crc


def _jpeg(source: BinaryIO, size: int) -> None:
    source.seek(0)
    marker = JPEG_SOI if _exactly(source, 2) == b"\xff\xd8" else JPEG_EOI
    while marker != JPEG_EOI:
        if marker not in JPEG_ALONE:
            _skip(source, max(2, int.from_bytes(_exactly(source, 2), "big")) - 2, size)
        marker = _next_marker(source)


def _next_marker(source: BinaryIO) -> int:
    """The next marker, behind which the file then stands; entropy coded data, or filling, may come before it."""
    tail = b""
    while data := source.read(BLOCK):
        block = tail + data
        if found := JPEG_MARKER.search(block):
            source.seek(found.end() - len(block), os.SEEK_CUR)
            return found[1][0]
        tail = block[-1:]
    raise CorruptError(CUT_OFF)


def _gif(source: BinaryIO, size: int) -> None:
    source.seek(10)
    _skip(source, 2 + _gif_colours(_exactly(source, 1)[0]), size)
    while (block := _exactly(source, 1)) != b";":
        if block == b",":
            _skip(source, 8, size)
            _skip(source, 1 + _gif_colours(_exactly(source, 1)[0]), size)
        elif block == b"!":
            _skip(source, 1, size)
        else:
            raise CorruptError("has a block of no known kind")
        while length := _exactly(source, 1)[0]:
            _skip(source, length, size)


def _gif_colours(flags: int) -> int:
    """Bytes of the table of colours that may follow."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _bmp(source: BinaryIO, size: int) -> None:
    source.seek(10)
    offset, header = struct.unpack("<II", _exactly(source, 8))
    if header == 12:
        width, height, _, bits = struct.unpack("<HHHH", _exactly(source, 8))
        packing, packed = 0, 0
    else:
        width, height, _, bits, packing, packed = struct.unpack("<iiHHII", _exactly(source, 20))
    needed = (width * bits + 31) // 32 * 4 * abs(height) if packing in BMP_UNPACKED else packed
    if offset + needed > size:
        raise CorruptError(CUT_OFF)


def _webp(source: BinaryIO, size: int) -> None:
    source.seek(4)
    end = 8 + int.from_bytes(_exactly(source, 4), "little")
    if end > size:
        raise CorruptError(CUT_OFF)
    source.seek(12)
    while source.tell() + 8 <= end:
        length = struct.unpack("<4sI", _exactly(source, 8))[1]
        _skip(source, length, size)
        _skip(source, length % 2 if source.tell() < end else 0, size)


WALKS: Mapping[str, Callable[[BinaryIO, int], None]] = {
    "png": _png,
    "jpeg": _jpeg,
    "gif": _gif,
    "bmp": _bmp,
    "webp": _webp,
}
