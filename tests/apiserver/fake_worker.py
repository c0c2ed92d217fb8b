"""What Keelway's own containers say on the fake node, of data that lies in a lake in memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import TypeAlias

from keelway.api.base import Manifest, Model
from keelway.api.digests import digest, short
from keelway.api.jobs import (
    ORDER_VARIABLE,
    CollectOrder,
    CollectVerdict,
    FailureReason,
    ObserveOrder,
    ObserveVerdict,
    RecordOrder,
    StageOrder,
    SweepOrder,
    TransformVerdict,
)
from keelway.api.judging import MeasureOrder, MeasureVerdict, SmokeVerdict
from tests.apiserver.pod_script import FOREVER, Container, Outcome
from tests.property.lifecycle import lake
from tests.property.lifecycle.curves import relayed
from tests.property.lifecycle.lake import Content, content
from tests.property.lifecycle.mounts import mounted
from tests.property.lifecycle.pod_ends import NO_OUTPUT, code_of, order, said

MODEL_BYTES = 48231
GOOD = 0.9
"""What every model is worth at a gate."""
ConfigMaps: TypeAlias = Callable[[str, str], Manifest | None]
"""The ConfigMap of this namespace and name."""


@dataclass(frozen=True)
class Broken:
    """A source that cannot be observed."""

    reason: FailureReason
    message: str


class Lake:
    """Data by namespace and URI; what nobody put there is a small table."""

    def __init__(self) -> None:
        self._lakes: dict[str, lake.Lake] = {}
        self._broken: dict[tuple[str, str], Broken] = {}
        self.lock = Lock()

    def put(self, namespace: str, uri: str, data: Content | Broken) -> None:
        """From now on this is found there."""
        with self.lock:
            self._broken.pop((namespace, uri), None)
            if isinstance(data, Broken):
                self._broken[namespace, uri] = data
            else:
                self.of(namespace).contents[uri] = data

    def at(self, namespace: str, uri: str) -> Content | Broken:
        """What is found there."""
        with self.lock:
            return self._broken.get((namespace, uri)) or self.of(namespace).contents.setdefault(uri, content("1"))

    def models(self, namespace: str) -> dict[str, str]:
        """Digests of the models that lie in a namespace's buckets now, by URI."""
        with self.lock:
            return dict(self.of(namespace).models)

    def keep_model(self, namespace: str, uri: str, digest: str) -> None:
        """From now on a model with this digest lies there; without a digest, none does."""
        with self.lock:
            models = self.of(namespace).models
            models.pop(uri.rstrip("/"), None)
            if digest:
                models[uri.rstrip("/")] = digest

    def of(self, namespace: str) -> lake.Lake:
        """All that lies in one namespace's buckets; to be used with `lock` held."""
        return self._lakes.setdefault(namespace, lake.Lake())


class FakeWorker:
    """Answers for Keelway's own containers; any other container in a Job just ends well."""

    def __init__(self, lake: Lake, config_maps: ConfigMaps) -> None:
        self._lake = lake
        self._config_maps = config_maps
        self._programs: Mapping[str, Callable[[Container], Outcome]] = {
            "observe": self._observe,
            "stage": self._stage,
            "transform": _transform,
            "record": self._record,
            "collect": self._collect,
            "measure": _measure,
            "smoke": _smoke,
            "sweep": self._sweep,
        }

    def __call__(self, container: Container) -> Outcome:
        """What a container does that no script speaks of."""
        if ORDER_VARIABLE in container.environment:
            return self._programs[container.name](container)
        return Outcome() if container.pod["spec"].get("restartPolicy") == "Never" else FOREVER

    def _observe(self, container: Container) -> Outcome:
        asked = ObserveOrder.model_validate_json(container.environment[ORDER_VARIABLE])
        found = self._lake.at(container.namespace, asked.source.location.uri)
        if isinstance(found, Broken):
            return _ended(ObserveVerdict(outcome="Failed", reason=found.reason, message=found.message))
        files = self._mounted(container)
        with self._lake.lock:
            verdict, log = self._lake.of(container.namespace).observe(asked, files)
        return _ended(verdict, log=log)

    def _stage(self, container: Container) -> Outcome:
        asked = StageOrder.model_validate_json(container.environment[ORDER_VARIABLE])
        files = self._mounted(container)
        with self._lake.lock:
            return _ended(self._lake.of(container.namespace).stage(asked, files))

    def _record(self, container: Container) -> Outcome:
        """As the sidecar that it is, it has nothing to say before the others have ended."""
        if container.pod["spec"]["containers"][0]["name"] not in container.before:
            return Outcome()
        if any(outcome.exit_code for outcome in container.before.values()):
            return _ended(NO_OUTPUT)
        asked = RecordOrder.model_validate_json(container.environment[ORDER_VARIABLE])
        staged, files = StageOrder.model_validate(order(container.pod, "stage")), self._mounted(container)
        with self._lake.lock:
            of = self._lake.of(container.namespace)
            verdict, log = of.record(staged, code_of(container.pod), asked, files)
        return _ended(verdict, log=log)

    def _collect(self, container: Container) -> Outcome:
        """As the sidecar that it is, it has nothing to say before the trainer has ended."""
        asked = CollectOrder.model_validate_json(container.environment[ORDER_VARIABLE])
        trainers = [spec["name"] for spec in container.pod["spec"]["containers"]]
        if any(outcome.exit_code for outcome in container.before.values()):
            return _ended(CollectVerdict(outcome="Failed", reason="MetricMissing", message="no metrics", metrics={}))
        if trainers[0] not in container.before:
            return Outcome()
        reports = container.before[trainers[0]].reports if asked.follow else ()
        verdict = _trained(asked, container.parameters).model_copy(update={"curve": reports})
        with self._lake.lock:
            uri = f"{asked.destination.uri.rstrip('/')}/{verdict.directory}"
            self._lake.of(container.namespace).models[uri] = verdict.digest
        return _ended(verdict, log=relayed(reports))

    def _sweep(self, container: Container) -> Outcome:
        asked = SweepOrder.model_validate_json(container.environment[ORDER_VARIABLE])
        with self._lake.lock:
            return _ended(self._lake.of(container.namespace).sweep(asked))

    def _mounted(self, container: Container) -> dict[str, bytes]:
        return mounted(container.pod, container.spec, lambda name: self._config_maps(container.namespace, name))


def _transform(_: Container) -> Outcome:
    return _ended(TransformVerdict(outcome="Transformed"))


def _measure(container: Container) -> Outcome:
    """Every model is as good. As the sidecar that it is, it has nothing to say before the evaluator has ended."""
    return measured(container, GOOD)


def measured(container: Container, value: float) -> Outcome:
    """What `measure` says when the evaluator found this value, whatever the metric."""
    ended = [container.before.get(spec["name"]) for spec in container.pod["spec"]["containers"]]
    if any(outcome and outcome.exit_code for outcome in ended):
        return _ended(MeasureVerdict(outcome="Failed", reason="MetricMissing", message="no metrics", metrics={}))
    asked = MeasureOrder.model_validate_json(container.environment[ORDER_VARIABLE])
    return _ended(MeasureVerdict(outcome="Measured", metrics=dict.fromkeys(asked.wanted, value)))


def _smoke(_: Container) -> Outcome:
    return _ended(SmokeVerdict(outcome="Answered", slowest_seconds=0.01))


def _trained(asked: CollectOrder, parameters: Mapping[str, object]) -> CollectVerdict:
    model = "sha256:" + digest(parameters)
    return CollectVerdict(
        outcome="Collected",
        metrics={asked.objective: score(parameters)},
        digest=model,
        directory=short(model),
        files=2,
        bytes=MODEL_BYTES,
    )


def score(parameters: Mapping[str, object]) -> float:
    """The metric of a trial: a smooth function of its numbers with its maximum of 1 where all are 0.3."""
    numbers = [float(value) for value in parameters.values() if isinstance(value, (int, float))]
    return round(1 / (1 + sum((number - 0.3) ** 2 for number in numbers)), 6)


def _ended(verdict: Model, *, log: str = "") -> Outcome:
    failed = getattr(verdict, "outcome", "") == "Failed"
    return Outcome(exit_code=int(failed), message=said(verdict), log=log)
