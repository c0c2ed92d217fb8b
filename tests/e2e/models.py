"""Models that are trained here in a moment, for tests that are about serving."""

import hashlib
import io

import joblib
import numpy as np
import obstore
from sklearn.ensemble import HistGradientBoostingClassifier

from dev.demo.data import tumours
from keelway.api.digests import tree_digest
from tests.e2e.world import Manifest, World


def trained(seed: int) -> bytes:
    """A fitted classifier of tumours as joblib writes it."""
    table = np.array(tumours())
    model = HistGradientBoostingClassifier(max_iter=5, random_state=seed).fit(table[:, :-1], table[:, -1].astype(int))
    file = io.BytesIO()
    joblib.dump(model, file)
    return file.getvalue()


def brought_in(world: World, model: str, version: int, content: bytes) -> Manifest:
    """Put a model into the bucket; gives the record that is to be applied."""
    directory = f"{model}/{version}"
    obstore.put(world.bucket("models"), f"{directory}/model.joblib", content)
    digest = tree_digest([("model.joblib", len(content), hashlib.sha256(content).hexdigest())])
    return world.model_version(model, version, directory, digest)
