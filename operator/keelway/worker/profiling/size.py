"""Keeps a profile small enough to be stored."""

from __future__ import annotations

from keelway.api.digests import canonical_json
from keelway.api.profile import PROFILE_BYTES, ColumnProfile, Profile

TOP_LENGTHS = (50, 20, 10, 5, 2, 0)


def fit(profile: Profile, limit: int = PROFILE_BYTES) -> Profile:
    """The profile, or as much as fits into `limit` bytes of canonical JSON: fewer top values first, then columns."""
    for length in TOP_LENGTHS:
        if _size(profile) <= limit:
            return profile
        columns = tuple(_shortened(column, length, profile.rows) for column in profile.columns)
        profile = profile.model_copy(update={"columns": columns})
    return _without_last_columns(profile, limit)


def _size(profile: Profile) -> int:
    return len(canonical_json(profile.to_json()))


def _shortened(column: ColumnProfile, length: int, rows: int) -> ColumnProfile:
    """With no more top values than `length`; the rows of those left out count as other ones, unless they have bins."""
    left_out = sum(one.count for one in column.top[length:])
    if not left_out:
        return column
    other = column.other_share if column.edges else column.other_share + left_out / rows
    return column.model_copy(update={"top": column.top[:length], "other_share": other})


def _without_last_columns(profile: Profile, limit: int) -> Profile:
    """The largest number of columns, from the first one on, that fits."""
    low, high = 0, len(profile.columns)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _size(_first_columns(profile, middle)) <= limit else (low, middle - 1)
    return _first_columns(profile, low)


def _first_columns(profile: Profile, number: int) -> Profile:
    omitted = profile.omitted_columns + len(profile.columns) - number
    return profile.model_copy(update={"columns": profile.columns[:number], "omitted_columns": omitted})
