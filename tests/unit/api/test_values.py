"""Durations, moments and hashes: golden values, because others depend on every character."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.api.digests import canonical_json, digest, listing_digest, sha256, short, tree_digest
from keelway.api.durations import from_timestamp, seconds, to_timestamp


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", 30),
        ("10m", 600),
        ("1h", 3600),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1m500ms", 60.5),
        ("0s", 0),
        ("2m2m", 240),
    ],
)
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC), "2026-03-01T12:00:00Z"),
        (datetime(2026, 3, 1, 12, 0, 0, 999_999, tzinfo=UTC), "2026-03-01T12:00:00Z"),
        (datetime(2026, 3, 1, 14, 0, 0, tzinfo=timezone(timedelta(hours=2))), "2026-03-01T12:00:00Z"),
    ],
)
def test_moments(moment: datetime, text: str) -> None:
    assert to_timestamp(moment) == text


@pytest.mark.parametrize("text", ["2026-03-01T12:00:00Z", "2026-03-01T14:00:00+02:00", "2026-03-01T12:00:00.000000Z"])
def test_moments_as_the_api_server_and_others_write_them(text: str) -> None:
    assert from_timestamp(text) == datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def test_canonical_json_is_one_byte_string() -> None:
    assert canonical_json({"b": [1, 2.5, None, True], "a": "ü\n"}) == '{"a":"ü\\n","b":[1,2.5,null,true]}'.encode()
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    assert digest([1]) == sha256(b"[1]") == "080a9ed428559ef602668b4c00f114f1a11c3f6b02a435f0bdc154578e4d7f22"


def test_short_forms() -> None:
    assert short("listing:sha256:0123456789abcdef0123") == "0123456789ab"
    assert short("0123456789abcdef0123") == "0123456789ab"


def test_digests_of_listings_and_trees() -> None:
    entries = [("b.parquet", 20, "e2"), ("a.parquet", 10, "e1")]
    said = "a.parquet\0" + "10\0e1\nb.parquet\0" + "20\0e2\n"
    assert listing_digest(entries) == f"listing:sha256:{sha256(said.encode())}"
    assert tree_digest(entries) == f"sha256:{sha256(said.encode())}"
    assert listing_digest(reversed(entries)) == listing_digest(entries)
    assert listing_digest([]) == f"listing:sha256:{sha256(b'')}"


@given(st.lists(st.tuples(st.text(max_size=5), st.integers(0, 9), st.text(max_size=3)), max_size=4))
def test_another_size_or_etag_is_another_digest(entries: list[tuple[str, int, str]]) -> None:
    known = listing_digest(entries)
    for index, (path, size, etag) in enumerate(entries):
        for other in ((path, size + 10, etag), (path, size, f"{etag}x"), (f"{path}x", size, etag)):
            assert listing_digest([*entries[:index], other, *entries[index + 1 :]]) != known
