"""Data at gs: read from fake-gcs-server; written to an S3 server behind a door that takes Google's tokens alone."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from keelway.api.jobs import File, Location
from keelway.worker.errors import WorkerError
from keelway.worker.storage import KEEP, ChangedError, open_storage
from tests.unit.worker.builders import Server, write_secret
from tests.unit.worker.cloud_servers import GoogleStorage, front_door, google_storage, public_bucket
from tests.unit.worker.source_servers import collected, list_and_read, list_at, read_at, refused

FILES = {"a.csv": b"id\n1\n", "b c/ü #1?%.csv": b"id\n22\n", "x/y/z+&=.csv": b"id\n333\n"}


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoogleStorage]:
    with google_storage(tmp_path_factory.mktemp("google")) as storage:
        yield storage


@pytest.fixture
def lake(google: GoogleStorage) -> Location:
    """A bucket with the files below `data/`."""
    bucket = google.bucket()
    google.put(bucket, "elsewhere/c.csv", b"id\n")
    for path, data in FILES.items():
        google.put(bucket, f"data/{path}", data)
    return Location(uri=f"gs://{bucket}/data/", endpoint=google.endpoint)


def bucket_of(location: Location) -> str:
    return location.uri.split("/")[2]


def test_a_bucket_is_listed_and_read(lake: Location) -> None:
    listing = list_at(lake)
    assert [(file.path, file.size) for file in listing.files] == [(path, len(data)) for path, data in FILES.items()]
    assert all(file.etag for file in listing.files)
    assert listing.newest is not None
    assert list_and_read(lake) == FILES
    assert [file.path for file in list_at(lake, "x/y").files] == ["x/y/z+&=.csv"]


def test_another_object_than_was_listed(google: GoogleStorage, lake: Location) -> None:
    file = list_at(lake).files[0]
    google.put(bucket_of(lake), "data/a.csv", b"id\n7\n")
    with pytest.raises(ChangedError, match=r"a\.csv"):
        read_at(lake, file)
    assert read_at(lake, file, only_if_same=False) == b"id\n7\n"
    with pytest.raises(ChangedError):
        read_at(lake, File(path="absent.csv", size=3), only_if_same=False)


def test_a_directory_marker_is_no_file(google: GoogleStorage, lake: Location) -> None:
    google.put(bucket_of(lake), "data/x/y/", b"")
    google.put(bucket_of(lake), "data/empty.csv", b"")
    assert [file.path for file in list_at(lake).files] == ["a.csv", "b c/ü #1?%.csv", "empty.csv", "x/y/z+&=.csv"]


def test_a_server_that_is_not_there(lake: Location) -> None:
    error = refused(lake.model_copy(update={"endpoint": "http://127.0.0.1:1"}))
    assert error.reason == "SourceUnreachable"
    assert error.message == "http://127.0.0.1:1 refuses connections: start the server, or correct access.endpoint"


def test_no_credentials_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pod has no identity of its own: its metadata service is not there."""
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    monkeypatch.setenv("GCE_METADATA_IP", "127.0.0.1:1")
    monkeypatch.setenv("GCE_METADATA_ROOT", "127.0.0.1:1")
    error = refused(Location(uri="gs://lake/data/"))
    assert error.reason == "AccessDenied"
    assert error.message.startswith("no credentials for gs://lake/data/: name a Secret in access.secretRef")


class ServiceAccount:
    """A key as Google gives it, and who would know a token that was signed with it."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        self.json = json.dumps(
            {"type": "service_account", "private_key": pem, "private_key_id": "1", "client_email": "ann@example.com"}
        )

    def signed(self, authorization: str) -> bool:
        token = authorization.removeprefix("Bearer ")
        content, _, signature = token.rpartition(".")
        decoded = urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
        try:
            self._key.public_key().verify(decoded, content.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True


@pytest.fixture(scope="module")
def account() -> ServiceAccount:
    return ServiceAccount()


@pytest.fixture
def guarded(server: Server, account: ServiceAccount) -> Iterator[Location]:
    """An empty bucket for the service account alone."""
    with front_door(server, account.signed) as endpoint:
        yield Location(uri=f"gs://{public_bucket(server)}/data/", endpoint=endpoint, secret_name="lake")


def with_keys(location: Location, directory: Path, keys: dict[str, str]) -> Location:
    return location.model_copy(update={"secret_dir": str(write_secret(directory, **keys))})


@pytest.mark.parametrize("name", ["GOOGLE_SERVICE_ACCOUNT_KEY", "gcloud-application-credentials.json"])
def test_the_key_of_a_service_account_reads_and_writes(
    guarded: Location, account: ServiceAccount, tmp_path: Path, name: str
) -> None:
    location = with_keys(guarded, tmp_path / "keys", {name: account.json})
    sources = {path: tmp_path / str(number) for number, path in enumerate(FILES)}

    async def upload() -> list[File]:
        storage = open_storage(location, KEEP)
        for path, source in sources.items():
            source.write_bytes(FILES[path])
        assert await storage.head("a.csv") is None
        return [await storage.put(path, source) for path, source in sources.items()]

    assert asyncio.run(upload()) == list_at(location).files
    assert list_and_read(location) == FILES


def test_an_upload_that_is_written_over_is_another_object(
    guarded: Location, account: ServiceAccount, tmp_path: Path
) -> None:
    location = with_keys(guarded, tmp_path / "keys", {"key.json": account.json})
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"id\n1\n")
    second.write_bytes(b"id\n2\n")

    async def write_over() -> None:
        storage = open_storage(location, KEEP)
        file = await storage.put("a.csv", first)
        await storage.put("a.csv", second)
        await collected(storage, file)

    with pytest.raises(ChangedError):
        asyncio.run(write_over())


@pytest.mark.parametrize("keys", [None, "another"])
def test_who_has_no_right_is_refused(guarded: Location, tmp_path: Path, keys: str | None) -> None:
    location = with_keys(guarded, tmp_path / "keys", {"key.json": ServiceAccount().json}) if keys else guarded
    for error in (refused(location), put_refused(location, tmp_path)):
        assert error.reason == "AccessDenied"
        assert error.message == f"{guarded.uri} denies access: check the credentials and what they allow"


def put_refused(location: Location, directory: Path) -> WorkerError:
    (directory / "x").write_bytes(b"x")
    with pytest.raises(WorkerError) as caught:
        asyncio.run(open_storage(location, KEEP).put("x", directory / "x"))
    return caught.value


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "does not exist or is empty"),
        ({"user": "ann"}, "has no GOOGLE_SERVICE_ACCOUNT_KEY"),
        ({"key.json": "s3cret"}, "holds no key of a service account: put the JSON of one under"),
        ({"key.json": '{"private_key": "s3cret"}'}, "holds no key of a service account"),
    ],
)
def test_a_secret_that_holds_no_key(guarded: Location, tmp_path: Path, keys: dict[str, str], words: str) -> None:
    error = refused(with_keys(guarded, tmp_path / "keys", keys))
    assert error.reason == "SecretMissing"
    assert error.message.startswith(f"the Secret 'lake' {words}")
    assert "s3cret" not in error.message


@pytest.mark.parametrize("uri", ["gs://", "gs:///data", "gs:/lake/data"])
def test_a_uri_that_names_no_bucket(uri: str) -> None:
    assert refused(Location(uri=uri)).reason == "SourceInvalid"
