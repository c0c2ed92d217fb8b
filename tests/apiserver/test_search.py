"""Searches with a real API server and a real Job controller: better than chance, repeatable, large, apart."""

from __future__ import annotations

from statistics import median

from keelway.api.base import Manifest
from tests.apiserver.api import Api
from tests.apiserver.audit import Audit
from tests.apiserver.conftest import new_namespace
from tests.apiserver.fake_node import FakeNode
from tests.apiserver.many_trials import ManyTrials
from tests.apiserver.operator_process import OperatorProcess
from tests.apiserver.searches import Searches
from tests.apiserver.waiting import eventually

TRIALS, PARALLEL = 20, 4
SEEDS = range(1, 6)
MANY = 500


def test_tpe_beats_the_best_of_random_on_the_median_of_five_seeds(
    api: Api,
    namespace: str,
    node: FakeNode,  # noqa: ARG001
    operator: OperatorProcess,  # noqa: ARG001
) -> None:
    searches = Searches(api, namespace)
    names = {(algorithm, seed): f"{algorithm.lower()}-{seed}" for algorithm in ("TPE", "Random") for seed in SEEDS}
    for (algorithm, seed), name in names.items():
        searches.begin(name, algorithm=algorithm, seed=seed, maxTrials=TRIALS, parallelTrials=PARALLEL)
    searches.wait(*names.values())
    best = {key: searches.run(name)["best"]["value"] for key, name in names.items()}
    medians = {algorithm: median(best[algorithm, seed] for seed in SEEDS) for algorithm in ("TPE", "Random")}
    print(best)
    assert medians["TPE"] > medians["Random"]


def test_two_namespaces_with_the_same_names_do_not_meet(
    api: Api,
    audit: Audit,
    node: FakeNode,
    operator: OperatorProcess,  # noqa: ARG001
) -> None:
    one, other = (Searches(api, new_namespace(api)) for _ in range(2))
    one.begin(algorithm="Random", seed=1, maxTrials=6)
    other.begin(algorithm="Random", seed=2, maxTrials=6)
    for searches in (one, other):
        searches.wait()
    assert len(one.jobs_made(audit)) == len(other.jobs_made(audit)) == 6
    assert [r.parameters for r in one.table().values()] != [r.parameters for r in other.table().values()]
    models = [only_model(api, searches) for searches in (one, other)]
    for searches, model in zip((one, other), models, strict=True):
        assert model["spec"]["producedBy"]["parameters"] == searches.run()["best"]["parameters"]
        assert model["spec"]["artifact"]["uri"] in node.lake.models(searches.namespace)
    assert one.run()["artifacts"] != other.run()["artifacts"], "they share a bucket"
    api.delete("Experiment", one.namespace, "churn")
    eventually(lambda: not api.list("Job", one.namespace), what="what belonged to the first one is gone")
    assert other.is_over()
    assert len(other.table()) == 6
    assert only_model(api, other) == models[1]


def only_model(api: Api, searches: Searches) -> Manifest:
    """The one ModelVersion of a namespace."""
    (model,) = api.list("ModelVersion", searches.namespace)
    return model


def test_names_of_63_characters_work(
    api: Api,
    namespace: str,
    node: FakeNode,  # noqa: ARG001
    operator: OperatorProcess,  # noqa: ARG001
    audit: Audit,
) -> None:
    name, model = "e" * 62 + "x", "m" * 40
    searches = Searches(api, namespace, dataset="d" * 62 + "x")
    searches.begin(name, model=model, algorithm="Random", maxTrials=3)
    searches.wait(name)
    assert searches.get(name)["status"]["model"]["name"] == f"{model}-v1"
    assert len(searches.jobs_made(audit)) == 3
    made = [object for kind in ("Job", "Pod") for object in api.list(kind, namespace)]
    longest = max(len(one["metadata"]["name"]) for one in made)
    assert longest <= 63


def names(api: Api, namespace: str, kind: str) -> list[str]:
    """Of all objects of a kind."""
    return [manifest["metadata"]["name"] for manifest in api.list(kind, namespace)]


def test_five_hundred_trials(
    api: Api,
    namespace: str,
    node: FakeNode,  # noqa: ARG001
    audit: Audit,
    operator: OperatorProcess,
) -> None:
    measured = ManyTrials(api, audit, operator, namespace).measure(trials=MANY, parallel=64, seconds=300)
    print(measured)
    measured.judge()
