"""What containers do on the fake node: outcomes, and which container gets which."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from threading import Condition
from typing import Any, TypeAlias

from keelway.api.base import Manifest
from keelway.api.curves import Curve


@dataclass(frozen=True)
class Outcome:
    """What becomes of a container. The default ends at once and well."""

    exit_code: int = 0
    message: str = ""
    """Termination message."""
    log: str = ""
    reason: str = ""
    """Of the termination; empty: Completed or Error. `OOMKilled` for one that used too much memory."""
    waiting: str = ""
    """Never starts and waits with this reason (ErrImagePull, CreateContainerConfigError), `message` says why."""
    never_ends: bool = False
    ready: bool = True
    """Of one that never ends: whether its readiness probe succeeds."""
    seconds: float = 0.0
    """How long it runs."""
    reports: Curve = ()
    """(step, value) of what it reports while it runs, evenly spread; `collect` relays it."""

    @property
    def starts(self) -> bool:
        """Whether the container runs at all."""
        return not self.waiting


FOREVER = Outcome(never_ends=True)


def image_pull_error(image: str) -> Outcome:
    """An image that no registry has."""
    message = f'failed to pull and unpack image "{image}": not found'
    return Outcome(waiting="ErrImagePull", message=message)


@dataclass(frozen=True)
class Container:
    """A container that is about to do something, and what its pod's others have done before."""

    pod: Manifest
    spec: Manifest
    before: Mapping[str, Outcome] = field(default_factory=dict)
    """Outcomes of containers of this pod that have ended, by name."""

    @property
    def name(self) -> str:
        """Its name in the pod."""
        return str(self.spec["name"])

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        return str(self.pod["metadata"]["namespace"])

    @cached_property
    def environment(self) -> dict[str, str]:
        """Its literal environment variables."""
        return {given["name"]: given["value"] for given in self.spec.get("env", []) if "value" in given}

    @property
    def labels(self) -> dict[str, str]:
        """The pod's labels."""
        found: dict[str, str] = self.pod["metadata"].get("labels", {})
        return found

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """A trial's parameters, as `stage` was told them."""
        stages = [c for c in self.pod["spec"].get("initContainers", []) if c["name"] == "stage"]
        order = Container(self.pod, stages[0]).environment["KEELWAY_ORDER"] if stages else "{}"
        found: dict[str, Any] = json.loads(order).get("parameters", {})
        return found


Matcher: TypeAlias = Callable[[Container], bool]
Behaviour: TypeAlias = Callable[[Container], Outcome | None]
"""What a container does; None leaves it to an earlier script."""


def named(name: str, *, namespace: str = "") -> Matcher:
    """Containers of this name, in one namespace or everywhere."""
    return lambda container: container.name == name and namespace in ("", container.namespace)


class Scripts:
    """Behaviours, the newest first; the default has an answer for every container."""

    def __init__(self, default: Callable[[Container], Outcome]) -> None:
        self._default = default
        self._behaviours: list[Behaviour] = []
        self.changed = Condition()

    def add(self, matches: Matcher, outcome: Outcome | Behaviour) -> Callable[[], None]:
        """From now on matching containers, those that wait included, do this; call the answer to take it back."""

        def behave(container: Container) -> Outcome | None:
            if not matches(container):
                return None
            return outcome if isinstance(outcome, Outcome) else outcome(container)

        def take_back() -> None:
            with self.changed:
                self._behaviours.remove(behave)
                self.changed.notify_all()

        with self.changed:
            self._behaviours.insert(0, behave)
            self.changed.notify_all()
        return take_back

    def outcome(self, container: Container) -> Outcome:
        """What a container does now."""
        with self.changed:
            behaviours = list(self._behaviours)
        found = (outcome for behave in behaviours if (outcome := behave(container)) is not None)
        return next(found, None) or self._default(container)
