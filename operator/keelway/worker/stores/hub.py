"""`hf://datasets/OWNER/NAME[/PATH]`: a data set on the Hugging Face Hub, or on another hub that speaks as it does.

A revision is resolved to a commit first, and files are listed and read at that commit: what was listed cannot change.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import httpx2
from huggingface_hub import HfApi, get_session, hf_hub_url, set_client_factory
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from keelway.api.jobs import File, Location
from keelway.worker.errors import WorkerError
from keelway.worker.storage import ChangedError, Listing, Purpose, Storage, read_only
from keelway.worker.storage_errors import place
from keelway.worker.stores.found import Found
from keelway.worker.stores.http_client import GONE, HTTP_ERRORS, MOST_REDIRECTS, HttpClient, trust
from keelway.worker.stores.secrets import Keys, read_secret

HUB = "https://huggingface.co"
ENOUGH = (Keys("HF_TOKEN"),)
KIND = "dataset"
MAIN = "main"
WAITS = {"connect": 3.0, "read": 10.0, "write": 10.0, "pool": 10.0}
_COMMIT = re.compile("[0-9a-f]{40}")

T = TypeVar("T")


@dataclass
class HubStorage(Storage):
    """A directory of a data set's repository. Read-only."""

    repository: str
    directory: str
    api: HfApi
    client: HttpClient
    commit: str = ""
    """Where files are read; found out by the first listing."""

    async def listing(self, prefix: str = "") -> Listing:
        found = await asyncio.to_thread(self._ask, lambda: self._listing(prefix))
        self.commit = found.revision
        return found

    def _listing(self, prefix: str) -> Listing:
        commit = self._commit()
        directory = "/".join(part for part in (self.directory, prefix) if part)
        tree = self.api.list_repo_tree(
            self.repository, directory or None, recursive=True, revision=commit, repo_type=KIND
        )
        found = Found(self.location)
        for entry in tree:
            if isinstance(entry, RepoFile):
                found.add(self._file(entry))
        if found.files:
            found.newest = self._written_at(commit)
        return found.listing(revision=commit, native=f"native:hf:{commit}")

    def _commit(self) -> str:
        revision = self.location.revision or MAIN
        commit = self.api.dataset_info(self.repository, revision=revision, timeout=WAITS["read"]).sha or ""
        if not _COMMIT.fullmatch(commit):
            raise WorkerError(self.purpose.unreachable, f"the hub names no commit for {revision!a} of {self._place}")
        return commit

    def _written_at(self, commit: str) -> datetime:
        """When the commit was made: the files of a tree have no times of their own."""
        url = f"{self.api.endpoint}/api/{KIND}s/{self.repository}/commits/{commit}"
        response = get_session().get(url, headers=dict(self.client.credentials))
        response.raise_for_status()
        return datetime.fromisoformat(response.json()[0]["date"])

    def _file(self, entry: RepoFile) -> File:
        below = entry.path.removeprefix(f"{self.directory}/") if self.directory else entry.path
        return File(path=below, size=entry.size, etag=entry.blob_id, sha256=entry.lfs.sha256 if entry.lfs else "")

    async def get(self, file: File, *, only_if_same: bool) -> AsyncIterator[memoryview]:
        """The bytes at the commit, which cannot be others: checked against the Git object where that is the file."""
        left, checksum = file.size, hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
        async with self.client.request("GET", self._url(file)) as response:
            if response.status_code in GONE:
                raise ChangedError(file.path)
            self._refuse_status(response)
            async for chunk in self.client.body(response):
                left -= len(chunk)
                checksum.update(chunk)
                yield memoryview(chunk)
        is_git_object = file.etag and not file.sha256
        if only_if_same and (left or (is_git_object and checksum.hexdigest() != file.etag)):
            raise ChangedError(file.path)

    def _url(self, file: File) -> httpx2.URL:
        revision = self.commit or self.location.revision or MAIN
        subfolder = self.directory or None
        endpoint = str(self.api.endpoint)
        return httpx2.URL(
            hf_hub_url(
                self.repository, file.path, subfolder=subfolder, repo_type=KIND, revision=revision, endpoint=endpoint
            )
        )

    def _ask(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except (GatedRepoError, RepositoryNotFoundError) as error:
            raise self._denied() from error
        except RevisionNotFoundError as error:
            raise WorkerError(
                "SourceInvalid", f"{self._place} has no revision {self.location.revision!a}: correct source.revision"
            ) from error
        except RemoteEntryNotFoundError as error:
            raise WorkerError("SourceEmpty", f"there is no directory at {self._place}: correct the path") from error
        except HFValidationError as error:
            raise _not_a_repository(self.location) from error
        except HfHubHTTPError as error:
            self._refuse_status(error.response)
            raise self.client.failure(error) from error
        except (*HTTP_ERRORS, LookupError, TypeError) as error:  # the last two: JSON of another form
            raise self.client.failure(error) from error

    def _refuse_status(self, response: httpx2.Response) -> None:
        if response.is_success:
            return
        if response.status_code in (401, 403):
            raise self._denied()
        raise WorkerError(
            self.purpose.unreachable,
            f"the hub answers with status {response.status_code} for {self._place}: try later, or see to it",
        )

    def _denied(self) -> WorkerError:
        """A hub does not say which of the two it is."""
        return WorkerError(
            "AccessDenied",
            f"{self._place} does not exist, or is private or gated: correct the URI, or name a Secret with HF_TOKEN of "
            "somebody who may read it",
        )

    @property
    def _place(self) -> str:
        return place(self.location)


def open_location(location: Location, purpose: Purpose) -> HubStorage:
    """Open a data set, with the token of the Secret. Raises WorkerError."""
    if purpose.write:
        raise read_only(location, "files")
    match = re.fullmatch(r"hf://datasets/([^/]+/[^/]+)/?(.*)", location.uri, re.DOTALL)
    if not match:
        raise _not_a_repository(location)
    token = read_secret(location, ENOUGH).get("HF_TOKEN", "")
    credentials = {"Authorization": f"Bearer {token}"} if token else {}
    endpoint = location.endpoint.rstrip("/") or HUB
    set_client_factory(lambda: _bounded_client(endpoint))
    api = HfApi(endpoint=endpoint, token=token or False, library_name="keelway")
    client = HttpClient(location, purpose, credentials)
    return HubStorage(location, purpose, match[1], match[2].strip("/"), api, client)


def _not_a_repository(location: Location) -> WorkerError:
    return WorkerError(
        "SourceInvalid", f"{place(location)!a} is not of the form hf://datasets/OWNER/NAME or …/NAME/PATH"
    )


def _bounded_client(endpoint: str) -> httpx2.Client:
    """The hub's own client waits without end, whatever it is told; and must not fall back to http."""

    def bound(request: httpx2.Request) -> None:
        request.extensions["timeout"] = WAITS
        if endpoint.startswith("https:") and request.url.scheme != "https":
            raise httpx2.UnsupportedProtocol("redirected to http", request=request)

    return httpx2.Client(
        event_hooks={"request": [bound]},
        follow_redirects=True,
        max_redirects=MOST_REDIRECTS,
        verify=trust(endpoint.partition(":")[0]),
    )
