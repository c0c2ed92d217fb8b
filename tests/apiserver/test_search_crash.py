"""`kill -9` of the operator in the middle of a search leaves the search as it is without."""

from __future__ import annotations

from functools import partial

from keelway.lifecycle.experiment.trials import TrialRow
from tests.apiserver.api import Api
from tests.apiserver.audit import Audit
from tests.apiserver.conftest import new_namespace
from tests.apiserver.operator_process import OperatorProcess
from tests.apiserver.searches import Searches
from tests.apiserver.waiting import eventually
from tests.apiserver.write_limit import WriteLimit

TRIALS, PARALLEL = 20, 4
LIVES = (9, 12, 12, 12)
"""How many writes each of an operator's lives lasts."""


def test_the_same_seed_gives_the_same_trials_also_when_the_operator_is_killed_again_and_again(
    api: Api, audit: Audit, limit: WriteLimit, mortal_operator: OperatorProcess
) -> None:
    calm, life = (Searches(api, new_namespace(api)) for _ in range(2))
    for searches in (calm, life):
        searches.begin(algorithm="TPE", seed=3, maxTrials=TRIALS, parallelTrials=PARALLEL)
    deaths = 0
    for writes in LIVES:
        limit.allow(life.namespace, writes)
        mortal_operator.start()
        eventually(partial(is_cut_off, mortal_operator, limit, life), seconds=60, what="the operator is cut off")
        deaths += not life.is_over()
        mortal_operator.kill()
        mortal_operator.wait_ended(10)
        limit.lift()
    mortal_operator.start()
    for searches in (calm, life):
        searches.wait()
    assert deaths == len(LIVES)
    assert plain(life.table()) == plain(calm.table())
    assert [len(searches.table()) for searches in (calm, life)] == [TRIALS] * 2
    for searches in (calm, life):
        assert set(searches.jobs_made(audit).values()) == {1}
        assert len(searches.jobs_made(audit)) == TRIALS


def is_cut_off(operator: OperatorProcess, limit: WriteLimit, life: Searches) -> bool:
    """Whether the operator's last write in a namespace has passed, or none is needed any more."""
    operator.check()
    return limit.is_spent(life.namespace) or life.is_over()


def plain(table: dict[int, TrialRow]) -> list[object]:
    """What a search found, apart from names by uid and from seconds."""
    return [(row.number, row.state, row.parameters, row.value, row.attempt, row.digest) for row in table.values()]
