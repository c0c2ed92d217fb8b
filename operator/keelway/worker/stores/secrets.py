"""Credentials from a mounted Secret: one file per key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from keelway.api.jobs import Location
from keelway.worker.errors import WorkerError


class Keys(tuple[str, ...]):
    """Keys of a Secret that are enough together; one such as `*.json` is met by any that it matches."""

    __slots__ = ()

    def __new__(cls, *names: str) -> Keys:
        return super().__new__(cls, names)

    def absent(self, secret: Mapping[str, str]) -> list[str]:
        """Those that a Secret lacks."""
        return [name for name in self if not any(fnmatchcase(key, name) for key in secret)]

    def __str__(self) -> str:
        return " and ".join(self)


def read_secret(location: Location, enough: Sequence[Keys]) -> dict[str, str]:
    """The keys of the mounted Secret that are not empty; none when the location names no Secret.

    Raises WorkerError SecretMissing that names the keys it must have when no set of `enough` is complete.
    """
    if not location.secret_dir:
        return {}
    directory = Path(location.secret_dir)
    files = [path for path in directory.iterdir() if path.is_file()] if directory.is_dir() else []
    secret = {path.name: text for path in files if (text := path.read_text(errors="replace").strip())}
    # What is asked for is the set that somebody has begun to fill.
    nearest = min(enough, key=lambda keys: (len(absent := keys.absent(secret)) == len(keys), len(absent)))
    absent = nearest.absent(secret)
    if not absent:
        return secret
    problem = f"has no {' and no '.join(absent)}" if files else "does not exist or is empty"
    raise WorkerError(
        "SecretMissing",
        f"the Secret {location.secret_name!r} {problem}: create it in this namespace with the keys "
        f"{', or '.join(map(str, enough))}",
    )
