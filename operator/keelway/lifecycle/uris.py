"""URIs of directories: told apart and nested by their path, however they are spelled."""

from __future__ import annotations

import re
from collections.abc import Iterator


def normal(uri: str) -> str:
    """The URI without slashes at its end and doubled ones in its path."""
    scheme, mark, rest = uri.partition("://")
    return scheme + mark + re.sub("/+", "/", rest).strip("/")


def ancestors(uri: str) -> Iterator[str]:
    """Every directory above, nearest first, up to the bucket or the claim."""
    scheme, mark, rest = normal(uri).partition("://")
    while "/" in rest:
        rest = rest.rpartition("/")[0]
        yield scheme + mark + rest


def below(uri: str, directory: str) -> str | None:
    """The path from a directory down to a URI in it, empty for the directory itself; None when it is elsewhere."""
    inner, outer = normal(uri), normal(directory)
    if inner == outer:
        return ""
    return inner[len(outer) + 1 :] if inner.startswith(f"{outer}/") else None
