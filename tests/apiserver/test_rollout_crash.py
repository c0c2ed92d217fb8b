"""`kill -9` of the operator after each write of a rollout ends in what it ends in without, and the traffic never
meets a server that is not ready."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.apiserver.api import Api
from tests.apiserver.audit import Audit
from tests.apiserver.conftest import new_namespace
from tests.apiserver.fake_node import FakeNode
from tests.apiserver.fake_prometheus import FakePrometheus
from tests.apiserver.history import History
from tests.apiserver.operator_process import OperatorProcess
from tests.apiserver.rollouts import Rollouts, analysis, gate
from tests.apiserver.test_crash import SECONDS, assert_same, kill_after_each_write
from tests.apiserver.track import NAME
from tests.apiserver.waiting import eventually
from tests.apiserver.write_limit import WriteLimit

ERRORS = 0.5
SMOKE = {"requests": [{"path": "/v2/health/ready"}]}


@pytest.fixture
def prometheus() -> Iterator[FakePrometheus]:
    """A server that finds nothing to complain of."""
    with FakePrometheus() as prometheus:
        yield prometheus


def is_promoted(rollouts: Rollouts, version: int = 2) -> bool:
    """This version alone has servers, and it is known to be live."""
    status = rollouts.status
    done = status.get("live", {}).get("version") == version and "candidate" not in status and "soaking" not in status
    return done and is_settled(rollouts, version)


def is_rolled_back(rollouts: Rollouts) -> bool:
    """Version 2 was given up, and version 1 alone has servers."""
    return bool(rollouts.candidate.get("phase") == "RolledBack" and is_settled(rollouts, 1))


def is_settled(rollouts: Rollouts, live: int) -> bool:
    """Records of models say what became of each, and nobody else has servers."""
    states = {
        model["spec"]["version"]: model.get("status", {}).get("state") for model in rollouts.track.all("ModelVersion")
    }
    observed = not rollouts.jobs("observe")
    known = states.pop(live) == "Live" and set(states.values()) <= {"Retired", "Rejected"}
    return known and rollouts.servers() == {live} and observed


@pytest.mark.parametrize(
    ("values", "is_over", "weights"),
    [((0.0,), is_promoted, [0, 10, 50, 100]), ((ERRORS,), is_rolled_back, [0, 10, 0])],
    ids=["promotion", "rollback"],
)
def test_killed_after_each_write_of_a_rollout(
    api: Api,
    audit: Audit,
    node: FakeNode,
    limit: WriteLimit,
    mortal_operator: OperatorProcess,
    prometheus: FakePrometheus,
    values: tuple[float, ...],
    is_over: Callable[[Rollouts], bool],
    weights: list[int],
) -> None:
    calm, life = (Rollouts(api, node, new_namespace(api)) for _ in range(2))
    mortal_operator.start()
    for rollouts in (calm, life):
        rollouts.track.apply(rollouts.track.dataset())
        rollouts.bring(1)
        rollouts.deploy(
            spec__rollout__analysis=analysis(prometheus.url),
            spec__rollout__smoke=SMOKE,
            spec__rollout__soak="2s",
            spec__gates=[gate({"metric": "auc", "maxRegression": 0.05})],
        )
    eventually(lambda: is_promoted(calm, 1) and is_promoted(life, 1), seconds=SECONDS, what="version 1 is live")
    prometheus.values = values
    with ExitStack() as stack:
        histories = [stack.enter_context(History(api, rollouts.namespace)) for rollouts in (calm, life)]
        calm.bring(2)
        eventually(lambda: is_over(calm), seconds=SECONDS, what="the undisturbed rollout is over")
        mortal_operator.stop()
        written = len(limit.writes[life.namespace])
        life.bring(2)
        killed = kill_after_each_write(mortal_operator, limit, life.track, lambda _: is_over(life), at_most=80)
        assert killed == len(limit.writes[life.namespace]) - written > 12
        for history in histories:
            assert history.weights(NAME, "-v2-") == weights
            history.assert_sound(NAME)
    assert_same(api, audit, life.track, calm.track)
