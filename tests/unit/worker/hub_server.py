"""A hub with one data set. It speaks the calls that are used of the Hugging Face Hub's HTTP API.

Those are: a data set at a revision, its tree at a commit (in pages, by the Link header), the commits up to one, and
files, of which the large ones are redirected to another host.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from keelway.api.digests import sha256
from keelway.api.jobs import Location
from tests.unit.worker.source_servers import Page, WebServer, web_server

OLD, NEW = "a" * 40, "b" * 40
REPOSITORY = "ann/people"
PAGE = 2
"""Entries of a tree in one answer."""


def git_object(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub:
    """A hub with one data set; large files lie on another host."""

    def __init__(self, web: WebServer, elsewhere: WebServer) -> None:
        self.web, self.elsewhere = web, elsewhere
        self.branches: dict[str, str] = {}

    def location(self, path: str = "", **changes: str) -> Location:
        return Location(**{"uri": f"hf://datasets/{REPOSITORY}{path}", "endpoint": self.web.endpoint, **changes})

    def commit(
        self, name: str, files: Mapping[str, bytes], *, branch: str = "main", date: str, large: int = 1000
    ) -> None:
        """Files at a commit, which the branch is moved to."""
        self.branches[branch] = name
        for revision in (branch, name):
            self._answer(f"api/datasets/{REPOSITORY}/revision/{revision}", {"id": REPOSITORY, "sha": name})
        self._answer(f"api/datasets/{REPOSITORY}/commits/{name}", [{"id": name, "date": date}])
        directories = {str(parent) for path in files for parent in list(Path(path).parents)[:-1]}
        for directory in ("", *directories):
            below = {path: data for path, data in files.items() if not directory or path.startswith(f"{directory}/")}
            inner = [one for one in directories if one.startswith(f"{directory}/" if directory else "")]
            self._tree(name, directory, below, inner, large)
        for path, data in files.items():
            self._file(name, path, data, is_large=len(data) >= large)

    def _tree(self, commit: str, directory: str, files: Mapping[str, bytes], inner: list[str], large: int) -> None:
        entries: list[dict[str, Any]] = [
            {"type": "directory", "path": one, "oid": "c" * 40, "size": 0} for one in inner
        ]
        entries += [self._entry(path, data, large) for path, data in files.items()]
        target = f"api/datasets/{REPOSITORY}/tree/{commit}" + (directory and f"/{quote(directory, safe='')}")
        pages = [entries[start : start + PAGE] for start in range(0, len(entries), PAGE)] or [[]]
        for number, page in enumerate(pages):
            query = f"cursor={number}" if number else "recursive=true&expand=false"
            following = f'<{self.web.endpoint}/{target}?cursor={number + 1}>; rel="next"'
            headers = {"Link": following} if number + 1 < len(pages) else {}
            self.web.pages[f"{target}?{query}"] = Page(json.dumps(page).encode(), headers=headers)

    def _entry(self, path: str, data: bytes, large: int) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": git_object(data)}
        if len(data) >= large:
            entry["oid"] = git_object(b"a pointer")
            entry["lfs"] = {"oid": sha256(data), "size": len(data), "pointerSize": 9}
        return entry

    def _file(self, commit: str, path: str, data: bytes, *, is_large: bool) -> None:
        page = Page(data)
        if is_large:
            self.elsewhere.pages[f"{commit}/{path}"] = page
            page = Page(status=302, location=self.elsewhere.url(f"{commit}/{path}"))
        self.web.pages[f"datasets/{REPOSITORY}/resolve/{commit}/{path}"] = page

    def _answer(self, target: str, answer: object) -> None:
        self.web.pages[target] = Page(json.dumps(answer).encode())


@contextmanager
def running_hub() -> Iterator[Hub]:
    """An empty hub on loopback, and a host of large files."""
    with web_server() as web, web_server() as elsewhere:
        yield Hub(web, elsewhere)
