"""The models that are compared with: a sound one, and three that should not have gone to production."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import joblib
import numpy as np
from obstore.store import ObjectStore
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dev.comparison.crashing import Crashing
from dev.demo.data import Row, tumours, upload
from keelway.api.digests import short, tree_digest

TRAINED_ON = slice(0, 300)
JUDGED_BY = slice(300, None)
"""Rows of the Dataset whose split the gate reads; no model here was trained on them."""
FILE = "model.joblib"


@dataclass(frozen=True)
class ModelFiles:
    """What lies in the directory of one model."""

    files: dict[str, bytes]

    @property
    def digest(self) -> str:
        """As a ModelVersion records it."""
        return tree_digest(
            [(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in self.files.items()]
        )

    @property
    def directory(self) -> str:
        """Where in the bucket it lies: other files, another directory."""
        return f"tumour-classifier/{short(self.digest)}"

    def put_into(self, store: ObjectStore) -> None:
        """Write the files."""
        upload(store, self.directory, self.files)


@dataclass(frozen=True)
class Case:
    """One trouble that a new model can bring."""

    name: str
    model: Callable[[], ModelFiles]


@cache
def sound() -> ModelFiles:
    """The model that serves at first."""
    return _saved(_fitted(lambda label: label))


def empty() -> ModelFiles:
    """A training run that ended before it wrote the model: there is a card, and no model to load."""
    return ModelFiles({"README.md": b"# tumour-classifier\n\nTo be continued.\n"})


def crashing() -> ModelFiles:
    """As good as the sound one, for ten requests."""
    return _saved(Crashing(_fitted(lambda label: label)))


def wrong() -> ModelFiles:
    """Trained with the two labels taken for each other: quick, healthy, and wrong nearly always."""
    return _saved(_fitted(lambda label: 1 - label))


CASES = (
    Case("does not load", empty),
    Case("crashes after ten requests", crashing),
    Case("is only wrong", wrong),
)


def asked_about() -> Row:
    """A tumour that the sound model is right about, and the wrong one is not."""
    return tumours()[JUDGED_BY][0]


def right_label(row: Row) -> int:
    """What a client should be told: the last value, which is not sent."""
    return int(row[-1])


def _saved(model: Any) -> ModelFiles:
    file = io.BytesIO()
    joblib.dump(model, file)
    return ModelFiles({FILE: file.getvalue()})


def _fitted(labelled: Callable[[Any], Any]) -> Any:
    table = np.array(tumours()[TRAINED_ON])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return model.fit(table[:, :-1], labelled(table[:, -1].astype(int)))
