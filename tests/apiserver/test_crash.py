"""`kill -9` of the operator after each write of the path ends in what it ends in without."""

from collections import Counter
from collections.abc import Callable, Mapping

import pytest

from tests.apiserver.api import Api
from tests.apiserver.audit import Audit
from tests.apiserver.cluster_setup import OPERATOR_USER
from tests.apiserver.conftest import new_namespace
from tests.apiserver.end_state import end_state
from tests.apiserver.fake_node import FakeNode
from tests.apiserver.operator_process import OperatorProcess
from tests.apiserver.track import SOURCE, Track
from tests.apiserver.waiting import eventually
from tests.apiserver.write_limit import WriteLimit
from tests.property.lifecycle.lake import content

TRIALS = 3
"""One more than run side by side: a run begins, goes on and ends."""
SECONDS = 120


def new_track(api: Api, *, trials: int = TRIALS) -> Track:
    """A track in a namespace of its own, applied."""
    track = Track(api, new_namespace(api))
    track.apply(track.dataset(), track.experiment(trials=trials), track.deployment())
    return track


def is_done(track: Track, *, version: int = 1) -> bool:
    """This version alone is known to be live, everything is Ready and tidied up, and the Jobs for that are gone."""
    live = track.get("ModelDeployment").get("status", {}).get("live", {})
    kinds = ("ModelDeployment", "Experiment", "Dataset")
    if live.get("version") != version or not all(track.condition(kind)["status"] == "True" for kind in kinds):
        return False
    states = {model["spec"]["version"]: model.get("status", {}).get("state") for model in track.all("ModelVersion")}
    known = states.pop(version) == "Live" and all(state == "Retired" for state in states.values())
    swept = track.get("Experiment")["status"]["run"]["swept"]
    return known and swept and not any(role in name for name in track.names("Job") for role in ("-observe-", "-sweep-"))


def jobs_made(audit: Audit, track: Track) -> Counter[str]:
    """How often each Job was made, by its role: a trial's number, `observe` or `sweep`."""
    writes = audit.writes(OPERATOR_USER, namespace=track.namespace)
    made = [write.name for write in writes if (write.verb, write.resource, write.code) == ("create", "jobs", 201)]
    return Counter(name.split("-")[-2] for name in made)


@pytest.fixture
def undisturbed(api: Api, limit: WriteLimit, mortal_operator: OperatorProcess) -> Track:
    """The track of an operator that nobody kills. Its operator is stopped again."""
    track = new_track(api)
    mortal_operator.start()
    eventually(lambda: is_done(track), seconds=SECONDS, what="the track is done")
    mortal_operator.stop()
    state = end_state(api, track.namespace)
    kinds = Counter(name.partition("/")[0] for name, objects in state.items() for _ in objects)
    assert (kinds["Job"], kinds["DatasetVersion"], kinds["ModelVersion"], kinds["HTTPRoute"]) == (TRIALS, 1, 1, 1)
    assert len(limit.writes[track.namespace]) > 20
    return track


def assert_same(api: Api, audit: Audit, life: Track, undisturbed: Track) -> None:
    """A life ended in the same objects, and no Job was made twice."""
    assert end_state(api, life.namespace) == end_state(api, undisturbed.namespace)
    assert jobs_made(audit, life) == jobs_made(audit, undisturbed)


def test_killed_after_the_kth_write_for_every_k(
    api: Api, audit: Audit, limit: WriteLimit, mortal_operator: OperatorProcess, undisturbed: Track
) -> None:
    """A track for each k: its writes end after the k-th. When all have come to that point, their operator is killed."""
    total = len(limit.writes[undisturbed.namespace])
    tracks = {}
    for k in range(1, total + 1):
        tracks[k] = new_track(api)
        limit.allow(tracks[k].namespace, k)
    mortal_operator.start()
    wait_for_all(mortal_operator, tracks, lambda life: limit.is_spent(life.namespace) or is_done(life))
    spent = [k for k, life in tracks.items() if limit.is_spent(life.namespace)]
    mortal_operator.kill()
    mortal_operator.wait_ended(10)
    limit.lift()
    mortal_operator.start()
    wait_for_all(mortal_operator, tracks, is_done)
    mortal_operator.stop()
    for life in tracks.values():
        assert_same(api, audit, life, undisturbed)
    assert set(range(1, total * 2 // 3)) <= set(spent)


def wait_for_all(
    mortal_operator: OperatorProcess, tracks: Mapping[int, Track], is_over: Callable[[Track], bool]
) -> None:
    """Wait until this is true of every track."""
    left = dict(tracks)

    def all_over() -> bool:
        mortal_operator.check()
        for k in [k for k, life in left.items() if is_over(life)]:
            del left[k]
        return not left

    try:
        eventually(all_over, seconds=SECONDS, what="every track is over", every=1)
    except AssertionError as error:
        raise AssertionError(f"{error}; left are those of k={sorted(left)}") from None


def test_killed_after_each_single_write(
    api: Api, audit: Audit, limit: WriteLimit, mortal_operator: OperatorProcess, undisturbed: Track
) -> None:
    life = new_track(api)
    killed = kill_after_each_write(
        mortal_operator, limit, life, is_done, at_most=2 * len(limit.writes[undisturbed.namespace])
    )
    assert killed > 15
    assert killed == len(limit.writes[life.namespace])
    assert_same(api, audit, life, undisturbed)


def kill_after_each_write(
    mortal_operator: OperatorProcess, limit: WriteLimit, life: Track, is_over: Callable[[Track], bool], *, at_most: int
) -> int:
    """Start the operator and kill it after its next write, again and again, until a life is over; says how often."""

    def is_spent_or_over() -> bool:
        mortal_operator.check()
        return limit.is_spent(life.namespace) or is_over(life)

    for killed in range(at_most):
        limit.allow(life.namespace, 1)
        mortal_operator.start()
        eventually(is_spent_or_over, seconds=SECONDS, what="killed or over", every=0.05)
        if not limit.is_spent(life.namespace):
            mortal_operator.stop()
            return killed
        mortal_operator.kill()
        mortal_operator.wait_ended(10)
        limit.lift()
    raise AssertionError(f"{life.namespace} does not get on: {limit.writes[life.namespace]}")


def test_killed_after_each_write_while_a_new_version_takes_over(
    api: Api, audit: Audit, node: FakeNode, limit: WriteLimit, mortal_operator: OperatorProcess
) -> None:
    calm, life = new_track(api, trials=1), new_track(api, trials=1)
    mortal_operator.start()
    eventually(lambda: is_done(calm) and is_done(life), seconds=SECONDS, what="version 1 is live in both")
    bring_new_data(node, calm)
    eventually(lambda: is_done(calm, version=2), seconds=SECONDS, what="version 2 is live undisturbed")
    mortal_operator.stop()
    bring_new_data(node, life)
    first, written = life.routed_to(), len(limit.writes[life.namespace])

    def has_taken_over(track: Track) -> bool:
        assert backends_are_available(track), f"the route goes to {track.routed_to()}, which is not ready"
        return is_done(track, version=2)

    killed = kill_after_each_write(mortal_operator, limit, life, has_taken_over, at_most=50)
    assert killed == len(limit.writes[life.namespace]) - written > 10
    assert life.routed_to() != first
    assert_same(api, audit, life, calm)


def bring_new_data(node: FakeNode, track: Track) -> None:
    """Other bytes at the source, and somebody who asks for a look at them."""
    node.lake.put(track.namespace, SOURCE, content("2", rows=200))
    track.ask("Dataset", "new data")


def backends_are_available(track: Track) -> bool:
    """Whether every Deployment behind the route has a pod that is ready."""
    deployments = [track.get("Deployment", name) for name in track.routed_to()]
    return all(deployment["status"].get("availableReplicas") for deployment in deployments)
