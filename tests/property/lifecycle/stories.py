"""What the stories share: the example files in a size that is quick to play, and ways to count requests."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.property.engine.memory_api import Happened
from tests.property.lifecycle.simulation import DATASET, EXPERIMENT, Action, Simulation, changed

RARELY, OFTEN = (changed(DATASET, refresh={"interval": interval}) for interval in ("10m", "2m"))
SMALL = changed(EXPERIMENT, search={**EXPERIMENT["spec"]["search"], "maxTrials": 3})


def kinds(requests: list[str]) -> Counter[str]:
    """`verb Kind` of requests, counted."""
    return Counter(request.split("/")[0] for request in requests)


def noting(marks: list[int]) -> Action:
    """Remember how many requests there were."""
    return lambda simulation: marks.append(len(simulation.api.requests))


def once_a_model_is_recorded(action: Action) -> Action:
    """Do it when there is a ModelVersion; wait for one until then."""

    async def wait(simulation: Simulation) -> None:
        recorded = asyncio.Event()

        def heard(happened: Happened) -> None:
            if happened.manifest["kind"] == "ModelVersion":
                recorded.set()

        simulation.api.watchers.append(heard)
        if not any(key.kind == "ModelVersion" for key in simulation.api.objects):
            await recorded.wait()
        action(simulation)

    return lambda simulation: asyncio.create_task(wait(simulation))
