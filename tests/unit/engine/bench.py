"""An executor on an API server in memory, to carry out one plan at a time."""

from __future__ import annotations

from keelway.api.base import Manifest
from keelway.api.kinds import Key
from keelway.engine.executor import Executor, Outcome
from keelway.engine.intake import Intake
from keelway.engine.objects import key_of
from keelway.engine.queue import Queue
from keelway.engine.store import Store
from keelway.engine.telemetry import Telemetry
from keelway.lifecycle.plan import Plan
from tests.property.engine.memory_api import MemoryApi
from tests.unit.engine.objects import NAMESPACE, thing, wanted

EXPERIMENT = Key("Experiment", NAMESPACE, "gbt")


class Bench:
    """One Experiment `gbt` that is stored on both sides."""

    def __init__(self) -> None:
        self.api = MemoryApi()
        self.time = 0.0
        """Seconds, as the store knows them."""
        self.store = Store(
            subjects=lambda manifest: frozenset({key_of(manifest)}),
            references=lambda _: frozenset(),
            clock=lambda: self.time,
        )
        self.queue = Queue()
        self.intake = Intake(store=self.store, queue=self.queue, kinds={"Experiment"})
        self.telemetry = Telemetry()
        self.executor = Executor(store=self.store, intake=self.intake, writer=self.api, telemetry=self.telemetry)
        self.api.put(wanted(thing("Experiment", "gbt")))
        self.learn(EXPERIMENT)

    def learn(self, key: Key) -> Manifest:
        """Let the store know an object as it is on the server."""
        manifest = self.api.read(key)
        self.intake.seen(manifest)
        return manifest

    @property
    def uid(self) -> str:
        """uid of the Experiment."""
        return str(self.resource["metadata"]["uid"])

    @property
    def resource(self) -> Manifest:
        """The Experiment as the store knows it."""
        found = self.store.get(EXPERIMENT)
        assert found
        return found

    def child(self, kind: str, name: str, *, owner: str = "", **content: object) -> Manifest:
        """An object as a decision would state it, controlled by the Experiment or by another uid."""
        return wanted(thing(kind, name, owner=owner or self.uid, **content))  # type: ignore[arg-type]

    async def carry_out(self, **plan: object) -> Outcome:
        """Carry out one plan; requests of former ones are forgotten."""
        self.api.requests.clear()
        return await self.executor.carry_out(self.resource, Plan("test", **plan))  # type: ignore[arg-type]
