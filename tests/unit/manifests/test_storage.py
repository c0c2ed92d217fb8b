"""How a pod reaches the bytes at a URI."""

from __future__ import annotations

import pytest

from keelway.api.jobs import Location
from keelway.api.resource import Access, SecretReference
from keelway.manifests.storage import storage

SECRET = Access(endpoint="http://server:9000", region="eu", secret_ref=SecretReference(name="lake"))
REMOTE = [
    "s3://lake/churn/",
    "gs://lake/churn/",
    "az://lake/churn/",
    "https://host/data/manifest.json",
    "http://host/data.csv",
    "hf://datasets/ann/churn/data",
]


@pytest.mark.parametrize("uri", REMOTE)
def test_a_remote_place_is_reached_with_the_keys_of_a_secret(uri: str) -> None:
    reach = storage(uri, SECRET, "source", read_only=True, revision="v1")
    assert reach.location == Location(
        uri=uri,
        revision="v1",
        endpoint="http://server:9000",
        region="eu",
        secret_dir="/keelway/access/source",
        secret_name="lake",
    )
    assert reach.mounts == ({"name": "keelway-access-source", "mountPath": "/keelway/access/source", "readOnly": True},)
    (volume,) = reach.volumes
    assert volume["name"] == "keelway-access-source"
    assert volume["secret"]["secretName"] == "lake"


def test_a_secret_that_is_not_there_is_the_workers_to_report() -> None:
    """A pod waits in silence for a Secret that must be there."""
    (volume,) = storage("gs://lake/", SECRET, "source", read_only=True).volumes
    assert volume["secret"]["optional"] is True


@pytest.mark.parametrize("uri", REMOTE)
def test_without_a_secret_nothing_is_mounted(uri: str) -> None:
    reach = storage(uri, Access(), "source", read_only=True)
    assert reach.location == Location(uri=uri)
    assert (reach.volumes, reach.mounts) == ((), ())


@pytest.mark.parametrize("read_only", [True, False])
def test_a_claim_is_mounted_at_its_path(read_only: bool) -> None:
    reach = storage("pvc://lake/churn/raw/", SECRET, "source", read_only=read_only)
    assert reach.location == Location(mount="/keelway/volumes/source")
    (volume,), (mount,) = reach.volumes, reach.mounts
    assert volume["persistentVolumeClaim"] == {"claimName": "lake"}
    assert mount == {
        "name": volume["name"],
        "mountPath": "/keelway/volumes/source",
        "readOnly": read_only,
        "subPath": "churn/raw",
    }
    assert "subPath" not in storage("pvc://lake", Access(), "source", read_only=True).mounts[0]


def test_one_claim_is_one_volume_of_a_pod() -> None:
    first = storage("pvc://lake/a", Access(), "input-0", read_only=True)
    second = storage("pvc://lake/b", Access(), "output", read_only=False)
    other = storage("pvc://pond/b", Access(), "input-1", read_only=True)
    assert first.volumes == second.volumes
    assert first.mounts[0]["mountPath"] != second.mounts[0]["mountPath"]
    assert first.volumes[0]["name"] != other.volumes[0]["name"]
