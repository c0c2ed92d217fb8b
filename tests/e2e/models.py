"""Models that are trained here in a moment, for tests that are about serving."""

import hashlib
import io
from collections.abc import Mapping
from typing import Any

import joblib
import numpy as np
import obstore
from sklearn.ensemble import HistGradientBoostingClassifier

from dev.demo.data import tumours
from keelway.api.digests import tree_digest
from tests.e2e.world import ACCESS, Manifest, World

FILE = "model.joblib"


def trained(seed: int) -> bytes:
    """A fitted classifier of tumours as joblib writes it."""
    features, label = _table()
    return _fitted(seed, features, label)


def failing(seed: int) -> bytes:
    """A classifier that loads and answers no request: it was fitted on one measure less than requests have."""
    features, label = _table()
    return _fitted(seed, features[:, :-1], label)


def guessing(seed: int) -> bytes:
    """A classifier that answers and knows nothing: it was fitted on labels in another order."""
    features, label = _table()
    return _fitted(seed, features, np.random.default_rng(seed).permutation(label))


def from_bucket(name: str, **more: str) -> Manifest:
    """`spec.model` of a ModelDeployment for a model that was brought in: nobody but the spec knows how to read it."""
    return {"name": name, "access": ACCESS, **more}


def brought_in(world: World, model: str, version: int, content: bytes, **more: Any) -> Manifest:
    """Put a model into the bucket; gives the record that is to be applied."""
    directory = put(world, model, version, {FILE: content})
    return world.model_version(model, version, directory, digest_of({FILE: content}), **more)


def put(world: World, model: str, version: int, files: Mapping[str, bytes]) -> str:
    """Write a version's files into the bucket; gives their directory."""
    directory = f"{model}/{version}"
    for name, content in files.items():
        obstore.put(world.bucket("models"), f"{directory}/{name}", content)
    return directory


def digest_of(files: Mapping[str, bytes]) -> str:
    """The digest of these files as a record has it."""
    return tree_digest([(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in files.items()])


def _table() -> tuple[Any, Any]:
    table = np.array(tumours())
    return table[:, :-1], table[:, -1].astype(int)


def _fitted(seed: int, features: Any, label: Any) -> bytes:
    model = HistGradientBoostingClassifier(max_iter=5, random_state=seed).fit(features, label)
    file = io.BytesIO()
    joblib.dump(model, file)
    return file.getvalue()
