"""Complete lists: all of them before anything is decided, and again every so often, whatever the watches say."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Collection as Many

from keelway.engine.errors import ApiError, NotFoundError
from keelway.engine.intake import Intake
from keelway.kube.watch import Collection, backoff

logger = logging.getLogger(__name__)
LONGEST_PAUSE = 3.0


async def fill(collections: Many[Collection]) -> None:
    """List everything at once; returns when each kind was listed or is known to be absent."""
    async with asyncio.TaskGroup() as group:
        for collection in collections:
            group.create_task(_fill(collection))


async def _fill(collection: Collection) -> None:
    failures = 0
    while True:
        try:
            await collection.list()
            return
        except NotFoundError as error:
            if collection.is_optional:
                collection.is_known = True
                return
            failures += 1
            logger.warning("%s is not served, its CRD is missing", collection.kind.name)
            await asyncio.sleep(min(LONGEST_PAUSE, backoff(failures, error)))
        except ApiError as error:
            failures += 1
            logger.warning("%s cannot be listed: %s", collection.kind.name, error)
            await asyncio.sleep(min(LONGEST_PAUSE, backoff(failures, error)))


class Relist:
    """Every `seconds` +-10 %: remove what is gone, take in what was missed, have everything looked at."""

    def __init__(self, collections: Many[Collection], intake: Intake, seconds: float) -> None:
        self._collections = collections
        self._intake = intake
        self._seconds = seconds
        self._wanted = asyncio.Event()

    def request(self) -> None:
        """Do it now: something may have been missed."""
        self._wanted.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                async with asyncio.timeout(self._seconds * random.uniform(0.9, 1.1)):
                    await self._wanted.wait()
            except TimeoutError:
                logger.debug("It is time for complete lists")
            self._wanted.clear()
            await self._once()

    async def _once(self) -> None:
        for collection in self._collections:
            try:
                await collection.list()
            except ApiError as error:
                level = logging.DEBUG if collection.is_optional else logging.WARNING
                logger.log(level, "%s cannot be listed: %s", collection.kind.name, error)
        self._intake.wake_all()
