"""From an order in the environment to a verdict in the termination message, whatever happens in between."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from typing import Any

from pydantic import ValidationError

from keelway.api.base import Model
from keelway.api.jobs import (
    ORDER_VARIABLE,
    CollectOrder,
    CollectVerdict,
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
from keelway.worker import verdicts
from keelway.worker.errors import WorkerError

INTERRUPTED = 143


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program: what it reads and writes, and the module whose `run` does it (imported when it is chosen)."""

    order: type[Model]
    verdict: Callable[..., verdicts.Verdict]
    module: str
    ends_on_sigterm: bool = True


PROGRAMS = {
    "observe": Program(order=ObserveOrder, verdict=ObserveVerdict, module="keelway.worker.observe"),
    "stage": Program(order=StageOrder, verdict=StageVerdict, module="keelway.worker.stage"),
    "collect": Program(
        order=CollectOrder, verdict=CollectVerdict, module="keelway.worker.collect", ends_on_sigterm=False
    ),
    "transform": Program(order=TransformOrder, verdict=TransformVerdict, module="keelway.worker.transform"),
    "record": Program(order=RecordOrder, verdict=ObserveVerdict, module="keelway.worker.record", ends_on_sigterm=False),
    "measure": Program(
        order=MeasureOrder, verdict=MeasureVerdict, module="keelway.worker.measure", ends_on_sigterm=False
    ),
    "smoke": Program(order=SmokeOrder, verdict=SmokeVerdict, module="keelway.worker.smoke"),
    "sweep": Program(order=SweepOrder, verdict=SweepVerdict, module="keelway.worker.sweep"),
}


def run(arguments: list[str]) -> int:
    """Run the program that `arguments` name; returns the exit status."""
    program = PROGRAMS.get(arguments[0]) if len(arguments) == 1 else None
    if program is None:
        print(f"usage: python -m keelway.worker {'|'.join(PROGRAMS)}", file=sys.stderr)
        return 2
    os.umask(0o022)
    if program.ends_on_sigterm:
        threading.Thread(target=_end_on_sigterm, daemon=True).start()
    order = _order()
    verdict = _judge(program, order)
    verdicts.write(verdict, wanted=_wanted(order))
    return 1 if verdict.outcome == "Failed" else 0


def _end_on_sigterm() -> None:
    """End at once: as process 1 of a container nothing else would, and a half-done order is simply given again."""
    signal.sigwait({signal.SIGTERM})
    os._exit(INTERRUPTED)


def _order() -> dict[str, Any]:
    """The order's JSON; empty when there is none."""
    try:
        order = json.loads("".join(_parts()))
    except ValueError:
        return {}
    return order if isinstance(order, dict) else {}


def _parts() -> Iterator[str]:
    name = ORDER_VARIABLE
    for number in count(1):
        if name not in os.environ:
            return
        yield os.environ[name]
        name = f"{ORDER_VARIABLE}_{number}"


def _wanted(order: dict[str, Any]) -> set[str]:
    """Metrics that a verdict must not go without."""
    names = order.get("wanted")
    return {str(name) for name in (order.get("objective"), *(names if isinstance(names, list) else ()))}


def _judge(program: Program, order: dict[str, Any]) -> verdicts.Verdict:
    try:
        return _play(program, order)
    except WorkerError as error:
        return _failed(program, error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the operator must hear of it
        _print_frames(error)
        message = f"unexpected {_type_of(error)}; the container's log says where"
        return _failed(program, WorkerError("InternalError", message))


def _play(program: Program, order: dict[str, Any]) -> verdicts.Verdict:
    refusal = WorkerError("InternalError", f"{ORDER_VARIABLE} holds no order for this program")
    if not order:  # every field of an order may have a default, and yet to be told nothing is no order
        raise refusal
    try:
        told = program.order.model_validate(order)
    except ValidationError as error:
        raise refusal from error
    verdict: verdicts.Verdict = import_module(program.module).run(told)
    return verdict


def _failed(program: Program, error: WorkerError) -> verdicts.Verdict:
    print(f"failed: {error.reason}: {error.message}", file=sys.stderr, flush=True)
    return program.verdict(outcome="Failed", reason=error.reason, message=error.message)


def _type_of(error: Exception) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")


def _print_frames(error: Exception) -> None:
    """Where it broke, without the error's text: that may hold data values."""
    print("".join(traceback.format_tb(error.__traceback__)), _type_of(error), sep="", file=sys.stderr, flush=True)
