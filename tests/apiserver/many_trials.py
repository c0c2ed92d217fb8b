"""A search of very many trials, and what it costs: writes, memory, sizes, time."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from keelway.api.experiment import Experiment
from keelway.lifecycle.experiment.trials import TrialRow
from keelway.search import Space, Tried, suggest
from keelway.search.window import history
from tests.apiserver.api import Api
from tests.apiserver.audit import Audit
from tests.apiserver.cluster_setup import OPERATOR_USER
from tests.apiserver.operator_process import OperatorProcess
from tests.apiserver.searches import Searches

PAGE_BYTES, STATUS_BYTES = 256 * 1024, 16 * 1024
WRITES_PER_TRIAL = 4


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a search of many trials cost."""

    trials: int
    jobs: int
    seconds: float
    writes_per_trial: Mapping[str, float]
    """By verb and resource; events apart."""
    peak_mib: float
    """Largest resident set of the operator, since it started."""
    pages: int
    page_bytes: int
    """Of the largest."""
    status_bytes: int
    suggest_ms: float
    """To choose the last trial's point."""

    def judge(self) -> None:
        """Fail where something is larger than was promised, or was paid for twice."""
        assert self.jobs == self.trials
        assert sum(self.writes_per_trial.values()) <= WRITES_PER_TRIAL, self.writes_per_trial
        assert self.page_bytes < PAGE_BYTES
        assert self.status_bytes < STATUS_BYTES


@dataclass(frozen=True)
class ManyTrials:
    """One search in a namespace of its own."""

    api: Api
    audit: Audit
    operator: OperatorProcess
    namespace: str

    def measure(self, *, trials: int, parallel: int, seconds: float) -> Measured:
        """Run a TPE search to its end; its Jobs go soon after theirs, so that the node has room."""
        searches, mark, begin = Searches(self.api, self.namespace), self.audit.mark(), time.monotonic()
        spec = {"retention": {"jobTTL": "20s"}}
        searches.begin(spec=spec, algorithm="TPE", seed=1, maxTrials=trials, parallelTrials=parallel)
        searches.wait(seconds=seconds)
        took, table, pages = time.monotonic() - begin, searches.table(), searches.pages()
        made = searches.jobs_made(self.audit)
        assert list(table) == list(range(trials))
        return Measured(
            trials=trials,
            jobs=sum(made.values()),
            seconds=round(took, 1),
            writes_per_trial=self._writes(mark, trials),
            peak_mib=round(self.operator.peak_bytes() / 2**20, 1),
            pages=len(pages),
            page_bytes=max(len(json.dumps(page)) for page in pages),
            status_bytes=len(json.dumps(searches.get()["status"])),
            suggest_ms=round(_suggest_seconds(Experiment.model_validate(searches.get()), table) * 1000, 1),
        )

    def _writes(self, mark: int, trials: int) -> dict[str, float]:
        found = self.audit.writes(OPERATOR_USER, since=mark, namespace=self.namespace)
        counted = Counter(f"{write.verb} {write.resource}" for write in found if write.resource != "events")
        return {what: round(count / trials, 3) for what, count in counted.most_common()}


def _suggest_seconds(experiment: Experiment, table: Mapping[int, TrialRow]) -> float:
    """How long it takes to choose the last trial's point, the first call's imports apart."""
    search, number = experiment.spec.search, len(table) - 1
    space = Space(experiment.spec.parameters, True, search.seed, search.max_trials)
    tried = [Tried(row.number, row.parameters, row.value) for row in table.values()]
    suggest(search.algorithm, space, [], [0])
    begin = time.perf_counter()
    found = suggest(search.algorithm, space, history(search, number, tried), [number])
    took = time.perf_counter() - begin
    assert found[number] == table[number].parameters, "the same as the operator chose"
    return took
