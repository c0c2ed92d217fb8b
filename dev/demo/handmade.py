"""A model that somebody made in a notebook and brings in by hand: as good as any at the gate, useless in production.

It scales the rows of each request by their own mean and deviation (`scipy.stats.zscore` where a fitted scaler should
be). That goes well with a table of rows, which is what notebooks, gates and careless smoke requests have. A request
about one patient has no deviation, and the model refuses what comes of it.
"""

import hashlib
import io
from functools import cache

import joblib
import numpy as np
from obstore.store import ObjectStore
from scipy.stats import zscore
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from dev.demo.data import tumours, upload
from dev.demo.examples import Manifest
from keelway.api.digests import short, tree_digest

TRAINED_ON = slice(-50, None)
"""The last rows of those that are held back: they are the last to arrive in the bucket, so no gate judges by them."""
FILE = "model.joblib"
DIRECTORY = "by-hand"


@cache
def content() -> bytes:
    """The model as joblib writes it."""
    table = np.array(tumours()[TRAINED_ON])
    model = make_pipeline(FunctionTransformer(zscore), LogisticRegression(max_iter=1000))
    file = io.BytesIO()
    joblib.dump(model.fit(table[:, :-1], table[:, -1].astype(int)), file)
    return file.getvalue()


def digest() -> str:
    """Of the model's one file, as a ModelVersion records it."""
    return tree_digest([(FILE, len(content()), hashlib.sha256(content()).hexdigest())])


def put_into(store: ObjectStore, model: str) -> None:
    """Write the model's file where `model_version` says that it is."""
    upload(store, _directory(model), {FILE: content()})


def model_version(model: str, version: int, namespace: str) -> Manifest:
    """The record that is to be applied, as a person would write it."""
    artifact = {
        "uri": f"s3://models/{_directory(model)}/",
        "digest": digest(),
        "bytes": len(content()),
        "files": 1,
        "format": {"name": "sklearn", "version": "1"},
    }
    return {
        "apiVersion": "keelway.dev/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": f"{model}-v{version}", "namespace": namespace},
        "spec": {
            "model": model,
            "version": version,
            "artifact": artifact,
            "producedBy": {"external": {"system": "a notebook"}},
        },
    }


def _directory(model: str) -> str:
    return f"{model}/{DIRECTORY}/{short(digest())}"
