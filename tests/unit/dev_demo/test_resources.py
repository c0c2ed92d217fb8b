"""How the demo and the tests read a resource's standing."""

from typing import Any

from dev.demo.resources import is_ready, summary


def resource(*, generation: int, seen: int, status: str = "True") -> dict[str, Any]:
    ready = {
        "type": "Ready",
        "status": status,
        "reason": "TrialsRunning",
        "message": "2/6 trials done",
        "observedGeneration": seen,
    }
    run = {"trials": {"progress": "2/6"}}
    return {"metadata": {"generation": generation}, "status": {"conditions": [ready], "run": run}}


def test_ready_means_the_present_spec() -> None:
    assert is_ready(resource(generation=2, seen=2))
    assert not is_ready(resource(generation=2, seen=1))
    assert not is_ready(resource(generation=2, seen=2, status="False"))
    assert not is_ready({"metadata": {"generation": 1}})


def test_the_summary_counts_and_explains() -> None:
    assert summary(resource(generation=1, seen=1)) == "TrialsRunning (2/6 trials): 2/6 trials done"
    assert summary(resource(generation=2, seen=1)) == "not seen by the operator yet"
