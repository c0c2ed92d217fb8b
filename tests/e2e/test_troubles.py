"""What goes wrong shows in `kubectl get` within 30 s with its reason, and goes on by itself once it is mended."""

import time
from typing import Any

import pytest

from dev.demo.data import as_csv, tumours, upload
from dev.demo.resources import condition
from tests.e2e.models import brought_in, from_bucket, trained
from tests.e2e.trainers import experiment_of
from tests.e2e.world import World, has_reason, serves

Manifest = dict[str, Any]

SHOWN_WITHIN = 30
"""Seconds from `kubectl apply` on, so the fact itself is younger."""


@pytest.fixture(scope="module")
def data(world: World) -> Manifest:
    """A Dataset that is Ready."""
    upload(world.bucket("lake"), "tumours", {"part-1.csv": as_csv(tumours())})
    world.bucket("models")
    dataset = world.dataset()
    world.apply(dataset)
    return world.wait(dataset)


def shows(world: World, manifest: Manifest, reason: str) -> Manifest:
    """Apply something; gives it once `kubectl get` shows the reason, which must be in time."""
    world.apply(manifest)
    applied = time.monotonic()
    found = world.wait(manifest, has_reason(reason), seconds=SHOWN_WITHIN)
    assert time.monotonic() - applied < SHOWN_WITHIN
    assert reason in world.kubectl("get", manifest["kind"].lower(), manifest["metadata"]["name"])
    return found


def message_of(resource: Manifest) -> str:
    return next(str(c["message"]) for c in resource["status"]["conditions"] if c["type"] == "Ready")


def test_a_bucket_that_is_not_there(world: World) -> None:
    uri = f"s3://{world.namespace}-late/tumours/"
    dataset = world.dataset("late", source={"uri": uri, "format": "CSV"})
    seen = shows(world, dataset, "SourceUnreachable")
    assert uri in message_of(seen)
    upload(world.bucket("late"), "tumours", {"part-1.csv": as_csv(tumours()[:50])})
    ready = world.wait(dataset, seconds=120)
    assert ready["status"]["current"]["rows"] == 50


def test_a_store_that_nobody_runs(world: World, data: Manifest) -> None:
    access = {**data["spec"]["access"], "endpoint": "http://nobody.nowhere.svc.cluster.local"}
    dataset = world.dataset("nobody", access=access)
    seen = shows(world, dataset, "SourceUnreachable")
    assert "nobody.nowhere.svc.cluster.local" in message_of(seen)
    world.apply(world.dataset("nobody"))
    world.wait(dataset)


def test_a_secret_that_is_not_there(world: World, data: Manifest) -> None:
    dataset = world.dataset("locked", access={**data["spec"]["access"], "secretRef": {"name": "later"}})
    seen = shows(world, dataset, "SecretMissing")
    assert "later" in message_of(seen)
    keys = world.get("secret", "s3-access")["data"]
    world.apply(secret(world, "later", keys))
    world.wait(dataset, seconds=120)


def test_keys_that_no_longer_open_the_bucket_of_a_dataset_that_is_ready(world: World, data: Manifest) -> None:
    keys = world.get("secret", "s3-access")["data"]
    access = {**data["spec"]["access"], "secretRef": {"name": "rotated"}}
    dataset = world.dataset("rotated", access=access, refresh={"interval": "10s"})
    world.apply(secret(world, "rotated", keys), dataset)
    world.wait(dataset)
    world.apply(secret(world, "rotated", {**keys, "AWS_SECRET_ACCESS_KEY": "d3Jvbmc="}))
    seen = world.wait(dataset, lambda r: reachable(r).get("status") == "False", seconds=SHOWN_WITHIN)
    assert reachable(seen)["reason"] == "AccessDenied"
    row = world.kubectl("get", "dataset", "rotated", "-owide").splitlines()[1].split()
    good, is_reachable = row[9:11]
    assert (row[5:8], good, is_reachable) == (["True", "True", "Ready"], "1", "False"), row
    world.apply(secret(world, "rotated", keys))
    mended = world.wait(dataset, lambda r: reachable(r).get("status") == "True", seconds=60)
    assert mended["status"]["lastGood"] == seen["status"]["lastGood"]


def reachable(dataset: Manifest) -> Manifest:
    return condition(dataset, "SourceReachable")


def secret(world: World, name: str, data: Manifest) -> Manifest:
    metadata = {"name": name, "namespace": world.namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


def test_an_image_that_is_not_there(world: World, data: Manifest) -> None:
    missing = {"image": "dev.local/there-is-no-such-image:1"}
    seen = shows(world, experiment_of(world, "no-image", container=missing), "ImagePullFailed")
    assert "dev.local/there-is-no-such-image:1" in message_of(seen)
    mended = experiment_of(world, "no-image")
    world.apply(mended)
    assert data["status"]["lastGood"]["version"] == world.wait(mended)["status"]["run"]["datasets"][0]["version"]


def test_a_trainer_that_fails(world: World, data: Manifest) -> None:
    seen = shows(world, experiment_of(world, "failing", "exit 3"), "TrainerFailed")
    assert "exit code 3" in message_of(seen)
    assert data["status"]["lastGood"]["version"] == seen["status"]["run"]["datasets"][0]["version"]
    mended = experiment_of(world, "failing")
    world.apply(mended)
    assert world.wait(mended)["status"]["run"]["number"] == 2


def test_a_model_that_does_not_load(world: World) -> None:
    world.apply(brought_in(world, "broken", 1, b"this is no model"))
    deployment = world.deployment("broken", model=from_bucket("broken"))
    seen = shows(world, deployment, "ModelLoadFailed")
    assert "live" not in seen["status"]
    assert seen["status"]["candidate"]["phase"] == "Failed"
    world.apply(brought_in(world, "broken", 2, trained(1)))
    world.wait(deployment, serves(2))


def test_a_model_that_does_not_load_takes_no_traffic_from_the_one_that_serves(world: World) -> None:
    deployment = world.deployment("careful", model=from_bucket("careful"))
    world.apply(brought_in(world, "careful", 1, trained(1)), deployment)
    world.wait(deployment, serves(1))
    world.apply(brought_in(world, "careful", 2, b"this is no model"))
    seen = world.wait(deployment, has_reason("ModelLoadFailed"), seconds=60)
    assert seen["status"]["live"]["version"] == 1
    assert "version 1 keeps serving" in message_of(seen)
    assert world.predict(deployment, tumours()[:1]).version == "1"
