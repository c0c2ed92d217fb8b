"""The driver of the test levels counts what ran."""

from pathlib import Path

import pytest

from dev.levels import Outcome, counts

REPORT = """<testsuites><testsuite tests="5" failures="1" errors="1" skipped="0"/>
<testsuite tests="2" failures="0" errors="0" skipped="0"/></testsuites>"""


def test_counts_failures_and_errors_as_failed(tmp_path: Path) -> None:
    report = tmp_path / "unit.xml"
    report.write_text(REPORT)
    assert counts(report) == (5, 2)


def test_nothing_passed_where_there_is_no_report(tmp_path: Path) -> None:
    assert counts(tmp_path / "none.xml") == (0, 0)


@pytest.mark.parametrize(("passed", "word"), [(True, "passed"), (False, "FAILED")])
def test_a_line_of_the_summary(passed: bool, word: str) -> None:
    line = Outcome(level="unit", passed=passed, seconds=1.25, note="5 passed, 2 failed").line()
    assert word in line
    assert line.endswith("1.2 s   5 passed, 2 failed")
