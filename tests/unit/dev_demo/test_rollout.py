"""How the demo watches a rollout, and that it fails loudly when one was not as it should be."""

import json
from typing import Any, cast

import pytest

from dev.demo.load import Load, Tally
from dev.demo.prediction import Answer
from dev.demo.rollout import (
    Stretch,
    Watch,
    gate_numbers,
    gates_passed,
    harm,
    is_decided,
    require_promoted,
    require_rolled_back,
    watched,
    weight_of,
)
from dev.errors import DevError
from dev.platform.kubectl import Kubectl
from dev.progress import console

Manifest = dict[str, Any]

PASSED = {"name": "holdout", "state": "Passed", "datasetVersion": "tumours-v2-ab", "message": "auc 0.99 (live 0.98)"}


def deployment(live: int = 1, **candidate: Any) -> Manifest:
    ready = {"type": "Ready", "status": "True", "reason": "Serving", "message": json.dumps(candidate)}
    weight = candidate.get("weight", 0)
    status: Manifest = {"conditions": [ready], "live": {"version": live, "weight": 100 - weight}}
    if candidate:
        status["candidate"] = {"version": 2, **candidate}
    spec = {"model": {"name": "tumours"}, "rollout": {"steps": [{"weight": 10}, {"weight": 50}]}}
    return {"kind": "ModelDeployment", "metadata": {"name": "t", "namespace": "demo"}, "spec": spec, "status": status}


def load(*, good: int = 0, failed: int = 0, by: str = "2") -> Load:
    sent = Load("http://gateway", "t.example.com", "t", (1.0, 0.0), clients=1)
    sent.answers[0] = [*[Answer(200, "1", at=1.0)] * good, *[Answer(500, by, at=2.0)] * failed]
    return sent


class Looks:
    """Answers kubectl with one look after the other; the last one stays. Between two looks clients are answered."""

    def __init__(self, sent: Load, *looks: Manifest) -> None:
        self.sent, self.looks, self.weight = sent, list(looks), 0

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        del arguments, input
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        self.sent.answers[0] += [Answer(200, "2")] * self.weight + [Answer(200, "1")] * (100 - self.weight)
        self.weight = weight_of(look, 2)
        return json.dumps(look)


def watched_through(*looks: Manifest) -> tuple[Manifest, Watch, str]:
    sent = load()
    watch = Watch(sent, version=2)
    with console.capture() as printed:
        decided = watched(cast(Kubectl, Looks(sent, *looks)), looks[0], watch, seconds=20)
    return decided, watch, " ".join(printed.get().split())


CANARY = (
    deployment(phase="Evaluating"),
    deployment(phase="Canary", weight=10),
    deployment(phase="Canary", weight=50, analysis={"round": 3, "last": [{"message": "errors 0.01"}]}),
    deployment(live=2),
)


def test_weights_and_counts_are_shown_as_they_come() -> None:
    decided, watch, said = watched_through(*CANARY)
    assert watch.weights() == [0, 10, 50, 100]
    assert decided["status"]["live"]["version"] == 2
    shown = [
        '"weight": 10',
        "version 1 90 (90 %), version 2 10",
        "look 3: errors 0.01",
        '"weight": 50',
        "version 1 50 (50 %), version 2 50",
    ]
    places = [said.find(each) for each in shown]
    assert places == sorted(places)
    assert -1 not in places


@pytest.mark.parametrize(
    ("looked_at", "weight", "decided"),
    [
        (deployment(), 0, False),
        (deployment(phase="Canary", weight=10), 10, False),
        (deployment(phase="RolledBack", weight=0), 0, True),
        (deployment(phase="Rejected", weight=0), 0, True),
        (deployment(live=2), 100, True),
        (deployment(live=3), 0, True),
        ({"metadata": {}}, 0, False),
    ],
)
def test_it_knows_the_weight_and_the_end(looked_at: Manifest, weight: int, decided: bool) -> None:
    assert (weight_of(looked_at, 2), is_decided(looked_at, 2)) == (weight, decided)


def stretches(*shares: tuple[int, int]) -> list[Stretch]:
    """Of weights, each with the percentage that was counted."""
    return [Stretch(weight, Tally({"1": 100 - share, "2": share}), 1.0) for weight, share in shares]


WELL = ((0, 0), (10, 11), (50, 48), (100, 100))


def test_a_rollout_that_went_well() -> None:
    require_promoted(deployment(live=2), Watch(load(good=9), 2, stretches(*WELL)))


@pytest.mark.parametrize(
    ("resource", "sent", "shares", "complaint"),
    [
        (deployment(phase="Rejected", message="auc 0.1"), load(), WELL, "version 2 is Rejected: auc 0.1"),
        (deployment(live=2), load(failed=1), WELL, "requests failed .*1 of version 2"),
        (deployment(live=2), load(failed=1, by=""), WELL, "requests failed .*1 of nobody"),
        (deployment(live=2), load(), ((0, 0), (50, 50), (100, 100)), r"\[0, 50, 100\]"),
        (deployment(live=2), load(), ((0, 0), (10, 30), (50, 50), (100, 100)), "30.0 % of the answers .* at 10 %"),
    ],
)
def test_a_rollout_that_did_not(
    resource: Manifest, sent: Load, shares: tuple[tuple[int, int], ...], complaint: str
) -> None:
    with pytest.raises(DevError, match=complaint):
        require_promoted(resource, Watch(sent, 2, stretches(*shares)))


BACK: Manifest = {"phase": "RolledBack", "reason": "AnalysisFailed", "message": "errors 1", "gates": [PASSED]}


def test_a_version_that_was_rolled_back_harmed_nobody_else() -> None:
    sent = load(good=90, failed=10)
    watch = Watch(sent, 2, [Stretch(0, Tally(), 30.0), Stretch(10, Tally(), 12.5), Stretch(0, Tally(), 1.0)])
    require_rolled_back(deployment(**BACK), watch, before=1)
    assert harm(watch).splitlines() == [
        "version 2 was back at weight 0 after 12.5 s with traffic; 10 of 100 requests failed, all of version 2, "
        "0.0 s from the first to the last",
        "all others: 90 answers: version 1 90 (100 %); failed: none",
    ]
    assert gates_passed(deployment(**BACK)) == "holdout on tumours-v2-ab: auc 0.99 (live 0.98)"


@pytest.mark.parametrize(
    ("resource", "sent", "complaint"),
    [
        (deployment(live=2), load(failed=1), "should have been rolled back"),
        (deployment(**{**BACK, "reason": "SmokeFailed"}), load(failed=1), "should have been rolled back"),
        (deployment(**{**BACK, "gates": []}), load(failed=1), "should have passed its gate"),
        (deployment(live=3, **BACK), load(failed=1), "version 1 should serve still, and 3 does"),
        (deployment(**BACK), load(good=5), "by version 2, and by nobody else"),
        (deployment(**BACK), load(failed=1, by="1"), "by version 2, and by nobody else"),
        (deployment(**BACK), load(failed=1, by=""), "by version 2, and by nobody else"),
    ],
)
def test_a_rollback_that_was_none(resource: Manifest, sent: Load, complaint: str) -> None:
    with pytest.raises(DevError, match=complaint):
        require_rolled_back(resource, Watch(sent, 2), before=1)


class Records:
    """Answers kubectl with ModelVersions."""

    def __init__(self, **evaluations: list[Manifest]) -> None:
        self.evaluations = evaluations

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        del input
        name = arguments[2]
        status = {"evaluations": self.evaluations.get(name.rpartition("-")[2], [])}
        return json.dumps({"metadata": {"name": name}, "status": status})


def judged(data: str, auc: float) -> Manifest:
    return {"datasetVersion": data, "split": "holdout", "metrics": {"auc": auc}}


def test_candidate_and_live_model_are_shown_on_the_same_data() -> None:
    records = Records(v2=[judged("d2", 0.99)], v1=[judged("d1", 0.9), judged("d2", 0.98)])
    assert gate_numbers(cast(Kubectl, records), deployment(), 2, 1) == [
        "tumours-v2 on d2, split holdout: auc 0.99",
        "tumours-v1 on d2, split holdout: auc 0.98",
    ]


@pytest.mark.parametrize("records", [Records(), Records(v2=[judged("d2", 0.99)], v1=[judged("d1", 0.9)])])
def test_a_model_that_was_not_judged_is_an_error(records: Records) -> None:
    with pytest.raises(DevError, match="should have been evaluated"):
        gate_numbers(cast(Kubectl, records), deployment(), 2, 1)
