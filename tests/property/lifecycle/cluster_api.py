"""The API server in memory, with a clock and with uids that do not depend on what else was made before."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from keelway.api.base import Manifest
from keelway.api.durations import to_timestamp
from keelway.api.kinds import Key
from keelway.engine.errors import NotFoundError
from tests.property.engine.harness import EPOCH
from tests.property.engine.memory_api import MemoryApi, Stored, T


def virtual_now() -> datetime:
    """The moment on the virtual clock."""
    return EPOCH + timedelta(seconds=asyncio.get_running_loop().time())


class ClusterApi(MemoryApi):
    """A MemoryApi whose objects say truly when they were made, and whose uids two runs of one story share."""

    def __init__(self) -> None:
        super().__init__()
        self._incarnations: Counter[Key] = Counter()
        self.ours = False
        """Whether the change that watchers hear of is the operator's."""

    def list(self, kind: str) -> tuple[list[Manifest], int]:
        """As it is, without a copy: what is stored is never changed in place here, and relists are most of a story."""
        if kind in self.unserved:
            raise NotFoundError(f"{kind} is not served", status=404)
        return [self.objects[key].manifest for key in sorted(self.objects) if key.kind == kind], self.version

    async def _request(self, verb: str, key: Key, action: Callable[[], T]) -> T:
        def ours() -> T:
            self.ours = True
            try:
                return action()
            finally:
                self.ours = False

        return await super()._request(verb, key, ours)

    def _commit(self, type_: str, key: Key, stored: Stored) -> Manifest:
        stored.manifest = {**stored.manifest, "metadata": {**stored.manifest["metadata"]}}
        if type_ == "ADDED":
            self._incarnations[key] += 1
            uid = f"{key.kind}-{key.name}-{self._incarnations[key]}"
            stored.manifest["metadata"].update(uid=uid, creationTimestamp=to_timestamp(virtual_now()))
        return super()._commit(type_, key, stored)
