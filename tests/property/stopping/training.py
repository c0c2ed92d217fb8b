"""Real trainings, step by step: the learning curves that early stopping is tried on.

Two families in the style of published collections of curves (LCBench: Zimmer, Lindauer, Hutter, "Auto-PyTorch Tabular",
2021): configurations drawn at random from wide ranges, trained on data that scikit-learn ships, and judged on held-out
rows after every step. `python -m tests.property.stopping.training` trains all of them anew and writes `curves.json`.
"""

from __future__ import annotations

import json
import random
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

CURVES = Path(__file__).with_name("curves.json")
CONFIGURATIONS = 48
Parameters: TypeAlias = dict[str, float]


@dataclass(frozen=True)
class Training:
    """One configuration as it was trained."""

    parameters: Parameters
    seconds: float
    """Of processor time, a step on the average."""
    values: tuple[float, ...]
    """The objective after every step."""


@dataclass(frozen=True)
class Family:
    """A data set, an algorithm and a space of configurations."""

    name: str
    maximize: bool
    draw: Callable[[random.Random], Parameters]
    steps: Callable[[Parameters], Iterator[float]]
    """Train one configuration, and say after every step how good it is."""


def train(family: Family, parameters: Parameters) -> Training:
    """Train one configuration on one core."""
    began = time.process_time()
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        values = tuple(float(f"{value:.5g}") for value in family.steps(parameters))
    return Training(parameters, round((time.process_time() - began) / len(values), 5), values)


def configurations(family: Family) -> list[Parameters]:
    """The same configurations every time."""
    source = random.Random(family.name)
    return [family.draw(source) for _ in range(CONFIGURATIONS)]


def _log(source: random.Random, low: float, high: float) -> float:
    return float(f"{low * (high / low) ** source.random():.3g}")


# a network on images of digits, by epochs

EPOCHS = 60


def _network(source: random.Random) -> Parameters:
    return {
        "learning_rate": _log(source, 1e-4, 1e-1),
        "momentum": round(source.uniform(0.1, 0.99), 3),
        "batch_size": round(_log(source, 16, 512)),
        "alpha": _log(source, 1e-5, 1e-1),
        "layers": source.randint(1, 3),
        "units": round(_log(source, 8, 128)),
    }


def _network_steps(parameters: Parameters) -> Iterator[float]:
    pixels, digits = load_digits(return_X_y=True)
    x, held_x, y, held_y = train_test_split(pixels / 16, digits, test_size=0.4, random_state=0, stratify=digits)
    model = MLPClassifier(
        solver="sgd",
        hidden_layer_sizes=(int(parameters["units"]),) * int(parameters["layers"]),
        learning_rate_init=parameters["learning_rate"],
        momentum=parameters["momentum"],
        batch_size=int(parameters["batch_size"]),
        alpha=parameters["alpha"],
        random_state=0,
    )
    for _ in range(EPOCHS):
        model.partial_fit(x, y, classes=range(10))
        yield model.score(held_x, held_y)


# boosted trees on measurements of tumours, by trees

TREES = 100


def _boosting(source: random.Random) -> Parameters:
    return {
        "learning_rate": _log(source, 5e-3, 1),
        "max_depth": source.randint(1, 7),
        "subsample": round(source.uniform(0.2, 1), 2),
        "max_features": round(source.uniform(0.05, 1), 2),
        "min_samples_leaf": round(_log(source, 1, 60)),
    }


def _boosting_steps(parameters: Parameters) -> Iterator[float]:
    measures, kinds = load_breast_cancer(return_X_y=True)
    x, held_x, y, held_y = train_test_split(measures, kinds, test_size=0.4, random_state=0, stratify=kinds)
    scale = StandardScaler().fit(x)
    whole = {"max_depth": int(parameters["max_depth"]), "min_samples_leaf": int(parameters["min_samples_leaf"])}
    model = GradientBoostingClassifier(n_estimators=TREES, random_state=0, **{**parameters, **whole})
    model.fit(scale.transform(x), y)
    for chances in model.staged_predict_proba(scale.transform(held_x)):
        yield log_loss(held_y, chances)


FAMILIES = (
    Family("network accuracy", True, _network, _network_steps),
    Family("boosting loss", False, _boosting, _boosting_steps),
)


def recorded() -> dict[str, list[Training]]:
    """The trainings of `curves.json` by the family's name."""
    families: dict[str, list[dict[str, Any]]] = json.loads(CURVES.read_text())
    return {
        name: [Training(one["parameters"], one["seconds"], tuple(one["values"])) for one in trainings]
        for name, trainings in families.items()
    }


def _lines() -> Iterator[str]:
    for family in FAMILIES:
        trainings = (train(family, parameters) for parameters in configurations(family))
        rows = (json.dumps(asdict(training), separators=(",", ":")) for training in trainings)
        yield f'"{family.name}":[\n' + ",\n".join(rows) + "\n]"


if __name__ == "__main__":
    CURVES.write_text("{" + ",\n".join(_lines()) + "}\n")
