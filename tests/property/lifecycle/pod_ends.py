"""How the pods of Keelway's Jobs end: what each container says, given the lake and what fate has in store."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keelway.api.base import Manifest, Model
from keelway.api.curves import Curve
from keelway.api.jobs import (
    ORDER_VARIABLE,
    CollectOrder,
    ObserveOrder,
    ObserveVerdict,
    RecordOrder,
    StageOrder,
    StageVerdict,
    SweepOrder,
    SweepVerdict,
    TransformOrder,
    TransformVerdict,
)
from keelway.api.judging import MeasureOrder, MeasureVerdict, SmokeOrder, SmokeVerdict
from tests.property.lifecycle.curves import curve
from tests.property.lifecycle.fates import Fate, ModelFate
from tests.property.lifecycle.lake import Lake, Mounted, place, value_of

CODES = {"fails": 1, "out_of_memory": 137, "evicted": 143}
EMPTY = Lake()
"""Where nothing can be reached."""


@dataclass(frozen=True)
class Ended:
    """A pod's last status, and the logs of its containers."""

    status: Manifest
    logs: Mapping[str, str]


def end_of(
    pod: Manifest, fate: Fate, lake: Lake, mounted: Mapping[str, Mounted], quality: Callable[[int], ModelFate]
) -> Ended:
    """How this pod ends; `mounted` are the files that its containers see, by container, and `quality` says how good a
    version of a model is."""
    names = {spec["name"] for spec in containers(pod)}
    if "smoke" in names:
        return _smoked(pod, fate, quality)
    if is_verification(pod):
        return _verified(pod, fate, lake, mounted["stage"])
    if "observe" in names:
        return _observed(pod, fate, lake, mounted["observe"])
    if "sweep" in names:
        return _swept(pod, fate, lake)
    staged = _staged(pod, fate, lake, mounted["stage"])
    stage = _container("stage", 0 if staged.outcome == "Staged" else 1, said(staged))
    if staged.outcome == "Failed":
        return Ended(_terminal("Failed", [stage], []), {})
    if "record" in names:
        return _derived(pod, fate, lake, mounted["record"], stage)
    if "measure" in names:
        return _measured(pod, fate, stage, quality)
    return _trained(pod, fate, lake, stage)


def _observed(pod: Manifest, fate: Fate, lake: Lake, mounted: Mounted) -> Ended:
    if fate.end not in ("succeeds", "unreachable"):
        return Ended(_terminal("Failed", [], [_container("observe", 137, reason=_reason(fate))]), {})
    reached = EMPTY if fate.end == "unreachable" else lake
    verdict, log = reached.observe(ObserveOrder.model_validate(order(pod, "observe")), mounted)
    failed = verdict.outcome == "Failed"
    ended = _container("observe", int(failed), said(verdict))
    return Ended(_terminal("Failed" if failed else "Succeeded", [], [ended]), {"observe": log})


def _swept(pod: Manifest, fate: Fate, lake: Lake) -> Ended:
    if fate.end in CODES:
        return Ended(_terminal("Failed", [], [_container("sweep", CODES[fate.end], reason=_reason(fate))]), {})
    verdict = SweepVerdict(outcome="Failed", reason="SourceUnreachable", message="as fated")
    if fate.end != "unreachable":
        verdict = lake.sweep(SweepOrder.model_validate(order(pod, "sweep")))
    failed = verdict.outcome == "Failed"
    text = "" if fate.end == "says_nothing" else said(verdict)
    return Ended(_terminal("Failed" if failed else "Succeeded", [], [_container("sweep", int(failed), text)]), {})


def _staged(pod: Manifest, fate: Fate, lake: Lake, mounted: Mounted) -> StageVerdict:
    if fate.end in ("data_gone", "unreachable"):
        reason = "DatasetVersionGone" if fate.end == "data_gone" else "SourceUnreachable"
        return StageVerdict(outcome="Failed", reason=reason, message="as fated")
    return lake.stage(StageOrder.model_validate(order(pod, "stage")), mounted)


def is_verification(pod: Manifest) -> bool:
    """Whether it reads a model and does nothing else."""
    return [spec["name"] for spec in containers(pod)] == ["stage"]


def _verified(pod: Manifest, fate: Fate, lake: Lake, mounted: Mounted) -> Ended:
    if code := CODES.get(fate.end):
        return Ended(_terminal("Failed", [], [_container("stage", code, reason=_reason(fate))]), {})
    verdict = _staged(pod, fate, lake, mounted)
    failed = verdict.outcome == "Failed"
    text = "" if fate.end == "says_nothing" else said(verdict)
    return Ended(_terminal("Failed" if failed else "Succeeded", [], [_container("stage", int(failed), text)]), {})


def verified(pod: Manifest, ended: Ended) -> dict[str, bool]:
    """URI of the model that a pod has compared with its record, to whether it is the same; nothing of other pods."""
    if not is_verification(pod):
        return {}
    message = ended.status["containerStatuses"][0]["state"]["terminated"]["message"]
    wanted = StageOrder.model_validate(order(pod, "stage")).model
    if wanted is None or not message:
        return {}
    return {place(wanted.location): StageVerdict.model_validate_json(message).outcome == "Staged"}


def _measured(pod: Manifest, fate: Fate, stage: Manifest, quality: Callable[[int], ModelFate]) -> Ended:
    code, version = CODES.get(fate.end, 0), re.findall(r"-v(\d+)-", pod["metadata"]["name"])[-1]
    wanted = MeasureOrder.model_validate(order(pod, "measure")).wanted
    verdict = MeasureVerdict(outcome="Measured", metrics=dict.fromkeys(wanted, quality(int(version)).score))
    if code:
        verdict = MeasureVerdict(outcome="Failed", reason="MetricMissing", message="there is no metrics file")
    measure = _container("measure", 0, "" if fate.end == "says_nothing" else said(verdict))
    evaluator = _container(_trainer(pod), code, reason=_reason(fate))
    return Ended(_terminal("Failed" if code else "Succeeded", [stage, measure], [evaluator]), {})


def _smoked(pod: Manifest, fate: Fate, quality: Callable[[int], ModelFate]) -> Ended:
    code, calls = CODES.get(fate.end, 0), SmokeOrder.model_validate(order(pod, "smoke")).calls
    version = re.findall(r"-v(\d+)-[0-9a-f]{8}-predictor", calls[0].url)[0]
    verdict = SmokeVerdict(outcome="Answered")
    if not quality(int(version)).answers:
        verdict = SmokeVerdict(outcome="Failed", reason="SmokeFailed", message=f"{calls[0].url} answered 500")
    failed = bool(code) or verdict.outcome == "Failed"
    text = "" if code or fate.end == "says_nothing" else said(verdict)
    ended = _container("smoke", code or int(failed), text, reason=_reason(fate))
    return Ended(_terminal("Failed" if failed else "Succeeded", [], [ended]), {})


def _derived(pod: Manifest, fate: Fate, lake: Lake, mounted: Mounted, stage: Manifest) -> Ended:
    code, main = CODES.get(fate.end, 0), pod["spec"]["containers"][0]
    verdict, log = _recorded(pod, lake, mounted) if not code else (NO_OUTPUT, "")
    record = _container("record", 0, "" if fate.end == "says_nothing" else said(verdict))
    transformed = said(TransformVerdict(outcome="Transformed", rows=verdict.rows)) if not code else ""
    worked = _container(main["name"], code, transformed, reason=_reason(fate))
    return Ended(_terminal("Failed" if code else "Succeeded", [stage, record], [worked]), {"record": log})


NO_OUTPUT = ObserveVerdict(outcome="Failed", reason="OutputMissing", message="there is no file in the output directory")


def _recorded(pod: Manifest, lake: Lake, mounted: Mounted) -> tuple[ObserveVerdict, str]:
    staged = StageOrder.model_validate(order(pod, "stage"))
    return lake.record(staged, code_of(pod), RecordOrder.model_validate(order(pod, "record")), mounted)


def code_of(pod: Manifest) -> str:
    """What derives: the query, or the image of the first container."""
    main = pod["spec"]["containers"][0]
    if main["name"] != "transform":
        return str(main["image"])
    return TransformOrder.model_validate(order(pod, "transform")).sql


def _trained(pod: Manifest, fate: Fate, lake: Lake, stage: Manifest) -> Ended:
    code = CODES.get(fate.end, 0)
    text = "" if fate.end == "says_nothing" else _collected(pod, lake, code, noise=fate.end == "differs")
    trainer = _container(_trainer(pod), code, reason=_reason(fate))
    return Ended(_terminal("Failed" if code else "Succeeded", [stage, _container("collect", 0, text)], [trainer]), {})


def _collected(pod: Manifest, lake: Lake, code: int, *, noise: bool) -> str:
    if code:
        return json.dumps({"outcome": "Failed", "reason": "MetricMissing", "message": "no metrics"})
    staged, told = StageOrder.model_validate(order(pod, "stage")), CollectOrder.model_validate(order(pod, "collect"))
    return said(lake.collect(staged, told, noise="noise" if noise else ""))


def followed(pod: Manifest) -> Curve:
    """What `collect` relays while a pod trains; nothing where it was not told to."""
    names = {spec["name"] for spec in containers(pod)}
    if "collect" not in names or not CollectOrder.model_validate(order(pod, "collect")).follow:
        return ()
    staged = StageOrder.model_validate(order(pod, "stage"))
    return curve(value_of(staged.parameters, [given.digest for given in staged.inputs]))


def said(verdict: Model) -> str:
    """A verdict as a termination message."""
    text = verdict.model_dump_json(by_alias=True)
    assert len(text.encode()) < 4096
    return text


def order(pod: Manifest, name: str) -> Any:
    """What one of Keelway's containers was told."""
    spec = next(spec for spec in containers(pod) if spec["name"] == name)
    return json.loads(next(v["value"] for v in spec["env"] if v["name"] == ORDER_VARIABLE))


def containers(pod: Manifest) -> list[Manifest]:
    """All containers, in the order in which they start."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def _trainer(pod: Manifest) -> str:
    for spec in pod["spec"]["containers"]:
        if any(variable["name"] == "KEELWAY_METRICS" for variable in spec.get("env", [])):
            return str(spec["name"])
    raise AssertionError("no container trains")


def _reason(fate: Fate) -> str:
    return "OOMKilled" if fate.end == "out_of_memory" else ""


def _container(name: str, code: int, message: str = "", *, reason: str = "") -> Manifest:
    ended = {"exitCode": code, "message": message, "reason": reason or ("Error" if code else "Completed")}
    return {"name": name, "imageID": f"sha256:{name}", "state": {"terminated": ended}}


def _terminal(phase: str, first: list[Manifest], then: list[Manifest]) -> Manifest:
    return {"phase": phase, "initContainerStatuses": first, "containerStatuses": then}
