"""Whether a candidate passes its gates: candidate and live model, measured on the same version of the same data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keelway.api.dataset_version import DatasetVersion
from keelway.api.gates import Gate, GateResult, MetricBound
from keelway.api.kinds import Key
from keelway.api.model_version import ModelVersion
from keelway.api.reasons import EventReason, Reason
from keelway.lifecycle.conditions import Fact, stalled
from keelway.lifecycle.dataset_inputs import Unresolved, described, version_of
from keelway.lifecycle.model_deployment import outcome
from keelway.lifecycle.model_deployment.evaluation import Measurement, evaluator, measured
from keelway.lifecycle.model_deployment.outcome import GATE_PASSED
from keelway.lifecycle.model_deployment.refusal import rejected
from keelway.lifecycle.model_deployment.traffic import kept
from keelway.lifecycle.model_deployment.world import World
from keelway.lifecycle.plan import Observed, Plan

UNCOMPARABLE = frozenset({Reason.ARTIFACT_MISSING, Reason.ARTIFACT_DIGEST_MISMATCH})
"""What is wrong with the live model's files does not stand in the way of a better one."""


@dataclass(frozen=True)
class Judged:
    """A gate's result and what it takes to get further."""

    result: GateResult
    work: tuple[Measurement, ...] = ()


def evaluating(world: World) -> Plan | None:
    """Gates are still open, or one of them is shut."""
    if world.has_passed("Evaluating") or not world.deployment.spec.gates:
        return None
    judged = [judge(world, gate) for gate in world.deployment.spec.gates]
    results = tuple(one.result for one in judged)
    if shut := next((result for result in results if result.state in ("Failed", "Error")), None):
        ended = tuple(result for result in results if result.state != "Running")
        return rejected(world, Reason.of(shut.reason), f"gate {shut.name}: {shut.message}", ended)
    if all(result.state == "Passed" for result in results):
        return _passed(world, results)
    return _open(world, results, [work for one in judged for work in one.work])


def _passed(world: World, results: tuple[GateResult, ...]) -> Plan:
    """Recorded before anything follows from it: the data may move on."""
    message = "; ".join(f"{result.name}: {result.message}" for result in results)
    standing = outcome.on_the_way(world, Reason.GATES_PASSED, f"passed its gates: {message}")
    candidate = outcome.candidate(world, "AwaitingApproval", gates=results)
    return Plan(
        "gates passed",
        applies=kept(world),
        status=outcome.status(
            world, standing.also(Fact(GATE_PASSED, "True", Reason.GATES_PASSED, message)), candidate=candidate
        ),
        events=outcome.phase_event(world, candidate, EventReason.GATE_PASSED, standing.message),
        look_again_after=0.0,
    )


def _open(world: World, results: tuple[GateResult, ...], work: Sequence[Measurement]) -> Plan:
    waiting = "; ".join(f"gate {result.name}: {result.message}" for result in results if result.state == "Running")
    standing = outcome.on_the_way(world, Reason.EVALUATING, f"is evaluated: {waiting}")
    if trouble := next((one.trouble for one in work if one.trouble), None):
        standing = stalled(trouble[0], standing.message)
    candidate = outcome.candidate(world, "Evaluating", gates=results)
    return Plan(
        "evaluates",
        creates=tuple(manifest for one in work for manifest in one.creates),
        applies=kept(world),
        record_statuses=tuple(record for one in work for record in one.records),
        status=outcome.status(world, standing, candidate=candidate, **outcome.soak_over(world)),
        deletes=(
            *world.unwanted(keep_target=False),
            *world.superseded(*(one.job for one in work)),
            *(order for one in work for order in one.deletes),
        ),
        look_again_after=outcome.soonest(world.soak_due_in, *(one.look_again_after for one in work)),
    )


def judge(world: World, gate: Gate) -> Judged:
    """How the candidate stands at one gate."""
    data, rival = _data(world, gate), _rival(world, gate)
    if isinstance(data, Unresolved):
        return Judged(_result(gate, "Error" if data.final else "Running", data.reason, data.message))
    result = _result(gate, "Running", Reason.EVALUATING, "", data, rival)
    if known := _known(world, result):
        return Judged(known)
    if leak := leaks(world.wanted, gate, data, world.seen):
        return Judged(_ended(result, "Failed", Reason.GATE_LEAKS_TRAINING_DATA, leak))
    return _measured(result, gate, measured(world, gate, world.wanted, data), _compared(world, gate, data, rival))


def _measured(result: GateResult, gate: Gate, candidate: Measurement, live: Measurement | None) -> Judged:
    work = tuple(one for one in (candidate, live) if one)
    for one, whose in ((candidate, "its evaluation"), (live, "the live model's evaluation")):
        if one and one.failure:
            return Judged(_ended(result, "Error", one.failure[0], f"{whose}: {one.failure[1]}"), work)
    if candidate.metrics is None or (live and live.metrics is None):
        waits = "; ".join(one.waiting for one in work if one.waiting)
        return Judged(result.model_copy(update={"message": waits[:1024]}), work)
    return Judged(compared(result, gate, candidate.metrics, live.metrics if live else None))


def _known(world: World, wanted: GateResult) -> GateResult | None:
    """What came of this evaluation before: the same again would, too."""

    def key(result: GateResult) -> tuple[str, str, str, str, str]:
        return result.name, result.evaluator, result.dataset_version, result.split, result.compared_with

    known = world.candidate.gates if world.candidate else ()
    return next((result for result in known if result.state != "Running" and key(result) == key(wanted)), None)


def _data(world: World, gate: Gate) -> DatasetVersion | Unresolved:
    """The version that judges: the one that an evaluation under way has begun with, or the one that the spec means."""
    begun = world.candidate.gates if world.candidate and world.candidate.phase == "Evaluating" else ()
    for result in begun:
        manifest = world.seen.get(Key("DatasetVersion", world.deployment.namespace, result.dataset_version))
        if result.name == gate.name and result.dataset_version and manifest:
            return DatasetVersion.model_validate(manifest)
    found = version_of(gate.dataset.dataset, gate.dataset.version, world.deployment.namespace, world.seen)
    if isinstance(found, Unresolved) or gate.dataset.split in ("", *(split.name for split in found.spec.splits)):
        return found
    names = ", ".join(split.name for split in found.spec.splits) or "none"
    message = f"{described(found)} has no split {gate.dataset.split!r}; it has: {names}"
    return Unresolved(Reason.SPLIT_MISSING, message, final=True)


def leaks(model: ModelVersion, gate: Gate, data: DatasetVersion, seen: Observed) -> str:
    """Why these data cannot judge this model: it was trained on them. Splits are the same rows in all versions, as long
    as they are made in the same way."""
    for given in model.spec.inputs:
        if given.digest != data.spec.digest and given.dataset != data.spec.dataset.name:
            continue
        if not given.split or not gate.dataset.split or given.split == gate.dataset.split:
            trained = f"split {given.split}" if given.split else "all rows"
            judges = f"split {gate.dataset.split}" if gate.dataset.split else "all rows"
            return (
                f"it was trained on {trained} of Dataset {given.dataset}, and {judges} would judge it: "
                "let a split judge that it was not trained on"
            )
        trained_on = seen.get(Key("DatasetVersion", model.namespace, given.dataset_version))
        if trained_on and DatasetVersion.model_validate(trained_on).spec.split_rule != data.spec.split_rule:
            return (
                f"Dataset {given.dataset} was split in another way when it was trained: rows of split {given.split} of "
                f"then may be in split {gate.dataset.split} of now: train again"
            )
    return ""


def _rival(world: World, gate: Gate) -> ModelVersion | None:
    """The live model where the gate compares with it; None where there is nothing to compare with."""
    live = world.live_version
    wanted = any(check.max_regression is not None for check in gate.checks)
    return live if wanted and live and live.name != world.wanted.name else None


def _compared(world: World, gate: Gate, data: DatasetVersion, rival: ModelVersion | None) -> Measurement | None:
    """The live model's metrics; None where there are none and will be none."""
    found = measured(world, gate, rival, data) if rival else None
    return None if found and found.failure and found.failure[0] in UNCOMPARABLE else found


def compared(result: GateResult, gate: Gate, metrics: dict[str, float], live: dict[str, float] | None) -> GateResult:
    """Passed when every check holds; the message has the numbers either way."""
    wanted = {check.metric for check in gate.checks}
    problems = [problem for check in gate.checks for problem in _problems(check, metrics[check.metric], live)]
    shown = {metric: metrics[metric] for metric in wanted}
    beside = {metric: live[metric] for metric in wanted if metric in live} if live else {}
    result = result.model_copy(update={"metrics": shown, "live_metrics": beside})
    if problems:
        return _ended(result, "Failed", Reason.GATE_FAILED, "; ".join(problems))
    return _ended(result, "Passed", Reason.GATES_PASSED, "; ".join(_numbers(gate, metrics, live)))


def _problems(check: MetricBound, value: float, live: dict[str, float] | None) -> Iterator[str]:
    if check.min is not None and value < check.min:
        yield f"{check.metric} {value:.6g} is below {check.min:.6g}"
    if check.max is not None and value > check.max:
        yield f"{check.metric} {value:.6g} is above {check.max:.6g}"
    before = live.get(check.metric) if live else None
    if check.max_regression is None or before is None:
        return
    worse = before - value if check.goal == "Maximize" else value - before
    if worse > check.max_regression and not math.isclose(worse, check.max_regression):
        yield (
            f"{check.metric} {value:.6g} is worse than the live model's {before:.6g} by {worse:.6g}, "
            f"more than {check.max_regression:.6g}"
        )


def _numbers(gate: Gate, metrics: dict[str, float], live: dict[str, float] | None) -> Iterator[str]:
    for check in gate.checks:
        before = live.get(check.metric) if live else None
        nothing = check.max_regression is not None and before is None
        beside = (
            f" (live {before:.6g})" if before is not None else " (no live model to compare with)" if nothing else ""
        )
        yield f"{check.metric} {metrics[check.metric]:.6g}{beside}"


def _result(
    gate: Gate,
    state: str,
    reason: Reason,
    message: str,
    data: DatasetVersion | None = None,
    rival: ModelVersion | None = None,
) -> GateResult:
    return GateResult.model_validate(
        {
            "name": gate.name,
            "state": state,
            "reason": reason,
            "message": message[:1024],
            "dataset_version": data.name if data else "",
            "split": gate.dataset.split,
            "evaluator": evaluator(gate),
            "compared_with": rival.name if rival else "",
        }
    )


def _ended(result: GateResult, state: str, reason: Reason, message: str) -> GateResult:
    return result.model_copy(update={"state": state, "reason": reason, "message": message[:1024]})
