"""What happens to a rollout from outside: servers that crash, hands that edit, versions that come meanwhile."""

from collections.abc import Iterator

import pytest

from tests.apiserver.api import Api
from tests.apiserver.fake_kserve import serves
from tests.apiserver.fake_node import FakeNode
from tests.apiserver.history import History
from tests.apiserver.operator_process import OperatorProcess
from tests.apiserver.pod_script import Outcome
from tests.apiserver.rollouts import Rollouts
from tests.apiserver.track import NAME
from tests.apiserver.waiting import eventually

LONG = [{"weight": 20, "hold": "1h"}]


@pytest.fixture
def history(api: Api, namespace: str) -> Iterator[History]:
    """Everything that happens in the namespace."""
    with History(api, namespace) as history:
        yield history


@pytest.fixture
def shared(
    api: Api,
    node: FakeNode,
    namespace: str,
    operator: OperatorProcess,  # noqa: ARG001
    history: History,  # noqa: ARG001
) -> Rollouts:
    """Version 2 has 20 % of the traffic for an hour."""
    rollouts = Rollouts(api, node, namespace)
    rollouts.begin(spec__rollout__steps=LONG)
    rollouts.bring(2)
    rollouts.wait_candidate(2, "Canary")
    eventually(lambda: rollouts.candidate["weight"] == 20, what="version 2 has its share")
    return rollouts


def test_a_candidate_that_crashes_under_traffic_loses_it(shared: Rollouts, history: History) -> None:
    crashed = Outcome(exit_code=1, message="Killed by a request")
    with shared.node.script(serves(2, namespace=shared.namespace), crashed):
        candidate = shared.wait_candidate(2, "RolledBack")
    assert candidate["reason"] == "ModelLoadFailed"
    assert "Killed by a request" in candidate["message"]
    assert history.weights(NAME, "-v2-")[-1] == 0
    assert shared.status["live"]["version"] == 1
    eventually(lambda: shared.servers() == {1}, what="the servers of version 2 are gone")


def test_a_route_that_was_edited_or_deleted_by_hand_comes_back_with_its_shares(
    shared: Rollouts, history: History
) -> None:
    def share() -> dict[str, int]:
        return history.shares(NAME)[-1].weights

    before = history.shares(NAME)[-1].weights
    assert sorted(before.values()) == [20, 80]
    rules = shared.track.get("HTTPRoute")["spec"]["rules"]
    for rule in rules:
        rule["backendRefs"] = rule["backendRefs"][:1]
    shared.track.change("HTTPRoute", "spec.rules", rules)
    eventually(lambda: share() == before, what="the shares are as they were")
    first = shared.track.get("HTTPRoute")["metadata"]["uid"]
    shared.track.api.delete("HTTPRoute", shared.namespace, NAME)

    def is_back() -> bool:
        found = shared.track.api.get("HTTPRoute", shared.namespace, NAME)
        return found is not None and found["metadata"]["uid"] != first

    eventually(is_back, what="the route is there again")
    assert len(shared.track.routed_to()) == 2
    assert shared.candidate["weight"] == 20


def test_a_newer_version_takes_the_place_of_one_that_is_on_its_way(shared: Rollouts, history: History) -> None:
    with shared.node.script(serves(3, namespace=shared.namespace), Outcome(never_ends=True, ready=False)):
        shared.bring(3)
        shared.wait_candidate(3, "Starting")
        assert history.weights(NAME, "-v2-")[-1] == 0, "the older one has no traffic any more"
        eventually(lambda: shared.servers() == {1, 3}, what="nor servers")
    shared.wait_candidate(3, "Canary")
    eventually(lambda: shared.candidate["weight"] == 20, what="version 3 has its share")
    history.assert_sound(NAME)


def test_the_version_before_that_is_still_warm_takes_over_at_once_when_it_is_pinned(
    shared: Rollouts, history: History
) -> None:
    shared.deploy(spec__rollout__steps=[{"weight": 50, "hold": "1s"}])
    shared.track.wait_live(2)
    shared.track.change("ModelDeployment", "spec.model.version", "1")
    shared.track.wait_live(1)
    history.assert_sound(NAME)
    assert [line["version"] for line in shared.status["history"] if line["outcome"] == "Promoted"] == [1]


def test_a_suspended_deployment_gives_the_candidate_nothing(shared: Rollouts, history: History) -> None:
    shared.track.change("ModelDeployment", "spec.suspend", True)
    shared.track.wait_reason("ModelDeployment", "Suspended")
    assert history.weights(NAME, "-v2-")[-1] == 0
    shared.track.change("ModelDeployment", "spec.suspend", False)
    eventually(lambda: history.weights(NAME, "-v2-")[-1] == 20, what="version 2 has its share again")
    history.assert_sound(NAME)
