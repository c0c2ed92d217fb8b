"""How a version takes over, and how it does not: with a real API server, as users and gateways see it."""

from collections.abc import Iterator

import pytest

from keelway.api.judging import SmokeVerdict
from tests.apiserver.api import Api
from tests.apiserver.audit import Audit, Write
from tests.apiserver.cluster_setup import OPERATOR_USER
from tests.apiserver.fake_kserve import serves
from tests.apiserver.fake_node import FakeNode
from tests.apiserver.fake_prometheus import FakePrometheus
from tests.apiserver.history import History
from tests.apiserver.operator_process import OperatorProcess
from tests.apiserver.pod_script import Outcome, named
from tests.apiserver.rollouts import Rollouts, analysis, gate
from tests.apiserver.track import NAME
from tests.apiserver.waiting import eventually, stays

INTERVAL = 1.0
NEW = "-v2-"
"""In the name of whatever belongs to version 2."""
SMOKE = {"requests": [{"path": "/v2/health/ready"}]}
BAD = (0.02, 0.5)


@pytest.fixture
def rollouts(api: Api, node: FakeNode, namespace: str, operator: OperatorProcess) -> Rollouts:  # noqa: ARG001
    """A namespace for rollouts, and an operator that looks after it."""
    return Rollouts(api, node, namespace)


@pytest.fixture
def history(api: Api, namespace: str) -> Iterator[History]:
    """Everything that happens in the namespace."""
    with History(api, namespace) as history:
        yield history


@pytest.fixture
def prometheus() -> Iterator[FakePrometheus]:
    """A server that finds nothing to complain of."""
    with FakePrometheus() as prometheus:
        yield prometheus


def test_a_version_gets_the_traffic_step_by_step(
    rollouts: Rollouts, history: History, prometheus: FakePrometheus
) -> None:
    rollouts.begin(spec__rollout__analysis=analysis(prometheus.url), spec__rollout__smoke=SMOKE)
    with rollouts.node.script(serves(2, namespace=rollouts.namespace), Outcome(never_ends=True, ready=False)):
        rollouts.bring(2)
        rollouts.wait_candidate(2, "Starting")
        stays(lambda: len(history.shares(NAME)), seconds=1, what="writes of the route")
    status = rollouts.track.wait_live(2)["status"]
    assert history.weights(NAME, NEW) == [0, 10, 50, 100]
    history.assert_sound(NAME)
    shared = [shares for shares in history.shares(NAME) if len(shares.weights) == 2]
    assert all(NEW in shares.dark for shares in shared), "who asks for the candidate by header gets it"
    assert [line["outcome"] for line in status["history"]] == ["Promoted", "Replaced"]
    assert "candidate" not in status
    assert status["live"]["weight"] == 100
    service = f"{status['live']['inferenceService']}-predictor"
    assert set(prometheus.queries()) == {f'errors{{service="{service}"}}'}
    assert len(prometheus.asked) >= 2, "each step had a look"
    assert not [name for asked in prometheus.asked for name in asked.headers if name in ("Authorization", "Cookie")]
    assert rollouts.jobs("verify-v2")


def test_bad_metrics_take_the_traffic_back_before_anything_else(
    rollouts: Rollouts, history: History, prometheus: FakePrometheus
) -> None:
    rollouts.begin(spec__rollout__analysis=analysis(prometheus.url), spec__rollout__holdDown="6s")
    prometheus.values = BAD
    rollouts.bring(2)
    candidate = rollouts.wait_candidate(2, "RolledBack")
    assert (candidate["reason"], candidate["message"]) == (
        "AnalysisFailed",
        "errors 0.5 is not at most 0.1 at 10 %",
    )
    assert history.weights(NAME, NEW) == [0, 10, 0]
    history.assert_sound(NAME)
    eventually(lambda: rollouts.servers() == {1}, what="the servers of version 2 are gone")
    back = history.shares(NAME)[-1]
    assert list(back.weights.values()) == [100]
    assert back.at - prometheus.first(BAD) < INTERVAL + 2
    told = [
        version.number
        for version in history.of("ModelDeployment")
        if version.manifest["status"].get("candidate", {}).get("phase") == "RolledBack"
    ]
    gone = [one.number for one in history.of("InferenceService") if one.event == "DELETED"]
    assert back.number < told[0] < gone[0], "first the route, then the record, then the servers"
    condition = rollouts.track.condition("ModelDeployment", "RolledBack")
    assert (condition["status"], condition["reason"]) == ("True", "AnalysisFailed")
    held_down_then_tried(rollouts, prometheus)


def held_down_then_tried(rollouts: Rollouts, prometheus: FakePrometheus) -> None:
    """A newer version waits for the end of the hold-down, and goes out then."""
    prometheus.values = (0.0,)
    rollouts.bring(3)
    condition = rollouts.track.wait_reason("ModelDeployment", "HeldDown")
    assert "version 3 waits until" in condition["message"]
    assert rollouts.servers() == {1}
    assert not rollouts.jobs("verify-v3")
    status = rollouts.track.wait_live(3)["status"]
    assert [line["outcome"] for line in status["history"]] == ["Promoted", "RolledBack", "Replaced"]


def test_bad_metrics_after_the_promotion_bring_the_version_before_back(
    rollouts: Rollouts, history: History, prometheus: FakePrometheus
) -> None:
    rollouts.begin(spec__rollout__analysis=analysis(prometheus.url), spec__rollout__steps=[])
    rollouts.bring(2)
    rollouts.track.wait_live(2)
    prometheus.values = BAD
    candidate = rollouts.wait_candidate(2, "RolledBack")
    assert candidate["message"] == "errors 0.5 is not at most 0.1 at 100 %"
    rollouts.track.wait_live(1)
    assert history.weights(NAME, NEW) == [0, 100, 0]
    assert history.shares(NAME)[-1].at - prometheus.first(BAD) < INTERVAL + 2
    history.assert_sound(NAME)


def test_without_data_a_step_lasts_until_there_are_some(
    rollouts: Rollouts, history: History, prometheus: FakePrometheus
) -> None:
    rollouts.begin(spec__rollout__analysis=analysis(prometheus.url))
    prometheus.values = ()
    rollouts.bring(2)
    waits_at_ten(rollouts, "errors: no data")
    prometheus.values = (float("nan"),)
    stays(lambda: rollouts.candidate["weight"], seconds=2, what="the weight")
    prometheus.values = (0.0,)
    rollouts.track.wait_live(2)
    assert history.weights(NAME, NEW) == [0, 10, 50, 100]


def test_while_prometheus_is_down_a_step_lasts(
    rollouts: Rollouts, history: History, prometheus: FakePrometheus
) -> None:
    rollouts.begin(spec__rollout__analysis=analysis(prometheus.url))
    with prometheus.down():
        rollouts.bring(2)
        waits_at_ten(rollouts, "Prometheus cannot be reached (ClientConnectorError): is it up?")
    rollouts.track.wait_live(2)
    assert history.weights(NAME, NEW) == [0, 10, 50, 100]


def waits_at_ten(rollouts: Rollouts, message: str) -> None:
    """The candidate keeps 10 % and says why."""
    rollouts.wait_candidate(2, "Canary")
    eventually(lambda: rollouts.candidate.get("analysis", {}).get("blind"), what="a look that could not tell")
    assert message in rollouts.candidate["analysis"]["last"][0]["message"]
    assert "its metrics cannot be judged" in rollouts.track.condition("ModelDeployment")["message"]
    stays(lambda: rollouts.candidate["weight"], seconds=3, what="the weight")
    assert rollouts.candidate["weight"] == 10


@pytest.mark.parametrize("reason", ["NoSamples", "PrometheusUnreachable"])
def test_what_cannot_be_judged_for_too_long_goes_back(
    rollouts: Rollouts, history: History, prometheus: FakePrometheus, reason: str
) -> None:
    url = prometheus.url if reason == "NoSamples" else "http://prometheus.invalid:9090"
    prometheus.values = ()
    rollouts.begin(spec__rollout__analysis=analysis(url), spec__rollout__progressDeadline="3s")
    rollouts.bring(2)
    candidate = rollouts.wait_candidate(2, "RolledBack")
    assert candidate["reason"] == reason
    assert history.weights(NAME, NEW) == [0, 10, 0]
    history.assert_sound(NAME)
    eventually(lambda: rollouts.servers() == {1}, what="the servers of version 2 are gone")


def test_a_version_whose_smoke_requests_fail_never_has_traffic(rollouts: Rollouts, history: History) -> None:
    failed = SmokeVerdict(outcome="Failed", reason="SmokeFailed", message="GET /v2/health/ready: 500, not 200")
    rollouts.begin(spec__rollout__smoke=SMOKE)
    with rollouts.node.script(
        named("smoke", namespace=rollouts.namespace), Outcome(exit_code=1, message=failed.model_dump_json())
    ):
        rollouts.bring(2)
        candidate = rollouts.wait_candidate(2, "RolledBack")
    assert (candidate["reason"], candidate["message"]) == ("SmokeFailed", failed.message)
    assert history.weights(NAME, NEW) == [0]
    eventually(lambda: rollouts.servers() == {1}, what="the servers of version 2 are gone")


def test_a_version_that_does_not_pass_its_gate_says_the_numbers_and_never_runs(
    rollouts: Rollouts, history: History
) -> None:
    checks = ({"metric": "auc", "min": 0.8, "maxRegression": 0.05},)
    rollouts.track.apply(rollouts.track.dataset())
    with rollouts.scores(v2=0.5, v3=0.87):
        rollouts.begin(spec__gates=[gate(*checks)])
        rollouts.bring(2)
        candidate = rollouts.wait_candidate(2, "Rejected")
        assert candidate["reason"] == "GateFailed"
        assert "auc 0.5 is below 0.8" in candidate["message"]
        assert "auc 0.5 is worse than the live model's 0.9 by 0.4, more than 0.05" in candidate["message"]
        (judged,) = candidate["gates"]
        assert (judged["metrics"], judged["liveMetrics"]) == ({"auc": 0.5}, {"auc": 0.9})
        assert rollouts.track.condition("ModelDeployment", "GatePassed")["status"] == "False"
        assert rollouts.servers() == {1}
        assert history.weights(NAME, NEW) == [0]
        rollouts.bring(3)
        status = rollouts.track.wait_live(3)["status"]
    assert [line["outcome"] for line in status["history"]] == ["Promoted", "Rejected", "Replaced"]
    assert [version.name for version in history.of("InferenceService") if NEW in version.name] == []


def test_an_evaluation_is_paid_for_once(rollouts: Rollouts, audit: Audit) -> None:
    rollouts.track.apply(rollouts.track.dataset())
    rollouts.begin(spec__gates=[gate()])
    assert len(gate_jobs_made(rollouts, audit)) == 1
    (known,) = rollouts.track.get("ModelVersion", "churn-v1")["status"]["evaluations"]
    assert known["metrics"] == {"auc": 0.9}
    other = rollouts.track.deployment(
        metadata__name="other", spec__gates=[gate(name="first"), gate({"metric": "auc", "max": 0.95}, name="second")]
    )
    other["spec"]["route"]["hostnames"] = ["other.example.com"]
    rollouts.track.apply(other)

    def is_live() -> bool:
        status = rollouts.track.get("ModelDeployment", "other").get("status", {})
        return bool(status.get("live", {}).get("version") == 1)

    eventually(is_live, seconds=60, what="the other ModelDeployment serves")
    assert len(gate_jobs_made(rollouts, audit)) == 1
    rollouts.bring(2)
    rollouts.track.wait_live(2)
    assert len(gate_jobs_made(rollouts, audit)) >= 2, "another model is another evaluation"


def gate_jobs_made(rollouts: Rollouts, audit: Audit) -> list[Write]:
    """Jobs of gates that were ever made in the namespace."""
    writes = audit.writes(OPERATOR_USER, namespace=rollouts.namespace)
    made = [write for write in writes if (write.verb, write.resource, write.code) == ("create", "jobs", 201)]
    return [write for write in made if not any(role in write.name for role in ("-observe-", "-verify-", "-smoke-"))]


def test_data_that_trained_a_model_do_not_judge_it(rollouts: Rollouts, audit: Audit) -> None:
    rollouts.track.apply(rollouts.track.dataset())
    rollouts.track.wait_ready("Dataset")
    (version,) = rollouts.track.all("DatasetVersion")
    rollouts.begin()
    rollouts.deploy(spec__gates=[gate()])
    given = {"name": "training", "dataset": NAME, "datasetVersion": version["metadata"]["name"]}
    rollouts.bring(2, spec__inputs=[{**given, "digest": version["spec"]["digest"]}])
    candidate = rollouts.wait_candidate(2, "Rejected")
    assert candidate["reason"] == "GateLeaksTrainingData"
    assert "it was trained on all rows of Dataset churn" in candidate["message"]
    assert gate_jobs_made(rollouts, audit) == []
    assert rollouts.servers() == {1}


@pytest.mark.parametrize(
    ("found", "reason"), [("sha256:" + "f" * 64, "ArtifactDigestMismatch"), ("", "ArtifactMissing")]
)
def test_bytes_that_are_not_the_recorded_ones_never_run(
    rollouts: Rollouts, history: History, found: str, reason: str
) -> None:
    rollouts.begin(spec__rollout__steps=[])
    rollouts.bring(2, found=found)
    assert rollouts.wait_candidate(2, "Rejected")["reason"] == reason
    assert rollouts.servers() == {1}
    assert [version.name for version in history.of("InferenceService") if NEW in version.name] == []
    assert history.weights(NAME, NEW) == [0]


def test_a_version_waits_for_somebody_s_word(rollouts: Rollouts, history: History) -> None:
    rollouts.bring(1)
    rollouts.deploy(spec__approval={"mode": "Manual", "approved": "1"})
    rollouts.track.wait_live(1)
    rollouts.bring(2)
    rollouts.wait_candidate(2, "AwaitingApproval")
    condition = rollouts.track.condition("ModelDeployment", "Approved")
    assert (condition["status"], condition["reason"]) == ("False", "AwaitingApproval")
    stays(rollouts.servers, seconds=2, what="the servers")
    assert rollouts.servers() == {1}
    rollouts.track.change("ModelDeployment", "spec.approval.approved", "churn-v2")
    status = rollouts.track.wait_live(2)["status"]
    assert status["history"][0]["approved"]["value"] == "churn-v2"
    assert history.weights(NAME, NEW) == [0, 10, 50, 100]


def test_a_rollout_is_a_few_writes_and_its_end_is_none(
    rollouts: Rollouts, prometheus: FakePrometheus, audit: Audit
) -> None:
    rollouts.begin(
        spec__rollout__analysis=analysis(prometheus.url), spec__rollout__smoke=SMOKE, spec__rollout__soak="3s"
    )
    mark = audit.mark()
    rollouts.bring(2)
    rollouts.track.wait_live(2)
    eventually(lambda: rollouts.servers() == {2}, what="the soak is over")
    rounds = len(prometheus.asked)
    writes = audit.writes(OPERATOR_USER, since=mark, namespace=rollouts.namespace)
    assert [write for write in writes if write.resource == "httproutes"], "the route was moved"
    assert len([write for write in writes if write.resource == "httproutes"]) <= 4, "10, 50, 100"
    lasting = [write for write in writes if write.resource != "events"]
    assert len(lasting) <= 30 + rounds, [str(write) for write in lasting]
    mark = audit.mark()
    stays(
        lambda: audit.writes(OPERATOR_USER, since=mark, namespace=rollouts.namespace),
        seconds=3,
        what="writes of the operator",
    )
    assert audit.writes(OPERATOR_USER, since=mark, namespace=rollouts.namespace) == []
