"""A search of 5 000 trials with a real API server and Job controller and a node without containers."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from tests.apiserver.api import Api
from tests.apiserver.audit import Audit
from tests.apiserver.fake_node import FakeNode
from tests.apiserver.many_trials import ManyTrials
from tests.apiserver.operator_process import OperatorProcess
from tests.perf.conftest import Note

TRIALS, PARALLEL = 5_000, 128
SECONDS = 3_600


@pytest.mark.timeout(SECONDS + 600)
def test_five_thousand_trials(
    api: Api,
    namespace: str,
    node: FakeNode,  # noqa: ARG001
    audit: Audit,
    operator: OperatorProcess,
    note: Note,
) -> None:
    measured = ManyTrials(api, audit, operator, namespace).measure(trials=TRIALS, parallel=PARALLEL, seconds=SECONDS)
    figures = asdict(measured)
    writes = {f"writes_{what.replace(' ', '_')}": count for what, count in figures.pop("writes_per_trial").items()}
    note(**figures, **writes, writes_per_trial=round(sum(measured.writes_per_trial.values()), 3))
    measured.judge()
