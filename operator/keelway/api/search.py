"""The search space of an Experiment, what its trials are measured by, and how it is searched."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

from keelway.api.base import Duration, Identifier, Model, cel, rules

MAX_TRIALS = 10_000
MAX_CHOICE_LENGTH = 256

Number = Annotated[float, Field(allow_inf_nan=False)]
ChoiceValue = Annotated[int | str, WithJsonSchema({"x-kubernetes-int-or-string": True, "maxLength": MAX_CHOICE_LENGTH})]
ParameterValue = float | int | str
Algorithm = Literal["TPE", "Random", "Grid", "CMAES"]
ParameterValues = Annotated[
    dict[str, ParameterValue], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
]


class Objective(Model):
    """Which metric decides, and which way is better."""

    metric: Annotated[str, Field(min_length=1, max_length=128)]
    goal: Literal["Maximize", "Minimize"] = "Maximize"
    target: Number | None = None
    """A value that is good enough: the run ends with the first trial that reaches it."""


class FloatRange(Model):
    """Real numbers from min to max."""

    min: Number
    max: Number
    step: Annotated[float, Field(gt=0)] | None = None
    scale: Literal["Linear", "Log"] = "Linear"


class IntRange(Model):
    """Whole numbers from min to max, both included."""

    min: int
    max: int
    step: Annotated[int, Field(ge=1)] = 1
    scale: Literal["Linear", "Log"] = "Linear"


class Choice(Model):
    """One of these values."""

    values: Annotated[
        tuple[ChoiceValue, ...],
        Field(min_length=1, max_length=256, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ]


def _range_rules(kind: str) -> tuple[dict[str, str], ...]:
    return (
        cel(f"!has(self.{kind}) || self.{kind}.min <= self.{kind}.max", f"{kind}.min must not be above {kind}.max"),
        cel(
            f"!has(self.{kind}) || self.{kind}.scale != 'Log' || self.{kind}.min > 0",
            f"scale: Log needs {kind}.min above 0",
        ),
    )


PARAMETER_RULES = rules(
    cel(
        "[has(self.float), has(self.int), has(self.choice)].exists_one(x, x)",
        "a parameter needs exactly one of float, int, choice, for example int: {min: 2, max: 8}",
    ),
    *_range_rules("float"),
    *_range_rules("int"),
    cel(
        "!has(self.float) || self.float.scale != 'Log' || !has(self.float.step)",
        "float.step and scale: Log exclude each other: drop one",
    ),
    cel(
        "!has(self.int) || self.int.scale != 'Log' || self.int.step == 1",
        "int.step and scale: Log exclude each other: drop one",
    ),
)


class Parameter(Model):
    """One dimension of the search space."""

    name: Identifier
    float: FloatRange | None = None
    int: IntRange | None = None
    choice: Choice | None = None


Parameters = Annotated[
    tuple[Annotated[Parameter, PARAMETER_RULES], ...],
    Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    rules(
        cel(
            "self.all(p, self.exists_one(q, q.name.replace('-', '_').upperAscii()"
            " == p.name.replace('-', '_').upperAscii()))",
            "two parameters' names differ only in case or in '-' and '_': "
            "as variables KEELWAY_PARAM_... they would be one; rename one",
        )
    ),
]


class Search(Model):
    """How the space is searched. Without parameters there is one trial."""

    algorithm: Algorithm = "TPE"
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 42
    max_trials: Annotated[int, Field(ge=1, le=MAX_TRIALS)] = 20
    parallel_trials: Annotated[int, Field(ge=1, le=256)] = 4
    max_failed_trials: Annotated[int, Field(ge=0, le=MAX_TRIALS)] = 3
    budget: Duration | None = None
    """Running time of all trials together after which no other one begins."""


class EarlyStopping(Model):
    """When a trial that does badly is ended before it is done. It is judged by the lines with a `step`."""

    algorithm: Literal["Median", "SuccessiveHalving"] = "Median"
    min_trials: Annotated[int, Field(ge=1, le=MAX_TRIALS)] = 5
    """How many other trials must have come as far before one is judged."""
    start_step: Annotated[int, Field(ge=0, le=2**31 - 1)] = 10
    """The first step at which a trial is judged."""
    reduction_factor: Annotated[int, Field(ge=2, le=16)] = 2
    """SuccessiveHalving keeps one in so many at each rung; the rungs' steps grow by the same factor."""
