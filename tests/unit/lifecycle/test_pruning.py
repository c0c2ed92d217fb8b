"""Trials that run and do badly end early: what is read, who is compared, what is recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.api.curves import Curve
from keelway.api.experiment import Experiment
from keelway.api.jobs import CURVE_POINTS, STEP_MARK, StepReport
from keelway.engine.objects import uid_of
from keelway.lifecycle.experiment.pruning import FRESH_SECONDS, LOOK_SECONDS, log_requests, parse, to_prune
from keelway.lifecycle.experiment.trials import TrialRow
from keelway.lifecycle.jobs import DELETE_GRACE_SECONDS, JobState, job_state
from keelway.lifecycle.plan import LogRequest
from keelway.manifests.trial_job import COLLECT
from tests.unit.lifecycle.builders import EXPERIMENT
from tests.unit.lifecycle.pods import a_pod_of, trial_ends
from tests.unit.lifecycle.scene import Scene
from tests.unit.lifecycle.trials import begun, job_of, jobs, rows, running

STOPPING = {"algorithm": "Median", "minTrials": 2, "startStep": 3}
TRAINING: dict[str, Any] = {"phase": "Running", "containerStatuses": [{"name": "train", "state": {"running": {}}}]}


def searching(trials: int = 4, **spec: Any) -> Scene:
    """An Experiment with early stopping whose trials have begun."""
    return begun(trials=trials, **{"earlyStopping": STOPPING, **spec})


def relayed(points: Sequence[tuple[int, float]]) -> str:
    """The log of `collect` with these points."""
    steps = (StepReport(step=step, value=value) for step, value in points)
    return "waiting\n" + "".join(f"{STEP_MARK}{step.model_dump_json()}\n" for step in steps)


def trains(scene: Scene, number: int, *values: float, **status: Any) -> Manifest:
    """A trial's pod runs and has reported these values at the steps from 1 on."""
    pod = a_pod_of(scene, job_of(scene, number), **{**TRAINING, **status})
    scene.logs[uid_of(pod)] = relayed(tuple(enumerate(values, start=1)))
    return pod


def states(scene: Scene) -> list[JobState]:
    return [job_state(job, scene.store, scene.now) for job in jobs(scene)]


def judged(scene: Scene, recorded: dict[int, TrialRow] | None = None) -> dict[int, Curve]:
    """Who would end now, all logs read."""
    experiment = Experiment.model_validate(scene.get(EXPERIMENT))
    for request in log_requests(experiment, states(scene)):
        scene.store.put_log(request, scene.logs.get(request.pod_uid, ""))
    return to_prune(experiment, states(scene), recorded or {}, scene.store)


def row(number: int, curve: Curve, state: str = "Succeeded") -> TrialRow:
    return TrialRow.model_validate({"number": number, "state": state, "parameters": {}, "curve": curve})


def steady(value: float, steps: int = 10) -> Curve:
    return tuple((step, value) for step in range(1, steps + 1))


# from the log to the end of a pod


def test_a_trial_that_does_badly_ends_and_its_curve_is_kept() -> None:
    scene = searching(3)
    pods = [trains(scene, number, *[value] * 3) for number, value in enumerate((0.6, 0.1, 0.7))]
    scene.settle(EXPERIMENT)
    assert running(scene) == [0, 2]
    assert {uid_of(pod) for pod in scene.all("Pod")} == {uid_of(pods[0]), uid_of(pods[2])}
    assert rows(scene)[1]["state"] == "Pruned"
    assert rows(scene)[1]["curve"] == [[1, 0.1], [2, 0.1], [3, 0.1]]


def test_its_pod_gets_a_short_grace() -> None:
    scene = searching(3)
    pods = [trains(scene, number, *[value] * 3) for number, value in enumerate((0.6, 0.1, 0.7))]
    scene.look(EXPERIMENT)
    deletes = {order.key.kind: order for order in scene.decide(EXPERIMENT).deletes}
    assert deletes["Pod"].uid == uid_of(pods[1])
    assert deletes["Pod"].grace_seconds == DELETE_GRACE_SECONDS
    assert "Job" in deletes


def test_looks_go_on_as_long_as_trials_run_and_read_each_log_once_a_look() -> None:
    scene = searching(2)
    trains(scene, 0, 0.5)
    trains(scene, 1, 0.5)
    scene.settle(EXPERIMENT)
    assert scene.decide(EXPERIMENT).look_again_after == pytest.approx(LOOK_SECONDS)
    scene.writes.clear()
    scene.wait(FRESH_SECONDS - 1)
    scene.look(EXPERIMENT)
    assert scene.writes == []
    scene.wait(1)
    scene.look(EXPERIMENT)
    assert scene.writes == ["read log"] * 2


def test_nothing_is_read_where_nobody_asked_for_it() -> None:
    scene = begun(trials=3)
    for number, value in enumerate((0.6, 0.1, 0.7)):
        trains(scene, number, *[value] * 3)
    plan = scene.look(EXPERIMENT)
    assert plan.fetches == ()
    assert plan.look_again_after is None
    assert judged(scene) == {}


# which pods are asked


def stages(scene: Scene) -> Manifest:
    return trains(scene, 0, phase="Pending", containerStatuses=[{"name": "train", "state": {"waiting": {}}}])


def uploads(scene: Scene) -> Manifest:
    ended = {"terminated": {"exitCode": 0}}
    return trains(scene, 0, containerStatuses=[{"name": "train", "state": ended}])


def says_nothing(scene: Scene) -> Manifest:
    return a_pod_of(scene, job_of(scene, 0))


def leaves(scene: Scene) -> Manifest:
    pod = trains(scene, 0)
    return scene.put({**pod, "metadata": {**pod["metadata"], "deletionTimestamp": "2026-03-01T12:00:00Z"}})


def is_not_there(_: Scene) -> None:
    """There is no pod yet."""


@pytest.mark.parametrize("happens", [stages, uploads, says_nothing, leaves, is_not_there], ids=lambda f: f.__name__)
def test_a_pod_that_does_not_train_is_not_asked(happens: Callable[[Scene], Manifest | None]) -> None:
    scene = searching(2)
    happens(scene)
    pod = trains(scene, 1, 0.5)
    (request,) = scene.decide(EXPERIMENT).fetches
    assert isinstance(request, LogRequest)
    assert (request.pod_uid, request.container, request.max_age) == (uid_of(pod), COLLECT, FRESH_SECONDS)


def test_a_trial_that_is_through_is_not_ended_but_still_compared_with() -> None:
    scene = searching(3)
    last = [trains(scene, number, *[value] * 3) for number, value in enumerate((0.6, 0.1, 0.05))][1]
    judged(scene)
    scene.put({**last, "status": {**TRAINING, "containerStatuses": [{"name": "train", "state": {"terminated": {}}}]}})
    assert list(judged(scene)) == [2]


# who is compared


def test_recorded_trials_count_also_those_that_ended_early() -> None:
    scene = searching(1)
    trains(scene, 0, 0.1, 0.1, 0.1)
    assert judged(scene) == {}
    recorded = {7: row(7, steady(0.5)), 8: row(8, steady(0.6, 3), "Pruned")}
    assert list(judged(scene, recorded)) == [0]
    assert judged(scene, {**recorded, 8: row(8, steady(0.6, 2), "Pruned")}) == {}, "it has not come as far"


@pytest.mark.parametrize("state", ["Cached", "Failed", "Retrying", "Waiting"])
def test_rows_that_are_no_measure_do_not_count(state: str) -> None:
    scene = searching(1)
    trains(scene, 0, 0.1, 0.1, 0.1)
    assert judged(scene, {7: row(7, steady(0.5)), 8: row(8, steady(0.6), state)}) == {}


def test_a_trial_that_runs_again_is_not_compared_with_itself() -> None:
    scene = searching(1)
    trains(scene, 0, 0.1, 0.1, 0.1)
    assert judged(scene, {0: row(0, steady(0.5)), 7: row(7, steady(0.5))}) == {}


def test_trials_that_run_count_for_one_another() -> None:
    scene = searching(4)
    for number, value in enumerate((0.1, 0.2, 0.6, 0.7)):
        trains(scene, number, *[value] * 3)
    assert list(judged(scene)) == [0, 1]


def test_of_a_loss_the_high_ones_end() -> None:
    scene = searching(4, objective={"metric": "auc", "goal": "Minimize"})
    for number, value in enumerate((0.1, 0.2, 0.6, 0.7)):
        trains(scene, number, *[value] * 3)
    assert list(judged(scene)) == [2, 3]


def test_successive_halving_is_asked_by_its_name() -> None:
    stopping = {"algorithm": "SuccessiveHalving", "minTrials": 2, "startStep": 1, "reductionFactor": 4}
    scene = searching(4, earlyStopping=stopping)
    for number, value in enumerate((0.1, 0.2, 0.6, 0.7)):
        trains(scene, number, value)
    assert list(judged(scene)) == [0, 1, 2]


def test_a_long_curve_is_kept_thinned() -> None:
    scene = searching(1)
    trains(scene, 0, *[0.1] * 95)
    others = {number: row(number, steady(0.5, 95)) for number in (7, 8)}
    ((number, curve),) = judged(scene, others).items()
    assert (number, len(curve), curve[0], curve[-1]) == (0, CURVE_POINTS, (1, 0.1), (95, 0.1))


def test_a_trial_without_a_pod_or_a_log_is_left_alone() -> None:
    scene = searching(2)
    a_pod_of(scene, job_of(scene, 1), **TRAINING)
    assert judged(scene, {7: row(7, steady(0.5)), 8: row(8, steady(0.5))}) == {}


def test_a_search_with_early_stopping_comes_to_its_end() -> None:
    scene = searching(6, search={"algorithm": "Random", "maxTrials": 6, "parallelTrials": 3, "maxFailedTrials": 0})
    values = (0.6, 0.5, 0.7, 0.1, 0.2, 0.8)
    while alive := running(scene):
        for number in alive:
            trains(scene, number, *[values[number]] * 3)
        scene.settle(EXPERIMENT)
        for number in set(alive) & set(running(scene)):
            trial_ends(scene, job_of(scene, number), values[number], curve=steady(values[number], 3))
        scene.settle(EXPERIMENT)
    ended = {number: line["state"] for number, line in rows(scene).items()}
    assert ended == {number: "Pruned" if number in (1, 3, 4) else "Succeeded" for number in range(6)}
    assert scene.status(EXPERIMENT)["run"]["best"]["trial"] == 5
    assert scene.status(EXPERIMENT)["run"]["trials"]["pruned"] == 3


# what a log may hold


@pytest.mark.parametrize(
    ("log", "curve"),
    [
        pytest.param("", (), id="nothing"),
        pytest.param(relayed([(1, 0.5), (2, 0.25)]), ((1, 0.5), (2, 0.25)), id="points"),
        pytest.param('P {"step":1,"value":1}\n' + relayed([(2, 0.5)]), ((2, 0.5),), id="half a line at the beginning"),
        pytest.param(relayed([(2, 0.5)]) + STEP_MARK + '{"step":3,"val', ((2, 0.5),), id="half a line at the end"),
        pytest.param(relayed([(2, 0.5), (1, 0.6), (2, 0.7), (3, 0.8)]), ((2, 0.5), (3, 0.8)), id="back and forth"),
        pytest.param(f'x {STEP_MARK}{{"step":1,"value":1}}\n', (), id="the mark inside of a line"),
        pytest.param(f'{STEP_MARK}{{"step":-1,"value":1}}\n', (), id="a step below 0"),
        pytest.param(f'{STEP_MARK}{{"step":1.5,"value":1}}\n', (), id="half a step"),
        pytest.param(f'{STEP_MARK}{{"step":1,"value":NaN}}\n', (), id="not a number"),
        pytest.param(f'{STEP_MARK}{{"step":1,"value":1e999}}\n', (), id="infinite"),
        pytest.param(f'{STEP_MARK}{{"step":{"9" * 5000},"value":1}}\n', (), id="a step of many digits"),
        pytest.param(f"{STEP_MARK}[]\n{STEP_MARK}null\n{STEP_MARK}\n", (), id="other JSON, none"),
        pytest.param(STEP_MARK + "[" * 100_000 + "\n", (), id="nested without end"),
        pytest.param("\x00\ufffd\u2028\n" + relayed([(1, 0.5)]), ((1, 0.5),), id="rubbish"),
    ],
)
def test_a_log_is_read_whatever_it_holds(log: str, curve: Curve) -> None:
    assert parse(log) == curve
