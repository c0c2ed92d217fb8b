"""What the demo waits for when a batch is corrupted, and how it shows a profile."""

from typing import Any

import pytest

from dev.demo.profile import bars, shares_of, table
from dev.demo.story import is_mended, is_refused

Manifest = dict[str, Any]


def dataset(*, current: int, good: int, valid: str, validated: str) -> Manifest:
    conditions = [
        {"type": "Ready", "status": "True", "reason": "Ready", "observedGeneration": 1},
        {"type": "Validated", "status": validated, "reason": "ExpectationsFailed", "observedGeneration": 1},
    ]
    status = {"conditions": conditions, "current": {"version": current, "valid": valid}, "lastGood": {"version": good}}
    return {"metadata": {"generation": 1}, "status": status}


@pytest.mark.parametrize(
    ("resource", "refused", "mended"),
    [
        (dataset(current=1, good=1, valid="True", validated="True"), False, True),
        (dataset(current=2, good=1, valid="False", validated="False"), True, False),
        (dataset(current=3, good=3, valid="True", validated="True"), False, True),
        # Validated is False for old data too, and that refuses nobody anything.
        (dataset(current=2, good=2, valid="True", validated="False"), False, False),
        ({"metadata": {"generation": 1}}, False, False),
    ],
)
def test_a_batch_is_refused_until_it_is_mended(resource: Manifest, refused: bool, mended: bool) -> None:
    assert (is_refused(resource), is_mended(resource)) == (refused, mended)


RADIUS = {
    "name": "mean_radius",
    "type": "double",
    "count": 90,
    "nulls": 10,
    "min": "6.981",
    "max": "28.11",
    "mean": 14.1272917,
    "edges": [0.0, 6.0, 9.0, 12.0],
    "shares": [0.2, 0.4, 0.3],
}
TARGET = {"name": "target", "type": "bigint", "count": 4, "nulls": 0, "top": [{"value": "1", "count": 3}]}


def test_a_profile_shows_the_first_columns_and_counts_the_others() -> None:
    shown = table({"columns": [RADIUS, TARGET, TARGET], "omittedColumns": 2}, columns=2)
    cells = [list(column.cells) for column in shown.columns]
    assert cells[0] == ["mean_radius", "target"]
    assert [column[0] for column in cells[2:6]] == ["10", "6.981", "14.13", "28.11"]
    assert shown.caption == "and 3 more columns"


def test_bars_are_as_high_as_the_rows_are_dense() -> None:
    assert bars(shares_of(RADIUS)) == "▃▃▃▃▃▃███▆▆▆"
    assert bars(shares_of(TARGET)) == "█"
    assert bars([]) == ""
