"""Versions that are not let through: each is refused with its reason, and what serves keeps all the traffic."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from dev.demo.data import as_csv, tumours, upload
from dev.demo.prediction import infer_request
from dev.demo.resources import condition, is_ready
from dev.platform.endpoints import PROMETHEUS_IN_CLUSTER
from dev.processes import wait_until
from tests.e2e.models import FILE, brought_in, digest_of, failing, from_bucket, guessing, put, trained
from tests.e2e.operator import Operator
from tests.e2e.rollouts import candidate_of, has_phase, has_weight, said, servers
from tests.e2e.world import Manifest, World, serves

MISSING_IMAGE = "dev.local/there-is-no-such-evaluator:1"
NOBODY = "http://nobody.nowhere.svc.cluster.local:9090"
ROW = tumours()[:1]


# Before anything runs: bytes, gates, people. Nothing serves yet.


@pytest.fixture(scope="module")
def audited(operator: Operator) -> int:
    """Where the audit log was before anything of this module."""
    return operator.audit_size()


@pytest.fixture(scope="module")
def judges(world: World, audited: int) -> Manifest:
    """The data that judge, and every version that is refused before it starts, all at once."""
    assert audited
    upload(world.bucket("lake"), "tumours", {"part-1.csv": as_csv(tumours())})
    world.bucket("models")
    dataset = world.dataset()
    world.apply(dataset, *other_bytes(world), *other_numbers(world), *unapproved(world))
    return world.wait(dataset)


def other_bytes(world: World) -> list[Manifest]:
    """Models whose files are not those that were recorded."""
    good = trained(1)
    recorded = digest_of({FILE: good})
    changed = bytes([*good[:100], good[100] ^ 1, *good[101:]])
    put(world, "tampered", 1, {FILE: changed})
    put(world, "truncated", 1, {FILE: good[:-100]})
    versions = [world.model_version(name, 1, f"{name}/1", recorded) for name in ("tampered", "truncated", "missing")]
    return [*versions, *(of_bucket(world, name) for name in ("tampered", "truncated", "missing"))]


def other_numbers(world: World) -> list[Manifest]:
    """Models that are judged by gates which they do not pass."""
    trained_on = {"name": "training", "dataset": "tumours", "datasetVersion": "tumours-v1", "digest": ""}
    return [
        brought_in(world, "guessing", 1, guessing(1)),
        gated(world, "guessing"),
        brought_in(world, "unmeasured", 1, trained(1)),
        gated(world, "unmeasured", checks=[{"metric": "fairness", "min": 0.9}]),
        brought_in(world, "leaking", 1, trained(1), inputs=[trained_on | {"split": "holdout"}]),
        gated(world, "leaking"),
        brought_in(world, "unjudged", 1, trained(1)),
        gated(world, "unjudged", container={"image": MISSING_IMAGE}),
    ]


def unapproved(world: World) -> list[Manifest]:
    """A model that somebody has to let through."""
    return [brought_in(world, "unapproved", 1, trained(1)), of_bucket(world, "unapproved", approval={"mode": "Manual"})]


def of_bucket(world: World, name: str, **spec: Any) -> Manifest:
    return world.deployment(name, **{"model": from_bucket(name), **spec})


def gated(world: World, name: str, *, container: Manifest | None = None, **gate: Any) -> Manifest:
    """A ModelDeployment with the example's gate, which reads the split `holdout` of the Dataset `tumours`."""
    (example,) = world.careful_deployment(name)["spec"]["gates"]
    (evaluator,) = example["template"]["spec"]["containers"]
    evaluator |= container or {}
    return of_bucket(world, name, gates=[{**example, **gate}])


def refused(world: World, name: str, reason: str) -> Manifest:
    """The ModelDeployment once its version is rejected, for this reason, which must be told everywhere."""
    seen = world.wait(of_bucket(world, name), has_phase("Rejected"), seconds=120)
    candidate = candidate_of(seen)
    assert candidate["reason"] == reason, candidate
    assert condition(seen, "Ready")["status"] == "False"
    assert said(seen).startswith(f"{reason}: version 1 is not served: ")
    assert "live" not in seen["status"]
    assert [(line["version"], line["outcome"], line["reason"]) for line in seen["status"]["history"]] == [
        (1, "Rejected", reason)
    ]
    return candidate


def never_started(world: World, operator: Operator, since: int, name: str) -> bool:
    writes = operator.writes(world.namespace, since=since)
    asked = [write.name for write in writes if write.resource in ("inferenceservices", "httproutes", "services")]
    return not any(one == name or one.startswith(f"{name}-v") for one in asked)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tampered", "ArtifactDigestMismatch"),
        ("truncated", "ArtifactDigestMismatch"),
        ("missing", "ArtifactMissing"),
    ],
)
def test_bytes_that_are_not_those_of_the_record_never_run(
    world: World, operator: Operator, judges: Manifest, audited: int, name: str, reason: str
) -> None:
    assert is_ready(judges)
    refused(world, name, reason)
    assert never_started(world, operator, audited, name)


def test_numbers_that_are_not_good_enough_are_told_and_nothing_starts(
    world: World, operator: Operator, judges: Manifest, audited: int
) -> None:
    assert judges
    candidate = refused(world, "guessing", "GateFailed")
    (gate,) = candidate["gates"]
    assert (gate["state"], gate["split"]) == ("Failed", "holdout")
    assert [gate["datasetVersion"]] == [version["metadata"]["name"] for version in world.list("datasetversions")]
    assert 0.2 < gate["metrics"]["auc"] < 0.8
    assert f"auc {gate['metrics']['auc']:.6g} is below 0.9" in candidate["message"]
    (evaluation,) = world.get("modelversion", "guessing-v1")["status"]["evaluations"]
    assert evaluation["metrics"]["auc"] == gate["metrics"]["auc"]
    assert never_started(world, operator, audited, "guessing")


def test_a_gate_whose_metric_the_evaluator_does_not_write(world: World, judges: Manifest) -> None:
    assert judges
    candidate = refused(world, "unmeasured", "MetricMissing")
    assert "fairness" in candidate["message"]
    assert "auc" in candidate["message"]


def test_a_gate_that_would_judge_by_what_the_model_was_trained_on(
    world: World, operator: Operator, judges: Manifest, audited: int
) -> None:
    assert judges
    candidate = refused(world, "leaking", "GateLeaksTrainingData")
    assert "trained on split holdout of Dataset tumours" in candidate["message"]
    assert [job for job in world.list("jobs") if "leaking-holdout" in job["metadata"]["name"]] == []
    assert never_started(world, operator, audited, "leaking")


def test_an_evaluator_whose_image_is_not_there_is_said_while_it_is_waited_for(
    world: World, operator: Operator, judges: Manifest, audited: int
) -> None:
    assert judges
    seen = world.wait(of_bucket(world, "unjudged"), lambda found: MISSING_IMAGE in said(found), seconds=60)
    assert candidate_of(seen)["phase"] == "Evaluating"
    assert said(seen).startswith("ImagePullFailed: ")
    assert never_started(world, operator, audited, "unjudged")
    mended = gated(world, "unjudged")
    world.apply(mended)
    world.wait(mended, serves(1))


def test_nothing_starts_before_it_is_approved(world: World, operator: Operator, judges: Manifest, audited: int) -> None:
    assert judges
    deployment = of_bucket(world, "unapproved")
    seen = world.wait(deployment, has_phase("AwaitingApproval"), seconds=60)
    assert condition(seen, "Approved")["status"] == "False"
    assert "spec.approval.approved" in said(seen)
    operator.settle()
    assert never_started(world, operator, audited, "unapproved")
    word = {"spec": {"approval": {"approved": "1"}}}
    world.kubectl("patch", "modeldeployment", "unapproved", "--type=merge", f"--patch={json.dumps(word)}")
    approved = world.wait(deployment, serves(1))
    assert condition(approved, "Approved")["status"] == "True"
    assert approved["status"]["history"][0]["approved"]["value"] == "1"


# With a version that serves.

SERVED = ("unloadable", "unanswering", "blind", "unasked")


@pytest.fixture(scope="module")
def live(world: World, judges: Manifest) -> Sequence[Manifest]:
    """Version 1 of each serves, and version 2 has begun."""
    assert judges
    deployments = [with_care(world, name) for name in SERVED]
    world.apply(*deployments, *(brought_in(world, name, 1, trained(1)) for name in SERVED))
    for deployment in deployments:
        world.wait(deployment, serves(1))
    second = {"unloadable": b"this is no model", "unanswering": failing(2), "blind": trained(2), "unasked": trained(2)}
    world.apply(*(brought_in(world, name, 2, content) for name, content in second.items()))
    return deployments


def with_care(world: World, name: str) -> Manifest:
    rollouts: dict[str, Manifest] = {
        "unloadable": {"progressDeadline": "20s", "steps": []},
        "unanswering": {"smoke": {"requests": [smoke_request(name)]}, "steps": []},
        "blind": one_step(NOBODY),
        "unasked": one_step(PROMETHEUS_IN_CLUSTER),
    }
    return of_bucket(world, name, rollout=rollouts[name])


def smoke_request(model: str) -> Manifest:
    request = infer_request("http://nobody", "nobody", model, ROW)
    assert isinstance(request.data, bytes)
    return {"path": f"/v2/models/{model}/infer", "body": request.data.decode()}


def one_step(prometheus: str) -> Manifest:
    """A step of 10 %, judged by a metric that nobody has."""
    check = {"name": "quality", "query": 'absent_quality{service="{{service}}"}', "min": 0.9}
    analysis = {"interval": "2s", "prometheus": {"url": prometheus, "checks": [check]}}
    return {"steps": [{"weight": 10, "hold": "2s"}], "analysis": analysis, "progressDeadline": "2m"}


def rolled_back(world: World, name: str, reason: str) -> Manifest:
    """The candidate once it is rolled back, for this reason, while version 1 has all the traffic."""
    deployment = of_bucket(world, name)
    seen = world.wait(deployment, has_phase("RolledBack", version=2), seconds=120)
    candidate = candidate_of(seen)
    assert candidate["reason"] == reason, candidate
    assert condition(seen, "RolledBack")["status"] == "True"
    assert (seen["status"]["live"]["version"], seen["status"]["live"]["weight"]) == (1, 100)
    assert is_ready(seen)
    assert "version 1 keeps serving" in said(seen)
    (rule,) = world.get("httproute", name)["spec"]["rules"]
    ((backend, weight),) = [(one["name"], one["weight"]) for one in rule["backendRefs"]]
    assert (backend.startswith(f"{name}-v1-"), weight) == (True, 100)
    assert {world.predict(deployment, ROW).version for _ in range(20)} == {"1"}
    wait_until(lambda: set(servers(world, name)) == {1}, seconds=30, what="version 2's servers to go")
    return candidate


def test_a_model_that_does_not_load(world: World, live: Sequence[Manifest]) -> None:
    assert live
    candidate = rolled_back(world, "unloadable", "ModelLoadFailed")
    assert "cannot load the model" in candidate["message"]


def test_a_smoke_request_that_is_answered_otherwise(world: World, live: Sequence[Manifest]) -> None:
    assert live
    candidate = rolled_back(world, "unanswering", "SmokeFailed")
    assert "500" in candidate["message"]


@pytest.mark.parametrize(("name", "reason"), [("blind", "PrometheusUnreachable"), ("unasked", "NoSamples")])
def test_metrics_that_are_never_seen(world: World, live: Sequence[Manifest], name: str, reason: str) -> None:
    """The step lasts while nothing is known, and nobody's patience is endless."""
    deployment = next(one for one in live if one["metadata"]["name"] == name)
    world.wait(deployment, has_weight(10))
    waits = world.wait(deployment, lambda found: "cannot be judged" in said(found), seconds=30)
    assert waits["status"]["candidate"]["analysis"]["blind"] is True
    impatient = {"spec": {"rollout": {"progressDeadline": "4s"}}}
    world.kubectl("patch", "modeldeployment", name, "--type=merge", f"--patch={json.dumps(impatient)}")
    candidate = rolled_back(world, name, reason)
    assert "quality" in candidate["message"]
    assert "for 4s" in candidate["message"]


def test_a_route_that_was_edited_by_hand_is_put_right(world: World, live: Sequence[Manifest]) -> None:
    assert live
    before = world.get("httproute", "unloadable")["spec"]
    edits = [
        {"op": "replace", "path": "/spec/hostnames", "value": ["elsewhere.example.com"]},
        {"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 0},
    ]
    world.kubectl("patch", "httproute", "unloadable", "--type=json", f"--patch={json.dumps(edits)}")
    wait_until(lambda: world.get("httproute", "unloadable")["spec"] == before, seconds=15, what="the route as it was")
    assert world.predict(of_bucket(world, "unloadable"), ROW).version == "1"


def test_servers_of_the_live_version_that_were_deleted_by_hand_come_back(
    world: World, live: Sequence[Manifest]
) -> None:
    assert live
    deployment, before = of_bucket(world, "unanswering"), servers(world, "unanswering")[1]["metadata"]
    world.kubectl("delete", "inferenceservice", before["name"], "--wait=true")
    wait_until(lambda: 1 in servers(world, "unanswering"), seconds=15, what="the InferenceService to come back")
    assert servers(world, "unanswering")[1]["metadata"]["uid"] != before["uid"]
    world.wait(deployment, serves(1), seconds=60)
    assert world.predict(deployment, ROW).version == "1"
