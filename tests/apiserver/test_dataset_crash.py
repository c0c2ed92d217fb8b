"""`kill -9` of the operator between any two writes of a chain's story ends in what the story ends in without."""

from collections import defaultdict
from collections.abc import Iterable

from tests.apiserver.api import Api
from tests.apiserver.audit import Audit
from tests.apiserver.conftest import new_namespace
from tests.apiserver.derived_chain import JOBS, Chain
from tests.apiserver.end_state import end_state
from tests.apiserver.fake_node import FakeNode
from tests.apiserver.operator_process import OperatorProcess
from tests.apiserver.waiting import eventually
from tests.apiserver.write_limit import WriteLimit

LIVES = 12
ALL = 10**6
SECONDS = 120


def new_chain(api: Api, node: FakeNode) -> Chain:
    """A chain in a namespace of its own, with its first batch."""
    chain = Chain(api, node, new_namespace(api))
    chain.begin()
    return chain


def goes_on(operator: OperatorProcess, limit: WriteLimit, lives: Iterable[Chain]) -> list[Chain]:
    """Let stories go on until each is over or its writes are spent; gives those that are not over."""
    left, spent = list(lives), list[Chain]()

    def all_came_to_rest() -> bool:
        operator.check()
        for life in list(left):
            if limit.is_spent(life.namespace):
                spent.append(life)
            elif not life.go_on():
                continue
            left.remove(life)
        return not left

    try:
        eventually(all_came_to_rest, seconds=SECONDS, what="every story is over or held up", every=0.2)
    except AssertionError as error:
        raise AssertionError(f"{error}; left are {[life.namespace for life in left]}") from None
    return spent


def test_killed_between_any_two_writes(
    api: Api, audit: Audit, node: FakeNode, limit: WriteLimit, mortal_operator: OperatorProcess
) -> None:
    """Many lives at once: the k-th one's operator dies after its k-th write, then after every LIVES-th one more."""
    calm = new_chain(api, node)
    mortal_operator.start()
    goes_on(mortal_operator, limit, [calm])
    mortal_operator.stop()
    assert calm.jobs_made(audit) == JOBS
    lives = [new_chain(api, node) for _ in range(LIVES)]
    for k, life in enumerate(lives, start=1):
        limit.allow(life.namespace, k)
    deaths, left = defaultdict[int, int](int), list(lives)
    while left:
        mortal_operator.start()
        left = goes_on(mortal_operator, limit, left)
        mortal_operator.kill()
        mortal_operator.wait_ended(10)
        for life in lives:
            deaths[len(limit.writes[life.namespace])] += life in left
            limit.allow(life.namespace, LIVES if life in left else ALL)
        limit.drop()
    expected, total = end_state(api, calm.namespace), len(limit.writes[calm.namespace])
    assert set(range(1, total - LIVES)) - {k for k, times in deaths.items() if times} == set()
    for life in lives:
        assert life.jobs_made(audit) == JOBS, life.namespace
        assert end_state(api, life.namespace) == expected, life.namespace
