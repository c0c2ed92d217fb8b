"""Nothing of a version runs before its bytes were seen to be those that were recorded."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.api.jobs import ORDER_VARIABLE, StageOrder
from keelway.api.kinds import Key
from keelway.engine.objects import key_of
from tests.unit.lifecycle.builders import (
    DEPLOYMENT,
    NAMESPACE,
    SHA,
    a_model_deployment,
    a_model_version,
    a_route,
    an_experiment,
)
from tests.unit.lifecycle.pods import a_waiting_pod_of
from tests.unit.lifecycle.rollouts import (
    clear,
    disrupted,
    history,
    jobs,
    of_candidate,
    phase,
    settled,
    shares,
    verification_ends,
    working,
)
from tests.unit.lifecycle.scene import Scene, names
from tests.unit.lifecycle.servers import live, serving

SECRET = {"secretRef": {"name": "models"}}


def _verifying(**spec: Any) -> Scene:
    """Version 1 is live and version 2 has just come."""
    scene = serving(1, route=a_route(), **spec)
    scene.put(a_model_version(2))
    scene.settle(DEPLOYMENT)
    return scene


def _order(scene: Scene) -> StageOrder:
    (job,) = jobs(scene, "verify-v2")
    variables = job["spec"]["template"]["spec"]["containers"][0]["env"]
    return StageOrder.model_validate_json(next(v["value"] for v in variables if v["name"] == ORDER_VARIABLE))


def test_a_version_is_compared_with_its_record_before_anything_of_it_starts() -> None:
    scene = _verifying()
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("Verifying", "Reconciling Verifying")
    assert scene.message(DEPLOYMENT) == "version 2 is compared with its record; version 1 keeps serving"
    assert names(scene.all("InferenceService")) == [live(scene)]
    asked = _order(scene).model
    assert asked is not None
    assert (asked.digest, asked.location.uri, asked.target) == (f"sha256:{SHA}", "s3://models/churn/2/", "")
    assert scene.told() == ["Verifying"]
    assert settled(scene)


def test_good_bytes_are_recorded_and_the_servers_start() -> None:
    scene = _verifying()
    clear(scene)
    verification_ends(scene)
    assert (phase(scene), of_candidate(scene)["verified"]) == ("Starting", True)
    assert len(scene.all("InferenceService")) == 2
    assert scene.writes.index("status ModelDeployment") < scene.writes.index("apply InferenceService")
    for job in jobs(scene, "verify-v2"):
        scene.remove(key_of(job))
    assert settled(scene), "a Job that Kubernetes has cleaned up is not needed again"


@pytest.mark.parametrize("reason", ["ArtifactDigestMismatch", "ArtifactMissing"])
def test_other_bytes_are_refused_for_good(reason: str) -> None:
    scene = _verifying()
    clear(scene)
    verification_ends(scene, reason, "model.joblib is not what was recorded")
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("Rejected", f"Ready {reason}")
    assert "version 2 is not served: model.joblib is not what was recorded" in scene.message(DEPLOYMENT)
    assert "version 1 keeps serving" in scene.message(DEPLOYMENT)
    assert (of_candidate(scene)["reason"], of_candidate(scene)["message"]) == (
        reason,
        "model.joblib is not what was recorded",
    )
    assert history(scene)[0] == (2, "Rejected", reason)
    assert shares(scene) == {1: 100}
    assert scene.told() == ["CandidateRejected"]
    assert "apply InferenceService" not in scene.writes
    for job in jobs(scene, "verify-v2"):
        scene.remove(key_of(job))
    scene.wait(86400)
    assert settled(scene), "not even a day later"


def test_refused_bytes_are_read_again_for_the_retry_annotation() -> None:
    scene = _verifying()
    verification_ends(scene, "ArtifactMissing")
    scene.annotate(DEPLOYMENT, retry="1")
    scene.settle(DEPLOYMENT)
    assert (phase(scene), len(working(scene, "verify-v2"))) == ("Verifying", 1)
    assert of_candidate(scene)["reason"] == ""
    verification_ends(scene)
    assert phase(scene) == "Starting"


def test_refused_bytes_stay_refused_when_another_version_came_and_went() -> None:
    scene = _verifying()
    verification_ends(scene, "ArtifactDigestMismatch")
    scene.put(a_model_version(3))
    scene.settle(DEPLOYMENT)
    assert of_candidate(scene)["version"] == 3
    scene.remove(Key("ModelVersion", NAMESPACE, "churn-v3"))
    clear(scene)
    scene.settle(DEPLOYMENT)
    assert (of_candidate(scene)["version"], phase(scene)) == (2, "Rejected")
    assert of_candidate(scene)["reason"] == "ArtifactDigestMismatch"
    assert working(scene) == [], "the verification of the one that is gone is not waited for"
    assert history(scene) == [(2, "Rejected", "ArtifactDigestMismatch"), (1, "Promoted", "")], "told once"
    assert settled(scene)


def test_the_first_version_of_all_with_other_bytes_needs_help() -> None:
    scene = Scene(a_model_deployment(), a_model_version(1))
    scene.settle(DEPLOYMENT)
    verification_ends(scene, "ArtifactDigestMismatch")
    assert scene.standing(DEPLOYMENT) == "Stalled ArtifactDigestMismatch"
    assert scene.all("InferenceService") == []
    assert settled(scene)


@pytest.mark.parametrize("reason", ["AccessDenied", "SecretMissing", "SourceUnreachable", "OutOfSpace"])
def test_a_store_that_cannot_be_read_shows_and_is_tried_again_when_the_job_has_gone(reason: str) -> None:
    scene = _verifying()
    verification_ends(scene, reason, "the bucket says no")
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("Verifying", f"Stalled {reason}")
    assert scene.message(DEPLOYMENT) == "verification: the bucket says no; version 1 keeps serving"
    assert settled(scene), "not at once"
    (job,) = jobs(scene, "verify-v2")
    assert job["spec"]["ttlSecondsAfterFinished"] <= 600, "soon"
    scene.remove(key_of(job))
    scene.settle(DEPLOYMENT)
    assert len(working(scene, "verify-v2")) == 1
    assert scene.standing(DEPLOYMENT) == "Reconciling Verifying"
    verification_ends(scene)
    assert phase(scene) == "Starting"


def test_a_disrupted_verification_begins_anew_at_once() -> None:
    scene = _verifying()
    (first,) = working(scene)
    scene.events.clear()
    disrupted(scene, "verify-v2", "stage")
    # Played on by itself: the second Job was made and found the recorded bytes.
    assert phase(scene) == "Starting"
    assert [job["metadata"]["uid"] for job in jobs(scene, "verify-v2")] != [first["metadata"]["uid"]]
    assert scene.told() == ["CandidateStarting"]


def test_a_pod_that_does_not_start_shows_and_goes_on() -> None:
    scene = _verifying()
    (job,) = working(scene)
    a_waiting_pod_of(scene, job, "CreateContainerConfigError", "secret models not found")
    scene.settle(DEPLOYMENT)
    assert (phase(scene), scene.standing(DEPLOYMENT)) == ("Verifying", "Stalled PodConfigInvalid")
    assert scene.message(DEPLOYMENT).startswith("verification: container stage")
    assert settled(scene)


ACCESSES: list[tuple[dict[str, Any], str]] = [
    ({"name": "churn"}, "trainers"),
    ({"name": "churn", "access": {"serviceAccountName": "readers"}}, "readers"),
]


@pytest.mark.parametrize(("model", "account"), ACCESSES, ids=["the experiment's", "the spec's wins"])
def test_the_files_are_read_by_who_wrote_them_or_by_whom_the_spec_names(model: dict[str, Any], account: str) -> None:
    maker = an_experiment()
    maker["spec"]["output"]["access"] = {"serviceAccountName": "trainers"}
    version = a_model_version(1, producedBy={"experiment": "churn-gbt", "run": 1})
    scene = Scene(maker, version, a_model_deployment())
    scene.change(DEPLOYMENT, model=model)
    scene.settle(DEPLOYMENT)
    (job,) = working(scene)
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == account


def test_a_model_from_elsewhere_is_read_by_whoever_the_pod_is() -> None:
    scene = _verifying()
    (job,) = working(scene)
    assert "serviceAccountName" not in job["spec"]["template"]["spec"]


def test_a_version_that_is_withdrawn_while_it_is_read_leaves_no_job_at_work() -> None:
    scene = _verifying()
    scene.remove(Key("ModelVersion", NAMESPACE, "churn-v2"))
    scene.settle(DEPLOYMENT)
    assert working(scene) == []
    assert scene.standing(DEPLOYMENT) == "Ready Serving"


def test_the_only_version_that_is_withdrawn_while_it_is_read_leaves_no_job_at_work() -> None:
    scene = Scene(a_model_deployment(), a_model_version(1))
    scene.settle(DEPLOYMENT)
    scene.remove(Key("ModelVersion", NAMESPACE, "churn-v1"))
    scene.settle(DEPLOYMENT)
    assert scene.standing(DEPLOYMENT) == "Reconciling NoModelVersion"
    assert working(scene) == []


def test_suspended_while_it_is_read_it_stops_and_begins_anew() -> None:
    scene = _verifying()
    scene.change(DEPLOYMENT, suspend=True)
    scene.settle(DEPLOYMENT)
    assert working(scene) == []
    scene.change(DEPLOYMENT, suspend=False)
    scene.settle(DEPLOYMENT)
    assert len(working(scene, "verify-v2")) == 1
