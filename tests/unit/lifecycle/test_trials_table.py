"""How much room the table of trials and the status take, whatever a spec asks for."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.api.digests import canonical_json
from keelway.api.jobs import CURVE_POINTS
from keelway.api.search import MAX_TRIALS, Parameter
from keelway.lifecycle.experiment.trials import TrialRow, page_rows

PAGE_LIMIT = 256 * 1024
PLAIN = [{"name": "depth", "int": {"min": 2, "max": 900}}]
WIDE = [{"name": f"p{n}".ljust(63, "_"), "choice": {"values": ["é" * 256, f"{n}"]}} for n in range(64)]


def full_row(number: int, parameters: list[dict[str, Any]]) -> TrialRow:
    """A row with as much in it as a verdict can say."""
    point = {p["name"]: p["choice"]["values"][0] if "choice" in p else 123 for p in parameters}
    return TrialRow(
        number=number,
        state="Succeeded",
        parameters=point,
        metrics={f"metric_{n:03}_{'x' * 30}": 0.12345678901234567 for n in range(45)},
        value=0.12345678901234567,
        job="j" * 52,
        digest="sha256:" + "0" * 64,
        directory="0" * 12,
        image_id="i" * 200,
        curve=tuple((step * 1000, 0.12345678901234567) for step in range(CURVE_POINTS)),
        reason="TrainerFailed",
        message="é" * 300,
    )


@pytest.mark.parametrize("parameters", [PLAIN, WIDE], ids=["one number", "64 long choices"])
def test_no_page_of_the_largest_table_is_larger_than_256_kib(parameters: list[dict[str, Any]]) -> None:
    size = page_rows([Parameter.model_validate(p) for p in parameters])
    page = [full_row(number, parameters).to_json() for number in range(MAX_TRIALS - size, MAX_TRIALS)]
    assert len(canonical_json(page)) < PAGE_LIMIT
    assert size > 1


def test_a_small_row_shares_its_page_with_few_others_so_that_a_trial_does_not_rewrite_a_large_one() -> None:
    assert 20 <= page_rows([Parameter.model_validate(p) for p in PLAIN]) <= 50
