"""A verdict always fits a termination message."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.api.jobs import VERDICT_BYTES, CollectVerdict, ObserveVerdict, StageVerdict
from keelway.api.judging import MeasureVerdict, SmokeVerdict
from keelway.worker import verdicts

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)


def test_a_small_verdict_is_written_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEELWAY_TERMINATION_LOG", str(tmp_path / "log"))
    verdict = CollectVerdict(outcome="Collected", metrics={"auc": 0.9}, digest="sha256:ab", files=1, bytes=5)
    verdicts.write(verdict, wanted=["auc"])
    assert CollectVerdict.model_validate_json((tmp_path / "log").read_bytes()) == verdict


def test_metrics_go_before_the_message_and_the_objective_stays() -> None:
    metrics = {f"metric {number} " + "x" * 60: float(number) for number in range(49)}
    verdict = CollectVerdict(outcome="Collected", message="note", metrics={**metrics, "auc": 0.9})
    data = verdicts.fit(verdict, wanted=["auc"])
    kept = CollectVerdict.model_validate_json(data)
    assert len(data) <= VERDICT_BYTES
    assert kept.metrics["auc"] == 0.9
    assert 20 < len(kept.metrics) < 50
    assert kept.message == "note"


def test_a_long_message_is_cut_and_says_so() -> None:
    verdict = ObserveVerdict(outcome="Failed", reason="SourceInvalid", message="ü\n" * 5000)
    data = verdicts.fit(verdict)
    kept = json.loads(data)
    assert VERDICT_BYTES - 20 < len(data) <= VERDICT_BYTES
    assert kept["reason"] == "SourceInvalid"
    assert kept["message"].endswith("…")


@given(
    message=st.text(st.characters(exclude_categories=["Cs"]), max_size=4000),
    metrics=st.dictionaries(NAMES, st.floats(allow_nan=False, allow_infinity=False), max_size=50),
)
def test_whatever_there_is_to_say_it_fits(message: str, metrics: dict[str, float]) -> None:
    verdict = CollectVerdict(outcome="Failed", message=message, metrics={**metrics, "auc": 1})
    data = verdicts.fit(verdict, wanted=["auc"])
    assert len(data) <= VERDICT_BYTES
    assert CollectVerdict.model_validate_json(data).metrics["auc"] == 1


def test_points_of_the_curve_go_before_any_metric_and_those_that_stay_are_spread_over_it() -> None:
    metrics = {f"metric {number} {'x' * 20}": float(number) for number in range(49)}
    curve = tuple((step * 1000, 1 / 3 + step) for step in range(60))
    verdict = CollectVerdict(outcome="Collected", metrics={**metrics, "auc": 0.9}, curve=curve)
    data = verdicts.fit(verdict, wanted=["auc"])
    kept = CollectVerdict.model_validate_json(data)
    assert len(data) <= VERDICT_BYTES
    assert kept.metrics == verdict.metrics
    assert 5 < len(kept.curve) < 60
    assert set(kept.curve) <= set(curve)
    assert (kept.curve[0], kept.curve[-1]) == (curve[0], curve[-1])
    steps = [step for step, _ in kept.curve]
    gaps = [after - before for before, after in pairwise(steps)]
    assert max(gaps) <= 2 * min(gaps) + 1000


def test_no_point_is_left_where_metrics_alone_are_too_many() -> None:
    metrics = {f"metric {number} " + "x" * 60: float(number) for number in range(49)}
    verdict = CollectVerdict(outcome="Collected", metrics={"auc": 0.9, **metrics}, curve=((1, 0.5), (2, 0.6)))
    kept = CollectVerdict.model_validate_json(verdicts.fit(verdict, wanted=["auc"]))
    assert kept.curve == ()
    assert kept.metrics["auc"] == 0.9


@given(
    message=st.text(st.characters(exclude_categories=["Cs"]), max_size=4000),
    metrics=st.dictionaries(NAMES, st.floats(allow_nan=False, allow_infinity=False), max_size=50),
    wanted=st.integers(0, 16),
)
def test_an_evaluation_fits_whatever_its_metrics_are_called(
    message: str, metrics: dict[str, float], wanted: int
) -> None:
    checked = list(metrics)[:wanted]
    verdict = MeasureVerdict(outcome="Measured", message=message, metrics=metrics)
    data = verdicts.fit(verdict, wanted=checked)
    kept = MeasureVerdict.model_validate_json(data)
    assert len(data) <= VERDICT_BYTES
    assert kept.outcome == "Failed" or {name: kept.metrics[name] for name in checked} == {
        name: metrics[name] for name in checked
    }


def test_sixteen_checked_metrics_with_the_longest_names_fit() -> None:
    checked = [f"{number:02}" + "x" * 126 for number in range(16)]
    metrics = {**dict.fromkeys(checked, 1 / 3), **{f"m{number}": 1 / 7 for number in range(34)}}
    data = verdicts.fit(MeasureVerdict(outcome="Measured", metrics=metrics), wanted=checked)
    kept = MeasureVerdict.model_validate_json(data)
    assert len(data) <= VERDICT_BYTES
    assert (kept.outcome, set(checked) <= kept.metrics.keys()) == ("Measured", True)
    assert len(kept.metrics) > 16, "of the others those that fit"


def test_a_checked_metric_is_never_left_out_in_silence() -> None:
    checked = [f"{number:02}" + "\x01" * 126 for number in range(16)]
    data = verdicts.fit(MeasureVerdict(outcome="Measured", metrics=dict.fromkeys(checked, 0.5)), wanted=checked)
    kept = MeasureVerdict.model_validate_json(data)
    assert len(data) <= VERDICT_BYTES
    assert (kept.outcome, kept.reason, kept.metrics) == ("Failed", "MetricInvalid", {})
    assert "shorten" in kept.message


@given(message=st.text(st.characters(exclude_categories=["Cs"]), max_size=6000))
def test_what_is_said_of_a_model_or_of_a_request_fits(message: str) -> None:
    for verdict in (
        StageVerdict(outcome="Failed", reason="ArtifactDigestMismatch", message=message, bytes=2**62),
        SmokeVerdict(outcome="Failed", reason="SmokeFailed", message=message),
    ):
        data = verdicts.fit(verdict)
        assert len(data) <= VERDICT_BYTES
        assert json.loads(data)["reason"] == verdict.reason
