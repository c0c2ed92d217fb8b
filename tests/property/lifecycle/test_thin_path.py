"""From data to a served model and on to the next one: the whole path, undisturbed and killed after each write."""

from __future__ import annotations

import pytest

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.manifests.config_map import CROISSANT_FILE
from tests.property.engine.memory_api import Happened
from tests.property.engine.test_convergence import killer
from tests.property.lifecycle.crds import refusals
from tests.property.lifecycle.oracles import OWN, kstatus
from tests.property.lifecycle.simulation import (
    DATASET_KEY,
    DEPLOYMENT,
    DEPLOYMENT_KEY,
    EXPERIMENT,
    EXPERIMENT_KEY,
    MODEL,
    NAMESPACE,
    Scene,
    Simulation,
    applies,
    play,
    restarts,
    uploads,
)
from tests.property.lifecycle.stories import OFTEN, RARELY, SMALL, kinds, noting

WRITES = ("create", "apply", "status", "delete")
FILES = Scene(0, applies(RARELY, EXPERIMENT, DEPLOYMENT))
NEW_DATA = Scene(100, uploads("second"))
FIRST_LIVE, SECOND_LIVE, SOAKED, NEXT_LOOK = 70.0, 700.0, 760.0, 1206.0
"""Virtual seconds: the first model is live, so is the second, the first one is gone, the source is looked at again."""


def test_data_becomes_a_served_model_and_new_data_replaces_it() -> None:
    simulation = Simulation()
    end = play(simulation, FILES, NEW_DATA, until=1000)
    first, second = (end[f"ModelVersion/{NAMESPACE}/{MODEL}-v{n}"] for n in (1, 2))
    assert [kstatus(simulation.api.read(key)) for key in (DATASET_KEY, EXPERIMENT_KEY, DEPLOYMENT_KEY)] == [
        "Current"
    ] * 3
    assert [end[str(DATASET_KEY)]["status"][f]["version"] for f in ("current", "lastGood")] == [2, 2]
    run = end[str(EXPERIMENT_KEY)]["status"]["run"]
    assert (run["number"], run["reason"], run["trials"]["succeeded"]) == (2, "NewDatasetVersion", 6)
    assert (first["status"]["state"], second["status"]["state"]) == ("Retired", "Live")
    assert second["spec"]["inputs"][0]["datasetVersion"] == end[str(DATASET_KEY)]["status"]["lastGood"]["name"]
    assert second["spec"]["artifact"]["digest"] == simulation.lake.models[second["spec"]["artifact"]["uri"]]
    live = end[str(DEPLOYMENT_KEY)]["status"]["live"]
    assert (live["version"], live["weight"]) == (2, 100)
    assert [key for key in end if key.startswith("InferenceService")] == [
        f"InferenceService/{NAMESPACE}/{live['inferenceService']}"
    ], "the version before is gone after its soak"


def test_the_api_server_refuses_and_drops_nothing_that_the_path_writes() -> None:
    simulation, found = Simulation(), list[str]()

    def judge(happened: Happened) -> None:
        if happened.manifest["kind"] in OWN and happened.type != "DELETED":
            found.extend(refusals(happened.manifest))

    simulation.api.watchers.append(judge)
    play(simulation, FILES, NEW_DATA, until=1000)
    assert found == []


def test_the_best_trial_becomes_the_model() -> None:
    simulation = Simulation()
    end = play(simulation, FILES, until=100)
    model = end[f"ModelVersion/{NAMESPACE}/{MODEL}-v1"]["spec"]
    best = end[str(EXPERIMENT_KEY)]["status"]["run"]["best"]
    assert model["producedBy"]["parameters"] == best["parameters"]
    assert model["objectiveValue"] == best["value"] == model["metrics"]["auc"]
    assert simulation.lake.models == {model["artifact"]["uri"]: model["artifact"]["digest"]}, "others are swept"


def test_a_kill_after_each_write_ends_in_the_same_objects_with_no_job_twice() -> None:
    files = Scene(0, applies(OFTEN, SMALL, DEPLOYMENT))
    undisturbed = Simulation()
    end = play(undisturbed, files, NEW_DATA, until=240)
    assert end[str(DEPLOYMENT_KEY)]["status"]["live"]["version"] == 2
    assert "soaking" not in end[str(DEPLOYMENT_KEY)]["status"]
    writes = len(undisturbed.api.effects)
    assert writes > 50
    for k in range(1, writes + 1):
        simulation = Simulation()
        simulation.api.wrote = killer({k})
        assert play(simulation, files, NEW_DATA, until=240) == end, f"killed after write {k}"
        assert simulation.restarts == 1
        jobs = [key for key in simulation.api.created if key.kind == "Job"]
        assert len(jobs) == len(set(jobs)), f"killed after write {k}"


@pytest.mark.parametrize("pause", [0.0, 300.0])
def test_what_has_converged_asks_for_nothing_not_even_after_a_restart(pause: float) -> None:
    """Until the source is due for another look, which is work and not rest."""
    simulation, marks = Simulation(), list[int]()
    restart = Scene(SOAKED + pause, restarts)
    play(simulation, FILES, NEW_DATA, Scene(SOAKED, noting(marks)), restart, until=NEXT_LOOK - 10)
    assert simulation.restarts == 1
    assert simulation.api.requests[marks[0] :] == []


def test_applying_the_same_files_again_asks_for_nothing() -> None:
    simulation, marks = Simulation(), list[int]()
    again = Scene(FIRST_LIVE + 10, applies(RARELY, EXPERIMENT, DEPLOYMENT))
    play(simulation, FILES, Scene(FIRST_LIVE, noting(marks)), again, until=SECOND_LIVE - 100)
    assert simulation.api.requests[marks[0] :] == []


def test_a_look_that_finds_nothing_new_writes_three_times() -> None:
    simulation, marks = Simulation(), list[int]()
    play(simulation, FILES, Scene(FIRST_LIVE, noting(marks)), until=FIRST_LIVE + 600)
    assert kinds(simulation.api.requests[marks[0] :]) == {"create Job": 1, "status Dataset": 1, "delete Job": 1}


def test_writes_of_the_path_are_bounded() -> None:
    """Every write changed something, and there are this many of each, for two versions of everything."""
    simulation = Simulation()
    play(simulation, FILES, NEW_DATA, until=1000)
    writes = [request for request in simulation.api.requests if request.split()[0] in WRITES]
    assert writes == simulation.api.effects
    counted = kinds(writes)
    looks, trials, versions, sweeps = 2, 12, 2, 2
    evaluations, rounds = versions + 1, len([r for r in simulation.api.requests if r.startswith("query")])
    verifications = smokes = versions
    assert counted.pop("create Job") == looks + trials + sweeps + verifications + evaluations + smokes
    assert counted.pop("delete Job") == looks + sweeps
    assert counted.pop("create DatasetVersion") == counted.pop("create ModelVersion") == versions
    assert counted.pop("create ConfigMap") == 2 * versions, "the list of files, and the profile"
    assert counted.pop("apply InferenceService") == counted.pop("delete InferenceService") + 1 == versions
    steps = len(DEPLOYMENT["spec"]["rollout"]["steps"])
    assert counted.pop("apply Service") == counted.pop("apply HTTPRoute") - steps == versions
    assert counted.pop("status DatasetVersion") == versions
    assert counted.pop("status ModelVersion") == 3 * versions - 1 + evaluations, "candidate, live, and retired"
    assert counted.pop("status Dataset") <= looks + 1
    assert counted.pop("apply ConfigMap") <= trials, "the table: at most once a trial"
    assert counted.pop("status Experiment") <= trials + 2 * versions + 1 + sweeps
    assert counted.pop("status ModelDeployment") <= 14 * versions + rounds
    assert not counted


def test_kinds_come_into_being_in_any_order() -> None:
    everything = (RARELY, EXPERIMENT, DEPLOYMENT)
    ends = [
        play(Simulation(), *(Scene(3.0 * n, applies(m)) for n, m in enumerate(order)), until=200)
        for order in (everything, everything[::-1])
    ]
    assert _facts(ends[0]) == _facts(ends[1])


def _facts(end: dict[str, Manifest]) -> dict[str, object]:
    """What does not depend on when things happened."""
    fixed = ("ModelVersion", "DatasetVersion", "InferenceService", "Service", "HTTPRoute", "ConfigMap")
    return {
        key: [value.get("spec"), _undated(value.get("data")), value.get("binaryData")]
        for key, value in end.items()
        if Key(*key.split("/")).kind in fixed
    }


def _undated(data: dict[str, str] | None) -> dict[str, str]:
    """Croissant says when a version was recorded."""
    return {name: text for name, text in (data or {}).items() if name != CROISSANT_FILE}
