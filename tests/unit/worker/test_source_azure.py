"""Data at az, in Azurite."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from keelway.api.jobs import File, Location
from keelway.worker.storage import KEEP, ChangedError, Storage, open_storage
from tests.unit.worker.builders import write_secret
from tests.unit.worker.cloud_servers import AzureStorage, azure_storage
from tests.unit.worker.source_servers import list_and_read, list_at, read_at, refused

FILES = {"a.csv": b"id\n1\n", "b c/ü #1?%.csv": b"id\n22\n", "x/y/z+&=.csv": b"id\n333\n"}


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureStorage]:
    with azure_storage(tmp_path_factory.mktemp("azure")) as storage:
        yield storage


@pytest.fixture
def lake(azure: AzureStorage, tmp_path: Path) -> Location:
    """An empty directory of a new container, with the account's key."""
    return with_keys(
        Location(uri=f"az://{azure.container()}/data/", endpoint=azure.endpoint, secret_name="lake"),
        tmp_path / "keys",
        AZURE_STORAGE_ACCOUNT_NAME=azure.account,
        AZURE_STORAGE_ACCOUNT_KEY=azure.key,
    )


def with_keys(location: Location, directory: Path, **keys: str) -> Location:
    return location.model_copy(update={"secret_dir": str(write_secret(directory, **keys))})


def container_of(location: Location) -> str:
    return location.uri.split("/")[2]


async def put(storage: Storage, directory: Path, files: Mapping[str, bytes]) -> list[File]:
    source = directory / "source"
    arrived = []
    for path, data in files.items():
        source.write_bytes(data)
        arrived.append(await storage.put(path, source))
    return arrived


def fill(location: Location, directory: Path, files: Mapping[str, bytes] = FILES) -> list[File]:
    return asyncio.run(put(open_storage(location, KEEP), directory, files))


def test_a_container_is_written_listed_and_read(lake: Location, tmp_path: Path) -> None:
    arrived = fill(lake, tmp_path)
    listing = list_at(lake)
    assert listing.files == arrived
    assert [(file.path, file.size) for file in listing.files] == [(path, len(data)) for path, data in FILES.items()]
    assert all(file.etag for file in listing.files)
    assert listing.newest is not None
    assert list_and_read(lake) == FILES
    assert [file.path for file in list_at(lake, "x/y").files] == ["x/y/z+&=.csv"]
    assert list_at(lake.model_copy(update={"uri": f"az://{container_of(lake)}/dat"})).files == []


def test_a_large_file_is_sent_in_blocks(lake: Location, tmp_path: Path) -> None:
    data = bytes(range(256)) * 48 * 1024
    (file,) = fill(lake, tmp_path, {"large.bin": data})
    assert file.size == len(data)
    assert read_at(lake, file) == data


def test_another_blob_than_was_listed(lake: Location, tmp_path: Path) -> None:
    (file,) = fill(lake, tmp_path, {"a.csv": b"id\n1\n"})
    fill(lake, tmp_path, {"a.csv": b"id\n7\n"})
    with pytest.raises(ChangedError, match=r"a\.csv"):
        read_at(lake, file)
    assert read_at(lake, file, only_if_same=False) == b"id\n7\n"
    with pytest.raises(ChangedError):
        read_at(lake, File(path="absent.csv", size=3), only_if_same=False)


def test_a_blob_that_is_not_there(lake: Location) -> None:
    assert asyncio.run(open_storage(lake, KEEP).head("absent.csv")) is None


def test_a_shared_access_signature(azure: AzureStorage, lake: Location, tmp_path: Path) -> None:
    fill(lake, tmp_path)
    token = azure.read_token(container_of(lake))
    keys = {"AZURE_STORAGE_ACCOUNT_NAME": azure.account, "AZURE_STORAGE_SAS_KEY": f"?{token}\n"}
    assert list_and_read(with_keys(lake, tmp_path / "token", **keys)) == FILES
    keys["AZURE_STORAGE_SAS_KEY"] = token[:-8] + "AAAA%3D"
    assert refused(with_keys(lake, tmp_path / "token", **keys)).reason == "AccessDenied"


def test_a_public_container_needs_no_secret(azure: AzureStorage, lake: Location, tmp_path: Path) -> None:
    public = lake.model_copy(update={"uri": f"az://{azure.container(public=True)}/data/"})
    fill(public, tmp_path)
    assert list_and_read(public.model_copy(update={"secret_dir": ""})) == FILES


def test_no_credentials_for_a_private_container(lake: Location) -> None:
    error = refused(lake.model_copy(update={"secret_dir": ""}))
    assert (error.reason, error.message) == (
        "AccessDenied",
        f"{lake.uri} denies access: check the credentials and what they allow",
    )


def test_a_key_that_the_server_does_not_take(azure: AzureStorage, lake: Location, tmp_path: Path) -> None:
    keys = {"AZURE_STORAGE_ACCOUNT_NAME": azure.account, "AZURE_STORAGE_ACCOUNT_KEY": "d3Jvbmc="}
    error = refused(with_keys(lake, tmp_path / "wrong", **keys))
    assert (error.reason, error.message) == (
        "AccessDenied",
        f"{lake.uri} denies access: check the credentials and what they allow",
    )


def test_a_container_that_does_not_exist(lake: Location) -> None:
    error = refused(lake.model_copy(update={"uri": "az://no-such-container/data/"}))
    assert error.reason == "SourceUnreachable"
    assert "of az://no-such-container/data/ does not exist at http://127.0.0.1:" in error.message


def test_a_server_that_is_not_there(lake: Location) -> None:
    error = refused(lake.model_copy(update={"endpoint": "http://127.0.0.1:1/devstoreaccount1"}))
    assert error.reason == "SourceUnreachable"
    assert error.message == "http://127.0.0.1:1 refuses connections: start the server, or correct access.endpoint"


def test_nothing_says_which_account() -> None:
    error = refused(Location(uri="az://lake/data/"))
    assert error.reason == "SourceInvalid"
    assert "set access.endpoint to https://ACCOUNT.blob.core.windows.net" in error.message


def test_no_credentials_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint names the account, and the pod has no identity of its own: its metadata service is not there."""
    monkeypatch.setenv("AZURE_MSI_ENDPOINT", "http://127.0.0.1:1/metadata/identity/oauth2/token")
    error = refused(Location(uri="az://lake/data/", endpoint="https://account.blob.core.windows.net"))
    assert error.reason == "AccessDenied"
    assert error.message.startswith("no credentials for az://lake/data/: name a Secret in access.secretRef")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "the Secret 'lake' does not exist or is empty"),
        ({"AZURE_STORAGE_ACCOUNT_NAME": "a"}, "the Secret 'lake' has no AZURE_STORAGE_ACCOUNT_KEY"),
        ({"AZURE_STORAGE_ACCOUNT_KEY": "a"}, "the Secret 'lake' has no AZURE_STORAGE_ACCOUNT_NAME"),
        ({"AZURE_STORAGE_SAS_KEY": "a"}, "the Secret 'lake' has no AZURE_STORAGE_ACCOUNT_NAME"),
        (
            {"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_CLIENT_ID": "a", "AZURE_CLIENT_SECRET": "s3cret"},
            "the Secret 'lake' has no AZURE_",
        ),
        ({"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_ACCOUNT_KEY": "s3cret!"}, "are not of Azure's form"),
    ],
)
def test_a_secret_that_is_not_complete(lake: Location, tmp_path: Path, keys: dict[str, str], words: str) -> None:
    error = refused(with_keys(lake, tmp_path / "other", **keys))
    assert error.reason == "SecretMissing"
    assert words in error.message
    assert "s3cret" not in error.message


@pytest.mark.parametrize("uri", ["az://", "az:///data"])
def test_a_uri_that_names_no_container(lake: Location, uri: str) -> None:
    assert refused(lake.model_copy(update={"uri": uri})).reason == "SourceInvalid"
