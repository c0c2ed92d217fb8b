"""The Job that sends the smoke requests: to the candidate's own address, and with nothing that is secret."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.api.base import Manifest
from keelway.api.judging import SmokeOrder
from keelway.api.model_deployment import ModelDeployment
from keelway.manifests.smoke_job import smoke_job
from tests.unit.manifests.pods_of_jobs import container, order, pod
from tests.unit.manifests.rollout_jobs import ATTEMPT, LONGEST_NAME, SCHEDULING, check_job, deployment

CANDIDATE = "churn-v4-01234567"
BASE = f"http://{CANDIDATE}-predictor.ml.svc"
INFER = {"path": "/v2/models/churn/infer", "body": '{"inputs": []}'}


def with_smoke(*requests: Manifest, name: str = "churn", **smoke: Any) -> ModelDeployment:
    return deployment(name, rollout={"smoke": {"requests": requests or [INFER], **smoke}})


def job(of: ModelDeployment | None = None, candidate: str = CANDIDATE, attempt: str = ATTEMPT) -> Manifest:
    return smoke_job(of or with_smoke(), candidate, attempt=attempt, image="worker:1", pull_policy="Never")


def told(made: Manifest) -> SmokeOrder:
    return SmokeOrder.model_validate(order(made, "smoke"))


def test_requests_go_straight_to_the_candidate_in_their_order() -> None:
    made = job(with_smoke({"path": "/v2/health/ready"}, INFER, {"path": "/x", "method": "POST", "expectStatus": 422}))
    calls = [(one.method, one.url, one.body, one.expect_status) for one in told(made).calls]
    assert calls == [
        ("GET", f"{BASE}/v2/health/ready", "", 200),
        ("POST", f"{BASE}/v2/models/churn/infer", INFER["body"], 200),
        ("POST", f"{BASE}/x", "", 422),
    ]


def test_with_a_transformer_they_go_to_that_as_everybodys_will() -> None:
    (call,) = told(job(candidate="churn-v4t-01234567")).calls
    assert call.url == "http://churn-v4t-01234567-transformer.ml.svc/v2/models/churn/infer"


def test_the_job_may_last_as_long_as_its_answers_may() -> None:
    slow = with_smoke(*[INFER] * 16, maxLatency="2m")
    assert job(slow)["spec"]["activeDeadlineSeconds"] > 16 * 120
    assert job()["spec"]["activeDeadlineSeconds"] == 600


def test_types_and_seconds_are_as_the_spec_says() -> None:
    request = {"path": "/predict", "body": "a,b", "method": "PUT", "contentType": "text/csv"}
    made = told(job(with_smoke(request, maxLatency="1500ms")))
    (call,) = made.calls
    assert (call.method, call.content_type, made.max_seconds) == ("PUT", "text/csv", 1.5)
    assert told(job()).max_seconds == 10


@pytest.mark.parametrize("path", ["/@elsewhere.example/x", "//elsewhere.example/x", "/../x", "/?q=http://x", "/#x"])
def test_no_path_leads_to_another_server(path: str) -> None:
    (call,) = told(job(with_smoke({"path": path}))).calls
    assert call.url == f"{BASE}{path}"


def test_it_keeps_to_what_every_job_keeps_to() -> None:
    check_job(job())
    check_job(job(with_smoke(name=LONGEST_NAME)))
    assert container(job(), "smoke")["securityContext"]["readOnlyRootFilesystem"] is True


def test_it_runs_where_the_servers_run_and_mounts_nothing_but_its_own_space() -> None:
    spec = pod(job())
    assert (spec["nodeSelector"], spec["tolerations"]) == (SCHEDULING["nodeSelector"], SCHEDULING["tolerations"])
    assert [list(volume) for volume in spec["volumes"]] == [["name", "emptyDir"]]
    assert "serviceAccountName" not in spec


def test_every_attempt_has_a_name_of_its_own_and_the_same_after_a_crash() -> None:
    names = [
        job()["metadata"]["name"],
        job(attempt="another")["metadata"]["name"],
        job(candidate="churn-v5-01234567")["metadata"]["name"],
    ]
    assert len(set(names)) == 3
    assert job()["metadata"]["name"] == names[0]
    assert all(name.startswith("churn-smoke-") for name in names)


def test_a_body_arrives_to_the_letter_whatever_kubernetes_would_make_of_it() -> None:
    """Kubernetes puts `$(NAME)` and `$$` in a variable into other words, and Linux takes none above 128 KiB."""
    body = ('{"text": "$$5, $(KEELWAY_SCRATCH), \\\\$(HOME), ü漢😀"}' * 400)[:16384]
    made = job(with_smoke(*[{"path": "/", "body": body}] * 16))
    values = [variable["value"] for variable in container(made, "smoke")["env"]]
    assert not any("$" in value for value in values)
    assert max(len(value.encode()) for value in values) < 128 * 1024 - 100
    assert [call.body for call in told(made).calls] == [body] * 16
