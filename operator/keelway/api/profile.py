"""The profile of a version: enough to draw every column, and to tell how far another version has moved.

It is JSON under `profile.json` of the ConfigMap that the DatasetVersion names.
"""

from __future__ import annotations

from typing import Any, Literal

from keelway.api.base import Model

PROFILE_BYTES = 700_000
"""A profile is cut (top values first, then columns) until it is no longer than this as JSON."""


class TopValue(Model):
    """A frequent value, as text."""

    value: str
    count: int


class ColumnProfile(Model):
    """One column. `shares` are fractions of all rows; with `null_share` and `other_share` they add up to 1."""

    name: str
    type: str
    kind: Literal["Number", "Time", "Text", "Boolean", "Other"]
    count: int
    """Values that are not NULL."""
    nulls: int = 0
    distinct: int = 0
    """Approximate."""
    min: str | None = None
    max: str | None = None
    mean: float | None = None
    stddev: float | None = None
    edges: tuple[float, ...] = ()
    """For numbers and times (as seconds since 1970): edges of the bins, at most 11, ascending; the first bin begins
    at -infinity and the last one ends at infinity whatever the outer edges say."""
    shares: tuple[float, ...] = ()
    """Share of the rows in each bin: `edges[i] <= value < edges[i + 1]`, one fewer than edges."""
    top: tuple[TopValue, ...] = ()
    """Most frequent values, of text and boolean columns and of numbers with few different values."""
    other_share: float = 0.0
    """Share of the rows whose value is in neither `top` nor a bin."""
    null_share: float = 0.0


class ImageClass(Model):
    """The images of one class."""

    name: str
    count: int


class ImagesProfile(Model):
    """What a directory of images holds."""

    classes: tuple[ImageClass, ...] = ()
    formats: dict[str, int] = {}
    corrupt: int = 0
    widths: tuple[int, int] = (0, 0)
    """Smallest and largest, in pixels."""
    heights: tuple[int, int] = (0, 0)


class Profile(Model):
    """One version."""

    version: Literal[1] = 1
    rows: int
    coverage: float = 1.0
    """Share of the bytes that were read; below 1, all counts are of the files that were."""
    columns: tuple[ColumnProfile, ...] = ()
    omitted_columns: int = 0
    images: ImagesProfile | None = None
    sample: tuple[dict[str, Any], ...] = ()
    """Opt-in: rows of the columns that the spec names, values as text."""
