"""Hashes: sha256 over canonical JSON (sorted keys, no spaces, UTF-8)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any


def canonical_json(value: Any) -> bytes:
    """The one byte string that stands for a JSON value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha256(data: bytes) -> str:
    """Lower-case hexadecimal sha256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def digest(value: Any) -> str:
    """Hexadecimal sha256 of a JSON value's canonical form."""
    return sha256(canonical_json(value))


def short(hexadecimal: str) -> str:
    """Short form of a digest: its first 12 hexadecimal characters, without an algorithm's prefix."""
    return hexadecimal.rsplit(":", 1)[-1][:12]


def listing_digest(entries: Iterable[tuple[str, int, str]]) -> str:
    """`listing:sha256:…` over sorted `path NUL size NUL etag LF` lines: what the listing vouches for, not the bytes."""
    lines = sorted(f"{path}\0{size}\0{etag}\n" for path, size, etag in entries)
    return "listing:sha256:" + sha256("".join(lines).encode())


def tree_digest(entries: Iterable[tuple[str, int, str]]) -> str:
    """`sha256:…` of a directory of files, over sorted `path NUL size NUL sha256 LF` lines."""
    lines = sorted(f"{path}\0{size}\0{checksum}\n" for path, size, checksum in entries)
    return "sha256:" + sha256("".join(lines).encode())


def content_digest(entries: Iterable[tuple[str, int, str]]) -> str:
    """`content:sha256:…` over the same lines: every byte of every file."""
    return "content:" + tree_digest(entries)
